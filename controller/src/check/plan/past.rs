//! Who reaches the pods of a service without coming through its waypoint.

use std::collections::BTreeSet;
use std::fmt;

use meltemi_policy::authorization::Action;
use serde::Serialize;

use super::asking::{Asking, Labels};
use super::seen::{AtPods, at_pods};
use crate::index::Objects;
use crate::manifest::Kind;
use crate::model::{Reach, is_captured};

/// Some of the clients of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PastIt {
    pub way: Way,
    /// Namespaces of such clients, where these are known.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub namespaces: BTreeSet<String>,
    /// The pods admit the waypoint alone, so that these clients are refused.
    pub refused: bool,
    pub remedy: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It is headless: its clients have no other address.
    Headless,
    /// Clients that find the addresses of pods, in a registry or elsewhere.
    Pods,
    /// Sidecars, and Gateways of Istio.
    Sidecars,
    /// Whoever else can reach the pods.
    Others,
}

/// What the injector writes on pods that have a sidecar.
const TLS_MODE: (&str, &str) = ("security.istio.io/tlsMode", "istio");
const INJECT: (&str, &str) = ("sidecar.istio.io/inject", "true");
const INJECTION: (&str, &str) = ("istio-injection", "enabled");
const REVISION: &str = "istio.io/rev";
const AMBIENT: (&str, &str) = ("istio.io/dataplane-mode", "ambient");

pub(super) fn ways(asking: &Asking<'_>) -> Vec<PastIt> {
    let refused = admits_waypoint_alone(asking);
    let has_pods = asking.service.selector().is_some();
    let mut ways = vec![];
    let mut add = |way: Way, namespaces: BTreeSet<String>| {
        ways.push(PastIt {
            way,
            namespaces,
            refused,
            remedy: way.remedy(refused),
        });
    };
    if has_pods && !asking.are_pods_captured() {
        let way = match is_captured(asking.service) {
            true => Way::Pods,
            false => Way::Headless,
        };
        add(way, BTreeSet::new());
    }
    if !asking.sidecars.is_empty() {
        add(Way::Sidecars, asking.sidecars.clone());
    }
    if has_pods && !refused {
        add(Way::Others, BTreeSet::new());
    }
    ways
}

impl Way {
    const fn remedy(self, refused: bool) -> &'static str {
        match self {
            Self::Headless => {
                "give it a cluster IP; or its pods the label istio.io/use-waypoint, and the Gateway the label \
                 istio.io/waypoint-for: all"
            }
            Self::Pods => {
                "give its pods the label istio.io/use-waypoint, and the Gateway the label istio.io/waypoint-for: all; or \
                 let clients dial the service"
            }
            Self::Sidecars if refused => {
                "move them to ambient, or admit them at the pods; for Gateways label the service \
                 istio.io/ingress-use-waypoint: \"true\""
            }
            Self::Sidecars => {
                "move them to ambient; for Gateways label the service istio.io/ingress-use-waypoint: \"true\""
            }
            Self::Others => {
                "write an AuthorizationPolicy with the labels of its pods that admits the waypoint's principal alone"
            }
        }
    }
}

/// Whether nobody but the waypoint may use any of its pods.
fn admits_waypoint_alone(asking: &Asking<'_>) -> bool {
    let at_pods = at_pods(asking);
    let at_pods = || at_pods.iter().filter(|it| !it.policy.is_closed);
    let is_for_waypoint = |it: &AtPods<'_>| asking.waypoint.hop.is_all_of(&it.policy.policy);
    let of = |action: Action| at_pods().filter(move |it| it.policy.policy.action == action);
    let everywhere = |it: &&AtPods<'_>| it.reach == Reach::All;
    let denies_others = of(Action::Deny).filter(everywhere).any(is_for_waypoint);
    let is_allowed = of(Action::Allow).any(|it| it.reach == Reach::All);
    denies_others || (is_allowed && of(Action::Allow).all(is_for_waypoint))
}

/// Namespaces in which something has a sidecar.
pub(super) fn with_sidecars(objects: &Objects) -> BTreeSet<String> {
    let has = |labels: &Labels, (name, value): (&str, &str)| {
        labels.get(name).is_some_and(|it| it == value)
    };
    let namespaces = objects.of_kind(Kind::Namespace).filter(|object| {
        let labels = &object.metadata.labels;
        has(labels, INJECTION) || (labels.contains_key(REVISION) && !has(labels, AMBIENT))
    });
    let pods = objects.of_kind(Kind::Pod).filter(|object| {
        let labels = &object.metadata.labels;
        has(labels, TLS_MODE) || has(labels, INJECT)
    });
    let namespaces = namespaces.map(|object| object.id.name.to_string());
    let of_pods = pods.map(|object| object.id.namespace.to_string());
    namespaces.chain(of_pods).collect()
}

impl fmt::Display for PastIt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.way {
            Way::Headless => "its clients: it is headless, so that they dial its pods",
            Way::Pods => {
                "clients that dial its pods: from a registry of Dubbo, by the name of a StatefulSet's pod"
            }
            Way::Sidecars => "clients with a sidecar, and Gateways of Istio",
            Way::Others => {
                "whoever else reaches its pods: no policy there admits the waypoint alone"
            }
        };
        write!(f, "    {who}")?;
        if !self.namespaces.is_empty() {
            let namespaces: Vec<_> = self.namespaces.iter().map(String::as_str).collect();
            write!(f, " (of {})", namespaces.join(", "))?;
        }
        if self.refused {
            f.write_str("; the pods refuse them")?;
        }
        write!(f, "\n      = {}", self.remedy)
    }
}
