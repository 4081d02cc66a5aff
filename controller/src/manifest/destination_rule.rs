//! `DestinationRule`: the subsets of a service, and the policy towards its endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use super::decode::{Decoder, Field, Fields};
use super::locality::{self, LocalitySetting};
use super::{ConnectionPool, Located, Mark, connection_pool, name};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

mod hashing;
mod health_check;
mod outlier;
mod peak_ewma;
mod retry_budget;
mod tls;
mod warmup;

pub(crate) use hashing::{ConsistentHash, HashTable};
pub(crate) use health_check::HealthCheck;
pub(crate) use outlier::OutlierDetection;
pub(crate) use retry_budget::RetryBudget;
pub(crate) use tls::Tls;
pub(crate) use warmup::Warmup;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DestinationRule {
    /// May begin with `*.`, or be `*`.
    pub(crate) host: Located<String>,
    pub(crate) policy: TrafficPolicy,
    pub(crate) subsets: Vec<Subset>,
    /// Namespaces of the clients that it is for, `.` for its own, `*` for all; none: all.
    pub(crate) export_to: Vec<Located<String>>,
    /// It is for some clients only, of which none is a proxy of ours.
    pub(crate) selector: Option<Mark>,
}

impl DestinationRule {
    /// Its policy and those of its subsets.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &TrafficPolicy> {
        std::iter::once(&self.policy).chain(self.subsets.iter().map(|s| &s.policy))
    }

    /// Where it asks for TLS, at whatever level.
    pub(crate) fn tls(&self) -> impl Iterator<Item = &Tls> {
        let levels = self.policies().flat_map(TrafficPolicy::levels);
        let given = levels.filter_map(|p| p.tls.as_deref());
        given.filter(|tls| tls.is_asked_for())
    }

    /// What it hashes, at whatever level.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = &ConsistentHash> {
        let levels = self.policies().flat_map(TrafficPolicy::levels);
        levels.filter_map(|p| p.load_balancer.as_ref()?.hash.as_ref())
    }

    /// What it says of localities, at whatever level.
    pub(crate) fn locality_settings(&self) -> impl Iterator<Item = &LocalitySetting> {
        let levels = self.policies().flat_map(TrafficPolicy::levels);
        levels.filter_map(|p| p.load_balancer.as_ref()?.locality.as_ref())
    }

    /// The health checks that it asks for, at whatever level.
    pub(crate) fn health_checks(&self) -> impl Iterator<Item = &HealthCheck> {
        let levels = self.policies().flat_map(TrafficPolicy::levels);
        levels.filter_map(|p| p.health_check.as_deref())
    }

    /// Where it asks for PROXY headers, at whatever level.
    pub(crate) fn proxy_protocol(&self) -> Option<&Mark> {
        self.policies()
            .find_map(|policy| policy.proxy_protocol.as_ref())
    }

    pub(crate) fn asks_for_tls(&self) -> bool {
        self.tls().next().is_some()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subset {
    pub(crate) name: Located<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) policy: TrafficPolicy,
}

/// What is not set comes from the level above, but at a port's level from nowhere (as in Istio).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TrafficPolicy {
    pub(crate) load_balancer: Option<LoadBalancer>,
    pub(crate) connection_pool: Option<Box<ConnectionPool>>,
    pub(crate) outlier_detection: Option<Box<OutlierDetection>>,
    pub(crate) health_check: Option<Box<HealthCheck>>,
    /// Never of a port alone.
    pub(crate) retry_budget: Option<RetryBudget>,
    /// Where a PROXY header comes first. Never of a port alone.
    pub(crate) proxy_protocol: Option<Mark>,
    /// Where TLS is asked for.
    pub(crate) tls: Option<Box<Tls>>,
    pub(crate) ports: BTreeMap<u16, Located<Self>>,
}

impl TrafficPolicy {
    /// Itself, and the settings of its ports.
    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.ports.values().map(|port| &port.value))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LoadBalancer {
    pub(crate) simple: Option<Simple>,
    /// Never beside `simple`.
    pub(crate) hash: Option<ConsistentHash>,
    pub(crate) locality: Option<LocalitySetting>,
    pub(crate) warmup: Option<Warmup>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Simple {
    RoundRobin,
    LeastRequest,
    Random,
    /// Ours: the cheaper of two, by latency and load. Its decay.
    PeakEwma(Duration),
}

const RULE: &[Field] = &[
    Field::InForce("host"),
    Field::InForce("trafficPolicy"),
    Field::InForce("subsets"),
    Field::InForce("exportTo"),
    Field::InForce("workloadSelector"),
];

const SUBSET: &[Field] = &[
    Field::InForce("name"),
    Field::InForce("labels"),
    Field::InForce("trafficPolicy"),
];

const POLICY: &[Field] = &[
    Field::InForce("loadBalancer"),
    Field::InForce("outlierDetection"),
    Field::InForce("healthCheck"),
    Field::InForce("tls"),
    Field::InForce("portLevelSettings"),
    Field::InForce("retryBudget"),
    Field::InForce("connectionPool"),
    Field::NotYet("tunnel"),
    Field::InForce("proxyProtocol"),
];

const PORT_POLICY: &[Field] = &[
    Field::InForce("port"),
    Field::InForce("loadBalancer"),
    Field::InForce("outlierDetection"),
    Field::InForce("healthCheck"),
    Field::InForce("tls"),
    Field::InForce("connectionPool"),
];

const PORT: &[Field] = &[Field::InForce("number")];

const LOAD_BALANCER: &[Field] = &[
    Field::InForce("simple"),
    Field::InForce("localityLbSetting"),
    Field::NotYet("zoneAwareLbSetting"),
    Field::InForce("consistentHash"),
    Field::InForce("warmupDurationSecs"),
    Field::InForce("warmup"),
    Field::InForce("peakEwma"),
];

pub(super) fn decode(d: &mut Decoder, spec: &Node) -> Option<DestinationRule> {
    let fields = d.fields("spec", spec, RULE);
    let host = fields.required(d, "host");
    let host = host.filter(|host| d.check_name("spec.host", host, &name::WILDCARD_HOST));
    let policy = policy(d, &fields);
    let subsets: Vec<Subset> = fields
        .list(d, "subsets")
        .iter()
        .filter_map(|n| subset(d, n))
        .collect();
    for (i, subset) in subsets.iter().enumerate() {
        if subsets[..i]
            .iter()
            .any(|s| s.name.value == subset.name.value)
        {
            d.invalid(
                subset.name.at,
                format!("two subsets are named `{}`", subset.name.value),
                "give each subset a name of its own",
            );
        }
    }
    Some(DestinationRule {
        host: host?,
        policy,
        subsets,
        export_to: export_to(d, &fields),
        selector: fields.entry("workloadSelector").map(|e| Mark::new(e.at)),
    })
}

/// `~` is nobody in Istio's ServiceEntries, and refused in its DestinationRules.
fn export_to(d: &mut Decoder, fields: &Fields<'_>) -> Vec<Located<String>> {
    let mut names = fields.strings(d, "exportTo");
    names.retain(|to| {
        ["*", "."].contains(&to.value.as_str())
            || d.check_name("spec.exportTo", to, &name::NAMESPACE)
    });
    names
}

fn subset(d: &mut Decoder, node: &Node) -> Option<Subset> {
    let fields = d.fields("subsets", node, SUBSET);
    let name = fields.required(d, "name")?;
    d.check_name("subsets.name", &name, &name::WORD);
    let labels = fields.string_map(d, "labels");
    Some(Subset {
        name,
        labels,
        policy: policy(d, &fields),
    })
}

fn policy(d: &mut Decoder, parent: &Fields<'_>) -> TrafficPolicy {
    let Some(node) = parent.node("trafficPolicy") else {
        return TrafficPolicy::default();
    };
    let fields = d.fields("trafficPolicy", node, POLICY);
    let mut policy = level(d, &fields);
    for node in fields.list(d, "portLevelSettings") {
        let fields = d.fields("portLevelSettings", node, PORT_POLICY);
        let Some(port) = fields.node("port") else {
            fields.missing(d, "port");
            continue;
        };
        let number = d
            .fields("portLevelSettings.port", port, PORT)
            .port(d, "number");
        let settings = level(d, &fields);
        let Some(Located { value: number, at }) = number else {
            continue;
        };
        let settings = Located {
            value: settings,
            at,
        };
        if policy.ports.insert(number, settings).is_some() {
            let message = format!("`portLevelSettings` has port {number} twice");
            d.invalid(at, message, "write all settings of a port into one entry");
        }
    }
    policy
}

fn level(d: &mut Decoder, fields: &Fields<'_>) -> TrafficPolicy {
    let connection_pool = fields.node("connectionPool");
    let connection_pool = connection_pool.map(|node| Box::new(connection_pool::decode(d, node)));
    let max_retries = connection_pool
        .as_ref()
        .and_then(|pool| pool.http.max_retries);
    if let (Some(_), Some(budget)) = (max_retries, fields.entry("retryBudget")) {
        // As in Envoy.
        let message = "`connectionPool.http.maxRetries` has no effect: `retryBudget` counts";
        let diagnostic = Diagnostic::warning(Code::NotInForce, message);
        d.report(budget.at, diagnostic.remedy("remove one of the two"));
    }
    TrafficPolicy {
        connection_pool,
        load_balancer: fields
            .node("loadBalancer")
            .map(|node| load_balancer(d, node)),
        outlier_detection: fields
            .node("outlierDetection")
            .map(|node| Box::new(outlier::decode(d, node))),
        health_check: fields
            .node("healthCheck")
            .map(|node| Box::new(health_check::decode(d, node))),
        retry_budget: fields
            .node("retryBudget")
            .map(|node| retry_budget::decode(d, node)),
        proxy_protocol: fields.entry("proxyProtocol").map(|it| Mark::new(it.at)),
        tls: fields
            .node("tls")
            .map(|node| Box::new(tls::decode(d, node))),
        ports: BTreeMap::new(),
    }
}

const BALANCERS: &[&str] = &["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM"];

fn load_balancer(d: &mut Decoder, node: &Node) -> LoadBalancer {
    let fields = d.fields("loadBalancer", node, LOAD_BALANCER);
    let simple = fields
        .string(d, "simple")
        .and_then(|simple| match simple.value.as_str() {
            "ROUND_ROBIN" => Some(Simple::RoundRobin),
            "LEAST_REQUEST" | "LEAST_CONN" => Some(Simple::LeastRequest),
            "RANDOM" => Some(Simple::Random),
            "UNSPECIFIED" => None,
            "PASSTHROUGH" => {
                d.not_yet(simple.at, "loadBalancer.simple: PASSTHROUGH");
                None
            }
            _ => {
                d.not_a_choice("loadBalancer.simple", &simple, BALANCERS);
                None
            }
        });
    let peak_ewma = peak_ewma::decode(d, &fields);
    let hash = hashing::decode(d, &fields);
    if hash.is_some() {
        warmup::has_no_effect(d, &fields, "consistentHash");
    } else if simple == Some(Simple::Random) && peak_ewma.is_none() {
        warmup::has_no_effect(d, &fields, "RANDOM");
    }
    LoadBalancer {
        simple: peak_ewma.or(simple),
        hash,
        locality: locality::decode(d, &fields),
        warmup: warmup::decode(d, &fields),
    }
}
