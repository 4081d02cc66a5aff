//! `DestinationRule`: the subsets of a service, and the policy towards its endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Located;
use super::decode::{Decoder, Field, Fields};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DestinationRule {
    /// May begin with `*.`, or be `*`.
    pub(crate) host: Located<String>,
    pub(crate) policy: TrafficPolicy,
    pub(crate) subsets: Vec<Subset>,
}

impl DestinationRule {
    /// The modes of TLS that it asks for, at whatever level.
    pub(crate) fn tls(&self) -> impl Iterator<Item = &Tls> {
        let policies = std::iter::once(&self.policy).chain(self.subsets.iter().map(|s| &s.policy));
        let levels = policies.flat_map(|p| std::iter::once(p).chain(p.ports.values()));
        let asked = levels.filter_map(|p| p.tls.as_ref());
        asked.filter(|tls| tls.is_asked_for())
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
    pub(crate) outlier_detection: Option<OutlierDetection>,
    /// Where TLS is asked for.
    pub(crate) tls: Option<Tls>,
    pub(crate) ports: BTreeMap<u16, Self>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tls {
    pub(crate) mode: Located<String>,
}

impl Tls {
    /// DISABLE is the only mode that plaintext fulfils.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.mode.value != "DISABLE"
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LoadBalancer {
    pub(crate) simple: Option<Simple>,
    /// `localityLbSetting.enabled`, which can switch locality off.
    pub(crate) locality_enabled: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Simple {
    RoundRobin,
    LeastRequest,
    Random,
}

/// Unset fields have Envoy's defaults: 5 errors, 10 s, 30 s, 10 %.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OutlierDetection {
    pub(crate) consecutive_5xx: Option<u32>,
    pub(crate) interval: Option<Duration>,
    pub(crate) base_ejection: Option<Duration>,
    pub(crate) max_ejection_percent: Option<u32>,
    pub(crate) min_health_percent: Option<u32>,
}

const RULE: &[Field] = &[
    Field::InForce("host"),
    Field::InForce("trafficPolicy"),
    Field::InForce("subsets"),
    Field::NotYet("exportTo"),
    Field::NotYet("workloadSelector"),
];

const SUBSET: &[Field] = &[
    Field::InForce("name"),
    Field::InForce("labels"),
    Field::InForce("trafficPolicy"),
];

const POLICY: &[Field] = &[
    Field::InForce("loadBalancer"),
    Field::InForce("outlierDetection"),
    Field::InForce("tls"),
    Field::InForce("portLevelSettings"),
    Field::NotYet("connectionPool"),
    Field::NotYet("tunnel"),
    Field::NotYet("proxyProtocol"),
    Field::NotYet("retryBudget"),
];

const PORT_POLICY: &[Field] = &[
    Field::InForce("port"),
    Field::InForce("loadBalancer"),
    Field::InForce("outlierDetection"),
    Field::InForce("tls"),
    Field::NotYet("connectionPool"),
];

const PORT: &[Field] = &[Field::InForce("number")];

const LOAD_BALANCER: &[Field] = &[
    Field::InForce("simple"),
    Field::InForce("localityLbSetting"),
    Field::NotYet("consistentHash"),
    Field::NotYet("warmupDurationSecs"),
    Field::NotYet("warmup"),
];

const LOCALITY: &[Field] = &[
    Field::InForce("enabled"),
    Field::NotYet("distribute"),
    Field::NotYet("failover"),
    Field::NotYet("failoverPriority"),
];

const OUTLIER: &[Field] = &[
    Field::InForce("consecutive5xxErrors"),
    Field::InForce("consecutiveErrors"),
    Field::InForce("interval"),
    Field::InForce("baseEjectionTime"),
    Field::InForce("maxEjectionPercent"),
    Field::InForce("minHealthPercent"),
    Field::NotYet("consecutiveGatewayErrors"),
    Field::NotYet("consecutiveLocalOriginFailures"),
    Field::NotYet("splitExternalLocalOriginErrors"),
];

const TLS: &[Field] = &[
    Field::InForce("mode"),
    Field::NoEffect("clientCertificate"),
    Field::NoEffect("privateKey"),
    Field::NoEffect("caCertificates"),
    Field::NoEffect("caCrl"),
    Field::NoEffect("credentialName"),
    Field::NoEffect("subjectAltNames"),
    Field::NoEffect("sni"),
    Field::NoEffect("insecureSkipVerify"),
];

pub(super) fn decode(d: &mut Decoder, spec: &Node) -> Option<DestinationRule> {
    let fields = d.fields("spec", spec, RULE);
    let host = fields.required(d, "host");
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
            );
        }
    }
    Some(DestinationRule {
        host: host?,
        policy,
        subsets,
    })
}

fn subset(d: &mut Decoder, node: &Node) -> Option<Subset> {
    let fields = d.fields("subsets", node, SUBSET);
    let name = fields.required(d, "name")?;
    if name.value.contains(['|', '/', ' ']) {
        d.invalid(
            name.at,
            format!("`{}` is not the name of a subset", name.value),
        );
    }
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
        if let Some(number) = number {
            policy.ports.insert(number.value, settings);
        }
    }
    policy
}

fn level(d: &mut Decoder, fields: &Fields<'_>) -> TrafficPolicy {
    TrafficPolicy {
        load_balancer: fields
            .node("loadBalancer")
            .map(|node| load_balancer(d, node)),
        outlier_detection: fields.node("outlierDetection").map(|node| outlier(d, node)),
        tls: fields.node("tls").and_then(|node| tls(d, node)),
        ports: BTreeMap::new(),
    }
}

fn tls(d: &mut Decoder, node: &Node) -> Option<Tls> {
    let fields = d.fields("tls", node, TLS);
    let mode = fields.string(d, "mode");
    let mode = mode.unwrap_or_else(|| Located {
        value: "DISABLE".to_owned(),
        at: node.at,
    });
    match mode.value.as_str() {
        "DISABLE" => {}
        // Accepted here, so that the cluster is known and refused: a rule that is refused as a whole
        // would leave its host to be dialled in plaintext.
        "SIMPLE" | "MUTUAL" | "ISTIO_MUTUAL" => {}
        other => {
            let modes = "DISABLE, SIMPLE, MUTUAL or ISTIO_MUTUAL";
            d.invalid(mode.at, format!("`tls.mode` is {modes}, not `{other}`"));
        }
    }
    Some(Tls { mode })
}

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
            other => {
                let names = "ROUND_ROBIN, LEAST_REQUEST or RANDOM";
                d.invalid(
                    simple.at,
                    format!("`loadBalancer.simple` is {names}, not `{other}`"),
                );
                None
            }
        });
    let locality_enabled = fields.node("localityLbSetting").and_then(|node| {
        d.fields("localityLbSetting", node, LOCALITY)
            .boolean(d, "enabled")
    });
    LoadBalancer {
        simple,
        locality_enabled,
    }
}

fn outlier(d: &mut Decoder, node: &Node) -> OutlierDetection {
    let fields = d.fields("outlierDetection", node, OUTLIER);
    let mut number = |name: &str, high: i64| {
        let number = fields.integer(d, name, 0..=high)?;
        u32::try_from(number.value).ok()
    };
    let consecutive = number("consecutive5xxErrors", i64::from(u32::MAX));
    // The name that Istio had before 1.7 and still reads.
    let consecutive = consecutive.or_else(|| number("consecutiveErrors", i64::from(u32::MAX)));
    let max_ejection_percent = number("maxEjectionPercent", 100);
    let min_health_percent = number("minHealthPercent", 100);
    OutlierDetection {
        consecutive_5xx: consecutive,
        interval: duration(d, &fields, "interval"),
        base_ejection: duration(d, &fields, "baseEjectionTime"),
        max_ejection_percent,
        min_health_percent,
    }
}

fn duration(d: &mut Decoder, fields: &Fields<'_>, name: &str) -> Option<Duration> {
    let text = fields.string(d, name)?;
    let parsed = parse_duration(&text.value).filter(|p| *p >= Duration::from_millis(1));
    if parsed.is_none() {
        let message = format!(
            "`{}` is not a duration of at least 1ms: `{}`",
            fields.path_of(name),
            text.value
        );
        let diagnostic = Diagnostic::error(Code::InvalidValue, message);
        d.report(
            text.at,
            diagnostic.remedy("write a number with h, m, s or ms, as in `10s`"),
        );
    }
    parsed
}

/// Go's notation: numbers with units, one after the other, as in `1m30s` or `1.5s`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let rows = [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            ("250ms", Some(250)),
            ("2h", Some(7_200_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("1d", None),
            ("99999999999999999999h", None),
        ];
        for (text, millis) in rows {
            assert_eq!(
                parse_duration(text),
                millis.map(Duration::from_millis),
                "{text}"
            );
        }
    }
}
