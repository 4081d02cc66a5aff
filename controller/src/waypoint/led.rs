//! What sidecars should be told, so that they come to the Gateways that services ask for: first in, last out. Nothing is told
//! before proxies have what they are led there for; and it is taken back while they still serve it.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::gateway::DETACH;
use super::plan::{Action, Known, Wish};
use super::status::timed;
use super::term::{Lead, Target, What};
use super::world::Leads;
use crate::leads::{GATEWAY, Leader, REVISION, destination_rule_name, virtual_service_name};
use crate::manifest::ObjectRef;
use crate::model::{LedService, Via};
use crate::status::{Answer, Kind, LedNews, State, Truth, Wanted};

type Key = (Lead, String, String);

/// All of it, in the order in which it is to be done; nothing before it is known what there is.
pub(super) fn plan(revision: &str, known: &Known<'_>) -> Vec<Wish> {
    let (Some(leads), Some(gateways), Some(news)) =
        (&known.seen.leads, &known.seen.gateways, known.news)
    else {
        return vec![];
    };
    let (mut wishes, mut kept) = (vec![], BTreeSet::new());
    for (gateway, led) in &news.led {
        let is_it = |it: &&Arc<DynamicObject>| {
            let metadata = &it.metadata;
            metadata.namespace.as_deref() == Some(&*gateway.namespace)
                && metadata.name.as_deref() == Some(&*gateway.name)
        };
        let object = gateways.iter().find(is_it);
        let object = object.filter(|it| it.metadata.deletion_timestamp.is_none());
        let of = Of {
            leader: Leader { revision, gateway },
            led,
            object,
            leads,
            known,
        };
        of.plan(&mut wishes, &mut kept);
    }
    wishes.extend(withdrawn(revision, leads, &kept));
    wishes
}

/// What nobody asks for any more. How a Gateway is dialled is told as long as somebody is told to.
fn withdrawn<'a>(
    revision: &'a str,
    leads: &'a Leads,
    kept: &'a BTreeSet<Key>,
) -> impl Iterator<Item = Wish> + 'a {
    let of_gateway = |object: &DynamicObject| {
        let annotations = object.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(GATEWAY).cloned())
    };
    let routes = leads
        .iter()
        .filter(|((lead, ..), _)| *lead == Lead::VirtualService);
    let led_to: BTreeSet<_> = routes
        .filter_map(|(_, object)| of_gateway(object))
        .collect();
    let own = leads.iter().filter(move |(_, object)| {
        let labels = object.metadata.labels.as_ref();
        let of = labels.and_then(|labels| labels.get(REVISION));
        of.is_some_and(|of| of == revision)
    });
    let gone = own.filter(move |(key, object)| {
        let is_dialled = key.0 == Lead::DestinationRule
            && of_gateway(object).is_some_and(|gateway| led_to.contains(&gateway));
        !kept.contains(*key) && !is_dialled
    });
    gone.map(|((lead, namespace, name), object)| Wish {
        target: Target::of(What::Lead(*lead), (namespace, name)),
        action: Action::Delete,
        live: Some(object.clone()),
    })
}

/// One Gateway.
struct Of<'a> {
    leader: Leader<'a>,
    led: &'a LedNews,
    /// None: it was deleted.
    object: Option<&'a Arc<DynamicObject>>,
    leads: &'a Leads,
    known: &'a Known<'a>,
}

impl Of<'_> {
    fn plan(&self, wishes: &mut Vec<Wish>, kept: &mut BTreeSet<Key>) {
        let is_out = self.object.is_none_or(|it| is_detached(it));
        let mut is_dialled = false;
        if let Some(via) = self.led.via.as_ref().filter(|_| self.led.serves) {
            let name = destination_rule_name(self.leader.gateway);
            let key = key(Lead::DestinationRule, (&via.service.namespace, &name));
            let live = self.leads.get(&key);
            is_dialled = live.is_some();
            if !is_out && !self.led.services.is_empty() {
                wishes.push(wish(&key, self.leader.destination_rule(via), live));
            }
            kept.insert(key);
        }
        let services = self.led.services.iter().filter(|_| !is_out);
        for (service, answer) in services.filter(|(service, _)| !service.ports.is_empty()) {
            let name = virtual_service_name(service);
            let key = key(Lead::VirtualService, (&service.service.namespace, &name));
            let live = self.leads.get(&key);
            // Whoever has led it there before knows how it is dialled.
            let is_served = *answer == Answer::Everywhere && self.led.is_ready && is_dialled;
            if let Some(via) = self.led.via.as_ref().filter(|_| is_served) {
                let body = self.leader.virtual_service(service, via);
                wishes.push(wish(&key, body, live));
            }
            kept.insert(key);
        }
        if let Some(object) = self.object {
            wishes.push(self.status(object));
        }
    }

    fn status(&self, object: &Arc<DynamicObject>) -> Wish {
        let wanted = Wanted {
            kind: Kind::SidecarsLed,
            state: self.state(object),
            generation: object.metadata.generation.unwrap_or_default(),
        };
        let written = &object.data["status"]["conditions"];
        let ObjectRef {
            namespace, name, ..
        } = self.leader.gateway;
        Wish {
            target: Target::of(What::LedTo, (namespace, name)).status(),
            action: Action::Apply(json!({
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "metadata": {"name": **name, "namespace": **namespace},
                "status": {"conditions": timed([wanted], written, self.known.now)},
            })),
            live: Some(object.clone()),
        }
    }

    /// The first of what is in the way, or that nothing is.
    fn state(&self, object: &DynamicObject) -> State {
        let not_yet = |reason: &str, message: String| State::new(Truth::False, reason, message);
        if is_detached(object) {
            let message = format!(
                "it was taken out: sidecars are led past it; to have them come again take its annotation {DETACH} away"
            );
            return not_yet("Detached", message);
        }
        if self.led.services.is_empty() {
            return not_yet("NotUsed", "no service asks for it".to_owned());
        }
        let Some(via) = &self.led.via else {
            let name = &self.leader.gateway.name;
            let message = format!(
                "sidecars could not dial it: no Service of its namespace with the port of its listener has its name, or the \
                 label gateway.networking.k8s.io/gateway-name: {name}"
            );
            return not_yet("NoService", message);
        };
        let taken: Vec<_> = self.taken().collect();
        if !taken.is_empty() {
            return not_yet("Conflict", taken.join("; "));
        }
        let problems: Vec<_> = self.problems(via).collect();
        if !problems.is_empty() {
            return not_yet("NotWritten", problems.join("; "));
        }
        self.progress(via)
    }

    fn progress(&self, via: &Via) -> State {
        let services = self.led.services.iter();
        let (led, waiting): (Vec<_>, Vec<_>) = services.partition(|(service, _)| {
            let name = virtual_service_name(service);
            let key = key(Lead::VirtualService, (&service.service.namespace, &name));
            service.ports.is_empty() || self.leads.contains_key(&key)
        });
        if waiting.is_empty() {
            let message = format!("sidecars come here for {}", names(led));
            return State::new(Truth::True, "Led", message);
        }
        let message = match self.led.is_ready {
            true => format!("its proxies are being asked about {}", names(waiting)),
            false => format!("no proxy is ready at port {} of {}", via.port, via.service),
        };
        State::new(Truth::False, "Pending", message)
    }

    fn taken(&self) -> impl Iterator<Item = String> {
        let services = self.led.services.iter();
        services.flat_map(|(service, _)| {
            service.taken.iter().map(|(port, other)| {
                format!(
                    "port {port} of {} is led by {other}, and both are left alone",
                    service.service
                )
            })
        })
    }

    fn problems(&self, via: &Via) -> impl Iterator<Item = String> {
        let rule = destination_rule_name(self.leader.gateway);
        let rule = key(Lead::DestinationRule, (&via.service.namespace, &rule));
        let services = self.led.services.iter().map(|(service, _)| {
            let name = virtual_service_name(service);
            key(Lead::VirtualService, (&service.service.namespace, &name))
        });
        std::iter::once(rule).chain(services).filter_map(|key| {
            let problem = self.known.problems.get(&target(&key))?;
            let (lead, namespace, name) = key;
            let what = lead.kind();
            Some(match problem {
                Some(refusal) => format!("{what} {namespace}/{name} is refused: {refusal}"),
                None => format!(
                    "{what} {namespace}/{name} is there already, and is left alone: delete it, or give it another name"
                ),
            })
        })
    }
}

fn names<'a>(services: impl IntoIterator<Item = &'a (LedService, Answer)>) -> String {
    let names = services.into_iter().map(|(it, _)| it.service.to_string());
    let names: BTreeSet<_> = names.collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn is_detached(object: &DynamicObject) -> bool {
    let annotations = object.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(DETACH))
}

fn key(lead: Lead, (namespace, name): (&str, &str)) -> Key {
    (lead, namespace.to_owned(), name.to_owned())
}

fn target((lead, namespace, name): &Key) -> Target {
    Target::of(What::Lead(*lead), (namespace, name))
}

fn wish(key: &Key, body: Value, live: Option<&Arc<DynamicObject>>) -> Wish {
    Wish {
        target: target(key),
        action: Action::Apply(body),
        live: live.cloned(),
    }
}

#[cfg(test)]
mod tests;
