//! What the sidecars of a mesh would be told, where a controller leads them: the objects, as they would be written.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::asking::Asking;
use super::place;
use super::rules::Rules;
use super::seen::{self, SeenPolicy};
use crate::index::Objects;
use crate::leads::Leader;
use crate::manifest::ObjectRef;
use crate::model::{LedService, Model, Waypoint};
use crate::standing::DEFAULT;

/// A Gateway that sidecars would be led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedLead {
    pub gateway: ObjectRef,
    /// Where it stands.
    pub place: String,
    /// What would be written: how it is dialled, and then for each host which ports.
    pub objects: Vec<Value>,
    /// What would not be led there, and why, in a sentence each.
    pub not_led: Vec<String>,
    /// Of the services of which there are some.
    pub policies: Vec<PoliciesOf>,
}

/// Policies at the pods of a service that ask who a client is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoliciesOf {
    pub service: ObjectRef,
    pub policies: Vec<SeenPolicy>,
}

/// Those that services ask for.
pub(super) fn planned(
    model: &Model,
    (objects, root_namespace): (&Objects, &str),
) -> Vec<PlannedLead> {
    let waypoints = model.waypoints.iter();
    let led = waypoints.filter(|it| it.sidecars.is_some() && !it.led.services.is_empty());
    let rules = Rules::of(objects);
    let planned = led.map(|waypoint| {
        let services = model.services.iter();
        let services =
            services.filter(|it| waypoint.led.services.iter().any(|led| led.host == it.host));
        let policies = services.map(|service| PoliciesOf {
            service: service.source.id.clone(),
            policies: seen::policies(&Asking {
                service,
                waypoint,
                objects,
                root_namespace,
                sidecars: &BTreeSet::new(),
                rules: &rules,
            }),
        });
        PlannedLead {
            policies: policies.filter(|it| !it.policies.is_empty()).collect(),
            ..of_gateway(waypoint)
        }
    });
    planned.collect()
}

fn of_gateway(waypoint: &Waypoint) -> PlannedLead {
    let gateway = &waypoint.gateway;
    let leader = Leader {
        revision: DEFAULT,
        gateway: &gateway.id,
    };
    let led = &waypoint.led;
    let (mut objects, mut not_led) = (vec![], vec![]);
    match &led.via {
        Some(via) => {
            objects.push(leader.destination_rule(via));
            let services = led.services.iter().filter(|it| !it.ports.is_empty());
            objects.extend(services.map(|it| leader.virtual_service(it, via)));
        }
        None => not_led.push(format!(
            "anything: no Service of {} with port {} is called {}, or has the label gateway.networking.k8s.io/gateway-name: {}",
            gateway.id.namespace, waypoint.port, gateway.id.name, gateway.id.name
        )),
    }
    not_led.extend(led.services.iter().flat_map(taken));
    PlannedLead {
        gateway: gateway.id.clone(),
        place: place(gateway),
        objects,
        not_led,
        policies: vec![],
    }
}

fn taken(led: &LedService) -> impl Iterator<Item = String> {
    let taken = led.taken.iter();
    taken.map(|(port, other)| format!("port {port} of {}: {other} has a route for it", led.service))
}

impl PlannedLead {
    /// Whether something of it is in a namespace.
    pub(super) fn is_about(&self, namespace: &str) -> bool {
        let mut objects = self.objects.iter();
        *self.gateway.namespace == *namespace
            || objects.any(|it| it["metadata"]["namespace"] == namespace)
    }
}

impl fmt::Display for PlannedLead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sidecars to {} ({})", self.gateway, self.place)?;
        if !self.objects.is_empty() {
            writeln!(f, "  a controller with sidecars.enabled would write")?;
        }
        for object in &self.objects {
            let text = |path: &str| {
                object
                    .pointer(path)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let (kind, namespace) = (text("/kind"), text("/metadata/namespace"));
            write!(f, "    {kind} {namespace}/{}: ", text("/metadata/name"))?;
            match object.pointer("/spec/host").and_then(Value::as_str) {
                Some(host) => writeln!(f, "{host}, by PROXY header and ISTIO_MUTUAL")?,
                None => writeln!(f, "{}, {}", text("/spec/hosts/0"), ports(object))?,
            }
        }
        for PoliciesOf { service, policies } in &self.policies {
            writeln!(
                f,
                "  policies at the pods of {service}, which see the Gateway"
            )?;
            for policy in policies {
                writeln!(f, "{policy}")?;
            }
        }
        for reason in &self.not_led {
            writeln!(f, "  would not lead {reason}")?;
        }
        Ok(())
    }
}

fn ports(object: &Value) -> String {
    let matches = object
        .pointer("/spec/tcp/0/match")
        .and_then(Value::as_array);
    let ports = matches.into_iter().flatten();
    let ports: Vec<_> = ports.map(|it| it["port"].to_string()).collect();
    match ports.as_slice() {
        [only] => format!("port {only}"),
        several => format!("ports {}", several.join(", ")),
    }
}
