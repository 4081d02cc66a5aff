//! `trafficDistribution`: how near the endpoints of a service have to be, as its field or an annotation says.

use meltemi_policy::place::topology;
use meltemi_policy::{LocalityRule, PriorityLabel};

use super::Findings;
use crate::diagnostic::{Code, Diagnostic};
use crate::index::Objects;
use crate::manifest::{Kind, Located, Object, ObjectRef, Spec, nearest, one_of};

/// Kubernetes' words; `PreferClose` is an older one for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrafficDistribution {
    PreferSameZone,
    PreferSameNode,
}

const ANNOTATION: &str = "networking.istio.io/traffic-distribution";
const WORDS: &[&str] = &["PreferSameZone", "PreferSameNode", "PreferClose", "Any"];

impl TrafficDistribution {
    /// What the field of a Service says, else its annotation, else that of its namespace, as in Istio
    /// (`GetTrafficDistribution`); `Any` is none.
    pub(super) fn of(service: &Object, objects: &Objects) -> Option<Self> {
        if let Spec::Service(spec) = &service.spec
            && let Some(field) = &spec.traffic_distribution
            && let Some(distribution) = Self::parse(&field.value)
        {
            return distribution;
        }
        let namespace = ObjectRef::new(Kind::Namespace, "", &service.id.namespace);
        let namespace = objects.get(&namespace).map(|object| &**object);
        let said = |object: &Object| {
            let value = object.metadata.annotations.get(ANNOTATION)?;
            Self::parse(&value.value)
        };
        said(service).or_else(|| namespace.and_then(said)).flatten()
    }

    /// None if it is no such word.
    fn parse(word: &str) -> Option<Option<Self>> {
        match word.to_lowercase().as_str() {
            "prefersamezone" | "preferclose" => Some(Some(Self::PreferSameZone)),
            "prefersamenode" => Some(Some(Self::PreferSameNode)),
            "any" => Some(None),
            _ => None,
        }
    }

    /// As Istio: a `failoverPriority` that needs no outlier detection.
    pub(super) fn rule(self) -> LocalityRule {
        let zone = [topology::NETWORK, topology::REGION, topology::ZONE];
        let node = [topology::SUBZONE, topology::HOSTNAME];
        let labels = zone.iter().chain(match self {
            Self::PreferSameZone => &[][..],
            Self::PreferSameNode => &node,
        });
        LocalityRule::Failover {
            labels: labels.map(|label| PriorityLabel::parse(label)).collect(),
            regions: vec![],
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::PreferSameZone => "PreferSameZone",
            Self::PreferSameNode => "PreferSameNode",
        }
    }
}

/// A word that is none would be passed over.
pub(super) fn check(object: &Object, findings: &mut Findings) {
    let field = match &object.spec {
        Spec::Service(service) => service.traffic_distribution.as_ref(),
        _ => None,
    };
    let asked = field
        .into_iter()
        .chain(object.metadata.annotations.get(ANNOTATION));
    for asked in asked.filter(|asked| TrafficDistribution::parse(&asked.value).is_none()) {
        unknown(object, asked, findings);
    }
}

fn unknown(object: &Object, asked: &Located<String>, findings: &mut Findings) {
    let near = nearest(&asked.value, WORDS.iter().copied());
    let near = near.map(|near| format!("; did you mean `{near}`?"));
    let near = near.unwrap_or_default();
    let message = format!("`{}` is no traffic distribution{near}", asked.value);
    let diagnostic = Diagnostic::error(Code::InvalidValue, message);
    let remedy = format!("it takes {}", one_of(WORDS));
    findings.at(object, asked.at, diagnostic.remedy(remedy));
}
