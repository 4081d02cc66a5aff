//! What is left as it is when waypoints are out, since it is other people's: what asks for them, and what was enforced there.

use std::collections::BTreeSet;
use std::fmt;

use kube::api::DynamicObject;
use serde_json::Value;

use super::Id;
use super::cluster::{Cluster, listed};
use crate::manifest::Kind;
use crate::model::{USE, USE_NAMESPACE};
use crate::source::kubernetes::resource;
use crate::waypoint::gateway::DETACH;

#[derive(Debug, Default)]
pub(super) struct Remains {
    gateways: BTreeSet<Id>,
    /// With its kind, each that asks for one of them by its label.
    asking: Vec<(Kind, Id)>,
    /// Each that was enforced at one of them, and nowhere else.
    policies: Vec<Id>,
}

impl Remains {
    pub(super) async fn look(cluster: &Cluster, gateways: &BTreeSet<Id>) -> kube::Result<Self> {
        let mut remains = Self {
            gateways: gateways.clone(),
            ..Self::default()
        };
        for (kind, version) in [
            (Kind::Service, "v1"),
            (Kind::ServiceEntry, "v1"),
            (Kind::Namespace, "v1"),
        ] {
            let resource = resource::of(kind, version);
            // Who looks at one namespace may not see others.
            let objects = match (kind, &cluster.namespace) {
                (Kind::Namespace, Some(_)) => continue,
                (Kind::Namespace, None) => cluster.everywhere(&resource),
                _ => cluster.objects(&resource),
            };
            let asking = listed(&objects, USE).await?;
            remains.asking.extend(asking.iter().filter_map(|object| {
                let (asks, named) = asks(object)?;
                gateways.contains(&named).then_some((kind, asks))
            }));
        }
        let policies = cluster.objects(&resource::of(Kind::AuthorizationPolicy, "v1"));
        let policies = listed(&policies, "").await?;
        let targets = policies.iter().filter(|it| remains.is_target_of(it));
        remains.policies = targets.map(place).collect();
        Ok(remains)
    }

    fn is_target_of(&self, policy: &DynamicObject) -> bool {
        let namespace = place(policy).namespace;
        let one = &policy.data["spec"]["targetRef"];
        let many = policy.data["spec"]["targetRefs"].as_array();
        let mut targets = many.into_iter().flatten().chain([one]);
        targets.any(|target| {
            let named = Id {
                namespace: namespace.clone(),
                name: text(&target["name"]),
            };
            let asks = |kind| self.asking.contains(&(kind, named.clone()));
            match target["kind"].as_str() {
                Some("Gateway") => self.gateways.contains(&named),
                Some("Service") => asks(Kind::Service),
                Some("ServiceEntry") => asks(Kind::ServiceEntry),
                _ => false,
            }
        })
    }

    /// `is_marked`: whether Gateways still say that they are out.
    pub(super) fn tell(&self, is_marked: bool, tell: &mut impl FnMut(fmt::Arguments<'_>)) {
        for policy in &self.policies {
            tell(format_args!(
                "warning: the AuthorizationPolicy {policy} is enforced at a waypoint: without it nobody enforces it"
            ));
        }
        for (kind, id) in &self.asking {
            let name = match id.namespace.is_empty() {
                true => id.name.clone(),
                false => id.to_string(),
            };
            tell(format_args!(
                "{} {name} keeps its label {USE}, which means nothing without the waypoint",
                kind.name()
            ));
        }
        for id in self.gateways.iter().filter(|_| is_marked) {
            tell(format_args!(
                "Gateway {id} stays; to attach it again: kubectl -n {} annotate gateway.gateway.networking.k8s.io {} {DETACH}-",
                id.namespace, id.name
            ));
        }
    }
}

/// What asks, and for which Gateway.
fn asks(object: &DynamicObject) -> Option<(Id, Id)> {
    let asks = place(object);
    let labels = object.metadata.labels.as_ref()?;
    // A namespace asks for a Gateway in itself.
    let own = match asks.namespace.is_empty() {
        true => &asks.name,
        false => &asks.namespace,
    };
    let named = Id {
        namespace: labels.get(USE_NAMESPACE).unwrap_or(own).clone(),
        name: labels.get(USE)?.clone(),
    };
    Some((asks, named))
}

fn place(object: &DynamicObject) -> Id {
    Id {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(metadata: Value, spec: Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn id(text: &str) -> Id {
        let (namespace, name) = text.split_once('/').unwrap();
        Id {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_label_names_a_gateway_of_its_own_namespace_unless_it_says_another() {
        let rows = [
            (
                json!({"name": "a", "namespace": "shop", "labels": {USE: "l7"}}),
                Some("shop/l7"),
            ),
            (
                json!({"name": "a", "namespace": "shop", "labels": {USE: "l7", USE_NAMESPACE: "mesh"}}),
                Some("mesh/l7"),
            ),
            (
                json!({"name": "shop", "labels": {USE: "l7"}}),
                Some("shop/l7"),
            ),
            (json!({"name": "shop", "labels": {}}), None),
        ];
        for (metadata, expected) in rows {
            let found = asks(&object(metadata.clone(), Value::Null));
            assert_eq!(
                found.map(|(_, named)| named),
                expected.map(id),
                "{metadata}"
            );
        }
    }

    #[test]
    fn a_policy_is_told_that_was_enforced_at_a_waypoint() {
        let remains = Remains {
            gateways: [id("shop/l7")].into(),
            asking: vec![(Kind::Service, id("shop/cache"))],
            policies: vec![],
        };
        let target = |kind: &str, name: &str| json!({"kind": kind, "name": name});
        let rows = [
            (json!({"targetRefs": [target("Gateway", "l7")]}), true),
            (json!({"targetRef": target("Service", "cache")}), true),
            (
                json!({"targetRefs": [target("Gateway", "other"), target("Service", "cache")]}),
                true,
            ),
            (json!({"targetRefs": [target("Service", "other")]}), false),
            (
                json!({"selector": {"matchLabels": {"app": "cache"}}}),
                false,
            ),
            (json!({}), false),
        ];
        for (spec, expected) in rows {
            let policy = object(json!({"name": "p", "namespace": "shop"}), spec.clone());
            assert_eq!(remains.is_target_of(&policy), expected, "{spec}");
            let elsewhere = object(json!({"name": "p", "namespace": "bank"}), spec);
            assert!(!remains.is_target_of(&elsewhere));
        }
    }
}
