//! What there should be, of what there is: each object, each status, as a wish.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::class::{self, Taken};
use super::gateway::{BINDING, BOUND, Waypoint};
use super::led;
use super::objects;
use super::overrides::Overrides;
use super::parameters::{Key, Parameters};
use super::part::Part;
use super::settings::WaypointSettings;
use super::status::{self, Standing};
use super::term::{Problems, Target};
use super::world::{Parts, Seen};
use crate::model::CONTROLLER;
use crate::status::{Kind, News, State, Truth, Wanted};

/// Who wishes.
#[derive(Clone, Debug)]
pub(super) struct Planner {
    pub(super) revision: String,
    /// None: classes alone are kept.
    pub(super) settings: Option<WaypointSettings>,
    /// Whether sidecars are led to Gateways.
    pub(super) leads_sidecars: bool,
}

/// What is known at one moment.
pub(super) struct Known<'a> {
    pub(super) seen: &'a Seen,
    pub(super) news: Option<&'a News>,
    pub(super) parameters: &'a Parameters,
    /// With what was wished before.
    pub(super) problems: &'a Problems,
    /// As conditions have it.
    pub(super) now: &'a str,
}

/// What is wanted of one object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wish {
    pub(super) target: Target,
    pub(super) action: Action,
    /// As it is now.
    pub(super) live: Option<Arc<DynamicObject>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// To be so; other fields are other people's.
    Apply(Value),
    /// The same, where less is wished than before.
    Withdraw(Value),
    Delete,
}

/// By the uid of its Gateway, what each waypoint was made of last: it stays so while overrides cannot be used.
pub(super) type Good = BTreeMap<String, Vec<(Part, Value)>>;

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) wishes: Vec<Wish>,
    pub(super) taken: Vec<Taken>,
}

impl Planner {
    /// All of it, in the order in which it is to be done.
    pub(super) fn plan(&self, known: &Known<'_>, good: &mut Good) -> Plan {
        let mut plan = self.classes(known);
        if self.leads_sidecars {
            plan.wishes.extend(led::plan(&self.revision, known));
        }
        let (Some(settings), Some(parts)) = (&self.settings, &known.seen.parts) else {
            return plan;
        };
        let gateways = known.seen.gateways.iter().flatten();
        let mut there = BTreeSet::new();
        for object in gateways {
            let Some(waypoint) = Waypoint::of(object) else {
                continue;
            };
            if !self.is_ours(object) {
                plan.wishes.extend(released(object, &waypoint, parts));
                continue;
            }
            // What goes takes its objects along: the garbage collector of the cluster sees to it.
            if object.metadata.deletion_timestamp.is_some() {
                continue;
            }
            there.insert(waypoint.uid.clone());
            let of = Of {
                object,
                waypoint,
                settings,
                parts,
                known,
            };
            of.plan(good, &mut plan.wishes);
        }
        good.retain(|uid, _| there.contains(uid));
        plan
    }

    /// The ConfigMaps that its waypoints name.
    pub(super) fn parameters(&self, seen: &Seen) -> BTreeSet<Key> {
        let gateways = seen.gateways.iter().flatten();
        let own = gateways.filter(|_| self.settings.is_some());
        let own = own.filter(|object| self.is_ours(object));
        let named = own.filter_map(|object| parameters_of(&Waypoint::of(object)?));
        named.collect()
    }

    fn is_ours(&self, gateway: &DynamicObject) -> bool {
        gateway.data["spec"]["gatewayClassName"] == class::waypoint_name(&self.revision).as_str()
    }

    fn classes(&self, known: &Known<'_>) -> Plan {
        let mut plan = Plan::default();
        let Some(there) = &known.seen.classes else {
            return plan;
        };
        for (name, body) in class::desired(&self.revision, self.settings.is_some()) {
            let mut named = there.iter();
            let live = named.find(|it| it.metadata.name.as_ref() == Some(&name));
            let is_kept = live.is_none_or(|live| class::is_kept(live));
            match live {
                Some(other) if class::controller(other) != CONTROLLER => {
                    plan.taken.push(Taken {
                        name,
                        uid: other.metadata.uid.clone().unwrap_or_default(),
                        by: class::controller(other).to_owned(),
                    });
                }
                _ if is_kept => plan.wishes.push(Wish {
                    target: Target::class(&name),
                    action: Action::Apply(body),
                    live: live.cloned(),
                }),
                _ => {}
            }
        }
        let own = there.iter().filter(|it| class::is_of(it, &self.revision));
        plan.wishes
            .extend(own.filter_map(|class| accepted(class, known.now)));
        plan
    }
}

fn accepted(class: &Arc<DynamicObject>, now: &str) -> Option<Wish> {
    let name = class.metadata.name.as_deref()?;
    let accepted = Wanted {
        kind: Kind::Accepted,
        state: class::accepted(class),
        generation: class.metadata.generation.unwrap_or_default(),
    };
    let written = &class.data["status"]["conditions"];
    let conditions = status::timed([accepted], written, now);
    Some(Wish {
        target: Target::class(name).status(),
        action: Action::Apply(json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": name},
            "status": {"conditions": conditions},
        })),
        live: Some(class.clone()),
    })
}

/// A Gateway that was a waypoint of ours and has another class now: whoever has it now says where connections arrive.
fn released(object: &Arc<DynamicObject>, waypoint: &Waypoint, parts: &Parts) -> Option<Wish> {
    let class = object.data["spec"]["gatewayClassName"].as_str()?;
    // Another revision's, which writes the same.
    let is_other = !class.starts_with("meltemi-waypoint");
    let was_ours = || {
        Part::ALL
            .iter()
            .any(|part| owned(*part, waypoint, parts).is_some())
    };
    let is_bound = waypoint.binding.as_deref() == Some(BOUND);
    (is_other && is_bound && was_ours()).then(|| Wish {
        target: Target::gateway(waypoint),
        action: Action::Withdraw(gateway(waypoint, json!({}))),
        live: Some(object.clone()),
    })
}

fn owned<'a>(part: Part, waypoint: &Waypoint, parts: &'a Parts) -> Option<&'a Arc<DynamicObject>> {
    let key = (part, waypoint.namespace.clone(), waypoint.name.clone());
    parts.get(&key).filter(|it| is_owned(it, waypoint))
}

fn is_owned(object: &DynamicObject, waypoint: &Waypoint) -> bool {
    let owners = object.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.uid == waypoint.uid)
}

fn parameters_of(waypoint: &Waypoint) -> Option<Key> {
    let named = waypoint.parameters.as_ref()?;
    Some((waypoint.namespace.clone(), named.name.clone()))
}

fn gateway(waypoint: &Waypoint, annotations: Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {
            "name": waypoint.name,
            "namespace": waypoint.namespace,
            "annotations": annotations,
        },
    })
}

/// One waypoint.
struct Of<'a> {
    object: &'a Arc<DynamicObject>,
    waypoint: Waypoint,
    settings: &'a WaypointSettings,
    parts: &'a Parts,
    known: &'a Known<'a>,
}

impl Of<'_> {
    fn plan(&self, good: &mut Good, wishes: &mut Vec<Wish>) {
        let mut standing = Standing {
            refusal: self.waypoint.refusal(),
            ..Standing::default()
        };
        if standing.refusal.is_none() {
            match self.objects() {
                // Not read yet.
                None => return,
                Some(Ok(objects)) => drop(good.insert(self.waypoint.uid.clone(), objects)),
                Some(Err(refusal)) => standing.refusal = Some(refusal),
            }
        }
        // What there is of one that was taken out stays as it is, and what is gone stays gone.
        let is_kept = self.waypoint.detached.is_none();
        if let Some(objects) = good.get(&self.waypoint.uid).filter(|_| is_kept) {
            self.make(objects, &mut standing, wishes);
        }
        if standing.refusal.is_none() && is_kept {
            wishes.push(Wish {
                target: Target::gateway(&self.waypoint),
                action: Action::Apply(gateway(&self.waypoint, json!({ BINDING: BOUND }))),
                live: Some(self.object.clone()),
            });
        }
        self.look(&mut standing);
        wishes.push(self.status(&standing));
    }

    /// What it should be made of; none: its overrides are not read yet.
    fn objects(&self) -> Option<Result<Vec<(Part, Value)>, State>> {
        let refused = |name: &str, error: &str| {
            let message = format!("ConfigMap {}/{name}: {error}", self.waypoint.namespace);
            State::new(Truth::False, "InvalidParameters", message)
        };
        let desired = |overrides| objects::desired(&self.waypoint, overrides, self.settings);
        let Some(key) = parameters_of(&self.waypoint) else {
            let made = desired(&Overrides::default());
            return Some(made.map_err(|error| refused("", &error.to_string())));
        };
        let (_, name) = &key;
        Some(match self.known.parameters.get(&key)? {
            Ok(overrides) => desired(overrides).map_err(|error| refused(name, &error.to_string())),
            Err(error) => Err(refused(name, error)),
        })
    }

    fn make(&self, objects: &[(Part, Value)], standing: &mut Standing, wishes: &mut Vec<Wish>) {
        let Waypoint {
            namespace, name, ..
        } = &self.waypoint;
        for part in Part::ALL {
            let key = (part, namespace.clone(), name.clone());
            let live = self.parts.get(&key);
            let target = Target::part(part, &self.waypoint);
            let wanted = objects.iter().find(|(of, _)| *of == part);
            let action = match (wanted, live) {
                (Some(_), Some(live)) if !is_owned(live, &self.waypoint) => {
                    standing.problems.push(taken(part, namespace, name));
                    continue;
                }
                (Some((_, object)), _) => Action::Apply(object.clone()),
                (None, Some(live)) if is_owned(live, &self.waypoint) => Action::Delete,
                (None, _) => continue,
            };
            if let Some(problem) = self.known.problems.get(&target) {
                standing.problems.push(match problem {
                    Some(refusal) => format!("{part} {namespace}/{name} is refused: {refusal}"),
                    None => taken(part, namespace, name),
                });
            }
            wishes.push(Wish {
                target,
                action,
                live: live.cloned(),
            });
        }
    }

    /// What became of what was made.
    fn look(&self, standing: &mut Standing) {
        let status = |part: Part| owned(part, &self.waypoint, self.parts).map(|it| &it.data);
        let deployment = status(Part::Deployment);
        let ready = deployment.and_then(|it| it["status"]["readyReplicas"].as_u64());
        standing.is_ready = ready.is_some_and(|ready| ready > 0);
        let service = status(Part::Service);
        let ip = service.and_then(|it| it["spec"]["clusterIP"].as_str());
        standing.cluster_ip = ip
            .filter(|ip| !ip.is_empty() && *ip != "None")
            .map(str::to_owned);
        let Waypoint {
            namespace, name, ..
        } = &self.waypoint;
        let news = self.known.news;
        standing.news = news.and_then(|news| news.get(namespace, name).cloned());
    }

    fn status(&self, standing: &Standing) -> Wish {
        let domain = &self.settings.cluster_domain;
        let mut body = json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": self.waypoint.name, "namespace": self.waypoint.namespace},
        });
        body["status"] = status::desired(&self.waypoint, standing, domain, self.known.now);
        Wish {
            target: Target::gateway(&self.waypoint).status(),
            action: Action::Apply(body),
            live: Some(self.object.clone()),
        }
    }
}

fn taken(part: Part, namespace: &str, name: &str) -> String {
    format!(
        "{part} {namespace}/{name} is there already, and not of this Gateway: it is left alone; delete it, or give the \
         Gateway another name"
    )
}

#[cfg(test)]
mod tests;
