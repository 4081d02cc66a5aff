//! A service: its endpoints with their health, and the rule that decides who is asked.

use std::fmt::Write;

use serde_json::{Map, Value, json};

/// Where both proxies run, and what they are called there.
pub(crate) const OWN: [&str; 3] = ["r1", "z1", "s1"];
pub(crate) const OWN_LABELS: [(&str, &str); 3] = [
    ("version", "v1"),
    ("topology.istio.io/network", "n1"),
    ("kubernetes.io/hostname", "h1"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Healthy,
    Degraded,
    Unhealthy,
}

#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) locality: [String; 3],
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) weight: u32,
    pub(crate) health: Health,
}

impl Endpoint {
    /// Its pod's name, if it is one of a StatefulSet.
    pub(crate) fn hostname(&self) -> String {
        let pod = self.labels.iter().find(|(name, _)| name == POD);
        pod.map(|(_, name)| name.clone()).unwrap_or_default()
    }
}

pub(crate) const POD: &str = "statefulset.kubernetes.io/pod-name";

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) endpoints: Vec<Endpoint>,
    /// `loadBalancer` of the DestinationRule, but for the next.
    pub(crate) balancer: Value,
    /// `localityLbSetting` of the DestinationRule.
    pub(crate) setting: Option<Value>,
    /// The annotation `traffic-distribution`.
    pub(crate) distribution: Option<&'static str>,
    /// `minHealthPercent`, where there is outlier detection.
    pub(crate) min_health: Option<u32>,
}

/// Hosts in all, healthy and degraded ones.
type Tier = (u32, u32, u32);

impl Case {
    /// Tiers of so many hosts, of which so many are healthy and degraded, by the distance of their
    /// localities.
    pub(crate) fn of_tiers(name: &str, tiers: &[Tier], min_health: u32) -> Self {
        let places = [["r1", "z1", "s1"], ["r1", "z1", "s2"], ["r1", "z2", "s1"]];
        let mut endpoints = vec![];
        for (&(total, healthy, degraded), place) in tiers.iter().zip(places) {
            for host in 0..total {
                let health = match host {
                    host if host < healthy => Health::Healthy,
                    host if host < healthy + degraded => Health::Degraded,
                    _ => Health::Unhealthy,
                };
                endpoints.push(Endpoint {
                    locality: place.map(str::to_owned),
                    labels: vec![],
                    weight: 1,
                    health,
                });
            }
        }
        Self {
            name: name.to_owned(),
            endpoints,
            balancer: json!({"simple": "ROUND_ROBIN"}),
            setting: None,
            distribution: None,
            min_health: Some(min_health),
        }
    }

    /// The manifests of the service, with a Gateway of its own, its number.
    pub(crate) fn manifests(
        &self,
        number: usize,
        address: impl Fn(usize) -> (String, u16),
    ) -> String {
        let mut endpoints = String::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let (ip, port) = address(index);
            let labels: Map<_, _> = endpoint
                .labels
                .iter()
                .map(|(k, v)| (k.clone(), json!(v)))
                .collect();
            let entry = json!({
                "address": ip,
                "ports": {"tcp-redis": port},
                "locality": endpoint.locality.join("/"),
                "weight": endpoint.weight,
                "labels": labels,
            });
            let _ = write!(endpoints, "\n  - {entry}");
        }
        let annotations = match self.distribution {
            Some(word) => json!({"networking.istio.io/traffic-distribution": word}),
            None => json!({}),
        };
        let mut policy = json!({"loadBalancer": self.balancer});
        if let Some(setting) = &self.setting {
            policy["loadBalancer"]["localityLbSetting"] = setting.clone();
        }
        if let Some(percent) = self.min_health {
            policy["outlierDetection"] = json!({"minHealthPercent": percent});
        }
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
             metadata: {{name: c{number}, annotations: {annotations}}}\nspec:\n  hosts: [c{number}.test]\n  \
             ports: [{{number: 6379, name: tcp-redis}}]\n  resolution: STATIC\n  endpoints:{endpoints}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: c{number}}}\n\
             spec: {{host: c{number}.test, trafficPolicy: {policy}}}\n---\n\
             apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: c{number}}}\nspec:\n  \
             servers: [{{name: it, bind: 127.0.0.1, port: {{number: 0, name: tcp-redis}}}}]\n---\n\
             apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: c{number}}}\n\
             spec: {{hosts: [c{number}.test], gateways: [c{number}]}}\n---\n"
        )
    }
}

/// The rows of Envoy's arithmetic, as its documentation and its code have them.
pub(crate) fn rows() -> Vec<Case> {
    let rows: [(&str, &[Tier], u32); 16] = [
        ("72%", &[(100, 72, 0), (1, 1, 0)], 0),
        ("71%", &[(100, 71, 0), (1, 1, 0)], 0),
        ("50%", &[(10, 5, 0), (10, 10, 0)], 0),
        ("25%", &[(8, 2, 0), (2, 2, 0)], 0),
        ("0%", &[(3, 0, 0), (3, 3, 0)], 0),
        ("71 healthy, 29 degraded", &[(100, 71, 29)], 0),
        ("71 healthy, 29 unhealthy", &[(100, 71, 0)], 0),
        ("25/25/20", &[(20, 5, 0), (20, 5, 0), (20, 4, 0)], 0),
        ("5/65", &[(20, 1, 0), (20, 13, 0)], 0),
        (
            "degraded of all tiers",
            &[(4, 0, 2), (4, 1, 3), (4, 0, 1)],
            0,
        ),
        ("50/60, threshold 50", &[(10, 5, 0), (10, 6, 0)], 50),
        ("5/100, threshold 50", &[(20, 1, 0), (10, 10, 0)], 50),
        ("5/65, threshold 50", &[(20, 1, 0), (20, 13, 0)], 50),
        (
            "25/25/20, threshold 50",
            &[(20, 5, 0), (10, 2, 0), (5, 1, 0)],
            50,
        ),
        ("0/0, threshold 50", &[(2, 0, 0), (5, 0, 0)], 50),
        ("0/0, threshold 0", &[(2, 0, 0), (5, 0, 0)], 0),
    ];
    rows.map(|(name, tiers, threshold)| Case::of_tiers(name, tiers, threshold))
        .into()
}

/// Localities that share one tier, of which some lack hosts.
pub(crate) fn weighted() -> Vec<Case> {
    let places: [(&str, Tier); 3] = [
        ("r1/z1/s1", (3, 1, 0)),
        ("r1/z2/s1", (2, 2, 0)),
        ("r2/z1/s1", (4, 2, 0)),
    ];
    let shares = json!([{"from": "r1/z1/*", "to": {"r1/z1": 50, "r1/z2/*": 30, "r2": 20}}]);
    let settings = [
        ("distribute", json!({ "distribute": shares })),
        // Nobody has the label, so that all are equal; their weights are those of their hosts.
        ("failoverPriority", json!({"failoverPriority": ["version"]})),
    ];
    let case = |(name, setting): (&str, Value)| {
        let mut case = Case::of_tiers(name, &places.map(|(_, tier)| tier), 0);
        let of_host = places
            .iter()
            .flat_map(|(place, tier)| std::iter::repeat_n(place, tier.0 as usize));
        for (endpoint, place) in case.endpoints.iter_mut().zip(of_host) {
            let parts: Vec<_> = place.split('/').map(str::to_owned).collect();
            endpoint.locality = parts.try_into().expect("three parts");
        }
        case.setting = Some(setting);
        case
    };
    settings.map(case).into()
}

/// SplitMix64, so that a seed tells all.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A case that nobody thought of.
pub(crate) fn any(random: &mut Random, number: usize) -> Case {
    let endpoints = (0..2 + random.below(14))
        .map(|_| any_endpoint(random))
        .collect();
    let (setting, distribution) = any_rule(random);
    Case {
        name: format!("random {number}"),
        endpoints,
        balancer: json!({"simple": "ROUND_ROBIN"}),
        min_health: *random.of(&[None, Some(0), Some(0), Some(0), Some(40), Some(60)]),
        setting,
        distribution,
    }
}

fn any_endpoint(random: &mut Random) -> Endpoint {
    let mut labels = vec![];
    for (name, values) in [
        ("version", ["v1", "v2", ""]),
        ("topology.istio.io/network", ["n1", "n1", "n2"]),
        ("kubernetes.io/hostname", ["h1", "h2", ""]),
    ] {
        let value = *random.of(&values);
        if !value.is_empty() {
            labels.push((name.to_owned(), value.to_owned()));
        }
    }
    let locality = [
        ["r1", "r1", "r2", "r3"],
        ["z1", "z1", "z1", "z2"],
        ["s1", "s1", "s2", ""],
    ];
    use Health::{Degraded, Healthy, Unhealthy};
    Endpoint {
        locality: locality.map(|parts| (*random.of(&parts)).to_owned()),
        labels,
        weight: 1 + random.below(4) as u32,
        health: *random.of(&[Healthy, Healthy, Healthy, Unhealthy, Unhealthy, Degraded]),
    }
}

fn any_rule(random: &mut Random) -> (Option<Value>, Option<&'static str>) {
    let failover = json!([{"from": "r1", "to": random.of(&["r2", "r3"])}]);
    let labels = [
        json!([
            "version",
            "topology.kubernetes.io/region",
            "topology.kubernetes.io/zone"
        ]),
        json!(["version=v2", "kubernetes.io/hostname"]),
        json!([
            "topology.istio.io/network",
            "version",
            "topology.istio.io/subzone"
        ]),
        json!(["topology.kubernetes.io/region", "topology.istio.io/network"]),
    ];
    match random.below(8) {
        0 => (None, None),
        1 => (Some(json!({ "failover": failover })), None),
        2 => (
            Some(json!({ "failoverPriority": random.of(&labels) })),
            None,
        ),
        3 => {
            let labels = json!(["version", "kubernetes.io/hostname"]);
            (
                Some(json!({"failoverPriority": labels, "failover": failover})),
                None,
            )
        }
        4 => (None, Some("PreferSameNode")),
        5 => (None, Some("PreferClose")),
        6 => (Some(json!({"enabled": false})), Some("PreferClose")),
        _ => (Some(any_distribution(random)), None),
    }
}

fn any_distribution(random: &mut Random) -> Value {
    let to = [
        json!({"r1/z1/*": 70, "r1/z2": 20, "r2": 10}),
        json!({"r1/*": 34, "r2/*": 33, "r3": 33}),
        json!({"*": 100}),
        json!({"r2/z1": 95, "r3/z9": 5}),
    ];
    let from = *random.of(&["r1/z1/s1", "r1/*", "*", "r2"]);
    json!({"distribute": [{"from": "r9", "to": {"r9": 100}}, {"from": from, "to": random.of(&to)}]})
}
