//! What Istio sends an Envoy for a case, in the steps of its own code (`core/loadbalancer`): over
//! groups of endpoints whose priorities and weights change in place, and with none of our code.

use serde_json::{Value, json};

use super::case::{Case, Endpoint, OWN, OWN_LABELS};

/// `LocalityLbEndpoints`.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) locality: [String; 3],
    pub(crate) priority: usize,
    pub(crate) weight: u64,
    pub(crate) endpoints: Vec<usize>,
}

/// What is set on the cluster, and its load assignment.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) groups: Vec<Group>,
    pub(crate) weighted: bool,
    pub(crate) panic_threshold: Option<u32>,
}

pub(crate) fn send(case: &Case) -> Sent {
    let mut groups = by_locality(case);
    let is_asked = case.setting.is_none() && case.distribution.is_some();
    let mut setting = case.setting.clone().unwrap_or_else(|| json!({}));
    if is_asked {
        let network = "topology.istio.io/network";
        let (region, zone) = (
            "topology.kubernetes.io/region",
            "topology.kubernetes.io/zone",
        );
        setting["failoverPriority"] = match case.distribution {
            Some("PreferSameNode") => {
                json!([
                    network,
                    region,
                    zone,
                    "topology.istio.io/subzone",
                    "kubernetes.io/hostname"
                ])
            }
            _ => json!([network, region, zone]),
        };
    }
    let enabled = setting["enabled"] != false;
    let failover = enabled && (case.min_health.is_some() || is_asked);
    let list = |name: &str| setting[name].as_array().cloned().unwrap_or_default();
    let (distribute, priority, regions) = (
        list("distribute"),
        list("failoverPriority"),
        list("failover"),
    );
    if enabled && !distribute.is_empty() {
        distribute_weights(&mut groups, &distribute);
    } else if failover && !priority.is_empty() {
        groups = by_labels(case, &groups, &priority);
        if !regions.is_empty() {
            by_region(&mut groups, &regions);
        }
    } else if failover {
        by_region(&mut groups, &regions);
    }
    Sent {
        groups,
        weighted: enabled
            && (!distribute.is_empty()
                || (failover && !(priority.is_empty() && regions.is_empty()))),
        panic_threshold: match case.distribution {
            Some(_) => Some(0),
            None => case.min_health,
        },
    }
}

fn by_locality(case: &Case) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![];
    for (index, endpoint) in case.endpoints.iter().enumerate() {
        match groups
            .iter_mut()
            .find(|group| group.locality == endpoint.locality)
        {
            Some(group) => {
                group.endpoints.push(index);
                group.weight += u64::from(endpoint.weight);
            }
            None => groups.push(Group {
                locality: endpoint.locality.clone(),
                priority: 0,
                weight: endpoint.weight.into(),
                endpoints: vec![index],
            }),
        }
    }
    groups
}

/// `LocalityMatch`.
fn matches(locality: [&str; 3], rule: &str) -> bool {
    let mut rule = rule.split('/');
    let region = rule.next().unwrap_or_default();
    let rest = [
        rule.next().unwrap_or_default(),
        rule.next().unwrap_or_default(),
    ];
    let open = |part: &str, place: &str| part == "*" || part.is_empty() || part == place;
    (region == "*" || region == locality[0])
        && open(rest[0], locality[1])
        && open(rest[1], locality[2])
}

/// `applyLocalityWeights`.
fn distribute_weights(groups: &mut [Group], rules: &[Value]) {
    let from = |rule: &&Value| matches(OWN, rule["from"].as_str().expect("text"));
    let Some(rule) = rules.iter().find(from) else {
        return;
    };
    let mut unmatched: Vec<usize> = (0..groups.len()).collect();
    for (to, weight) in rule["to"].as_object().expect("a mapping") {
        let (mut found, mut total) = (vec![], 0);
        unmatched.retain(|&index| {
            let [r, z, s] = &groups[index].locality;
            let is_match = matches([r, z, s], to);
            if is_match {
                found.push(index);
                total += groups[index].weight;
            }
            !is_match
        });
        for index in found {
            let weight = weight.as_u64().expect("a number") as f64;
            groups[index].weight =
                (groups[index].weight as f64 * weight / total as f64).ceil() as u64;
        }
    }
    for index in unmatched {
        groups[index].endpoints.clear();
    }
}

/// `AugmentLabels`, then a look.
fn label<'a>(
    locality: [&'a str; 3],
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    name: &str,
) -> &'a str {
    let topology = [
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.istio.io/subzone",
    ];
    let place = topology
        .iter()
        .zip(locality)
        .filter(|(_, place)| !place.is_empty());
    let mut all: Vec<(&str, &str)> = place.map(|(name, place)| (*name, place)).collect();
    all.extend(labels);
    all.iter()
        .find(|(other, _)| *other == name)
        .map_or("", |(_, value)| value)
}

/// `applyFailoverPriorities`.
fn by_labels(case: &Case, groups: &[Group], labels: &[Value]) -> Vec<Group> {
    let labels: Vec<&str> = labels
        .iter()
        .map(|label| label.as_str().expect("text"))
        .collect();
    let priority = |endpoint: &Endpoint| {
        let mut priority = 0;
        for (j, text) in labels.iter().enumerate() {
            let (name, wanted) = match text.split_once('=') {
                Some((name, value)) => (name, value),
                None => (*text, label(OWN, OWN_LABELS.into_iter(), text)),
            };
            let [r, z, s] = &endpoint.locality;
            let own = endpoint
                .labels
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()));
            if label([r, z, s], own, name) == wanted {
                continue;
            }
            if j == 0 && name == "topology.istio.io/network" {
                priority += labels.len();
                continue;
            }
            priority += labels.len() - j;
            break;
        }
        priority
    };
    let mut out: Vec<Group> = vec![];
    for group in groups {
        for &index in &group.endpoints {
            let endpoint = &case.endpoints[index];
            let (priority, weight) = (priority(endpoint), u64::from(endpoint.weight));
            let same = out
                .iter_mut()
                .find(|g| g.locality == group.locality && g.priority == priority);
            match same {
                Some(group) => {
                    group.weight += weight;
                    group.endpoints.push(index);
                }
                None => out.push(Group {
                    locality: group.locality.clone(),
                    priority,
                    weight,
                    endpoints: vec![index],
                }),
            }
        }
    }
    without_gaps(&mut out);
    out
}

/// `applyLocalityFailover`.
fn by_region(groups: &mut [Group], regions: &[Value]) {
    for group in groups.iter_mut() {
        let same = |level: usize| group.locality[level] == OWN[level];
        let mut priority = match (same(0), same(1), same(2)) {
            (true, true, true) => 0,
            (true, true, false) => 1,
            (true, false, _) => 2,
            (false, ..) => 3,
        };
        let failover = regions.iter().find(|entry| entry["from"] == OWN[0]);
        if priority == 3 && failover.is_some_and(|entry| entry["to"] != group.locality[0].as_str())
        {
            priority = 4;
        }
        group.priority = group.priority * 5 + priority;
    }
    without_gaps(groups);
}

fn without_gaps(groups: &mut [Group]) {
    let mut sorted: Vec<usize> = groups.iter().map(|group| group.priority).collect();
    sorted.sort_unstable();
    sorted.dedup();
    for group in groups {
        group.priority = sorted
            .iter()
            .position(|p| *p == group.priority)
            .expect("it is there");
    }
}
