//! The same in a line for the status of each Gateway.

use std::collections::BTreeMap;

use super::{Effect, PastIt, Planned, Way};
use crate::manifest::ObjectRef;

/// More facts than these are counted, and named by `check --plan`.
const MOST: usize = 5;

/// What is said of each Gateway; nothing where it changes nothing.
pub(crate) fn told(plan: &[Planned]) -> BTreeMap<ObjectRef, String> {
    let mut facts = BTreeMap::<_, Vec<_>>::new();
    for planned in plan {
        let of_gateway = facts.entry(planned.waypoint.clone()).or_default();
        of_gateway.extend(of_service(planned));
    }
    let told = facts.into_iter().filter(|(_, facts)| !facts.is_empty());
    let told = told.map(|(gateway, mut facts)| {
        // Stable: what breaks comes first, otherwise each service stands together.
        facts.sort_by_key(|(weight, _)| *weight);
        (gateway, line(facts.into_iter().map(|(_, fact)| fact)))
    });
    told.collect()
}

fn line(facts: impl ExactSizeIterator<Item = String>) -> String {
    let more = facts.len().saturating_sub(MOST);
    let said: Vec<_> = facts.take(MOST).collect();
    let said = said.join("; ");
    match more {
        0 => said,
        more => format!("{said}; and {more} more, which `meltemi check --plan` lists"),
    }
}

/// How much each matters, the least first.
fn of_service(planned: &Planned) -> Vec<(u8, String)> {
    let service = &planned.service;
    let policies = planned.policies.iter().map(|it| {
        let policy = &it.policy;
        match it.effect {
            Effect::Refuses => (0, format!("{policy} refuses what it brings to {service}")),
            Effect::MayRefuse => (
                1,
                format!("{policy} may refuse what it brings to {service}"),
            ),
            Effect::LetsPass | Effect::Unknown => {
                let fact = format!("{policy} sees it in the place of the clients of {service}");
                (1, fact)
            }
        }
    });
    let ports = planned.http_ports.iter().map(|it| {
        let fact = format!("port {} of {service} is passed on, without", it.port);
        let ending: Vec<_> = it.rules.iter().chain(&it.policies).collect();
        match ending.as_slice() {
            [] => (2, format!("{fact} rules of HTTP")),
            ending => (1, format!("{fact} the rules of HTTP in {}", named(ending))),
        }
    });
    let past = [false, true].into_iter().filter_map(|refused| {
        let of = planned.past.iter().filter(|it| it.refused == refused);
        let who: Vec<_> = of.map(who).collect();
        let who = (!who.is_empty()).then(|| who.join(", "))?;
        Some(match refused {
            true => (3, format!("{service} refuses who comes past it: {who}")),
            false => (3, format!("{service} can be reached past it: {who}")),
        })
    });
    policies.chain(ports).chain(past).collect()
}

fn named(rules: &[&String]) -> String {
    let more = rules.len().saturating_sub(MOST);
    let said: Vec<_> = rules.iter().take(MOST).map(|it| it.as_str()).collect();
    let said = said.join(", ");
    match more {
        0 => said,
        more => format!("{said} and {more} more"),
    }
}

fn who(past: &PastIt) -> String {
    match past.way {
        Way::Headless | Way::Pods => "by clients that dial its pods".to_owned(),
        Way::Sidecars => {
            let namespaces: Vec<_> = past.namespaces.iter().map(String::as_str).collect();
            format!("by sidecars of {}", namespaces.join(", "))
        }
        Way::Others => "by whoever else reaches its pods".to_owned(),
    }
}
