//! Rules that can never decide, since an earlier one on their server takes all their requests.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use meltemi_policy::RouteTable;

use super::{Finding, Findings, Rule, Server};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::manifest::ObjectRef;

/// A route of an object.
type RouteKey = (ObjectRef, Option<usize>);

pub(super) fn check(servers: &[impl Borrow<Server>], findings: &mut Findings) {
    // A route is dead only where it is dead on every server.
    let mut dead: BTreeMap<RouteKey, Option<(&Rule, &Rule)>> = BTreeMap::new();
    for server in servers.iter().map(Borrow::<Server>::borrow) {
        let rules = server.rules.iter().map(|rule| (rule.matches(), ()));
        // Regular expressions were checked when the object was decoded.
        let Ok(table) = RouteTable::new(rules) else {
            continue;
        };
        let shadows = table.shadowed();
        for (i, rule) in server.rules.iter().enumerate() {
            // They are in the order of the rules.
            let shadow = shadows.binary_search_by_key(&i, |s| s.rule);
            let by = shadow
                .ok()
                .and_then(|at| server.rules.get(shadows.get(at)?.by))
                .map(|by| (&**rule, &**by));
            let entry = dead
                .entry((rule.source.id.clone(), rule.route))
                .or_insert(by);
            *entry = entry.and(by);
        }
    }
    let mut routers: BTreeMap<&ObjectRef, Vec<Option<(&Rule, &Rule)>>> = BTreeMap::new();
    for ((object, _), shadow) in &dead {
        routers.entry(object).or_default().push(*shadow);
    }
    for routes in routers.into_values() {
        let dead: Vec<_> = routes.iter().copied().flatten().collect();
        let foreign = dead.iter().all(|(rule, by)| rule.source.id != by.source.id);
        match dead.first() {
            Some((rule, by)) if dead.len() == routes.len() && foreign => {
                findings.0.push(hidden_router(rule, by));
            }
            _ => findings
                .0
                .extend(dead.iter().map(|(rule, by)| dead_route(rule, by))),
        }
    }
}

/// Whichever of the two was changed last is to blame: what was in force stays in force.
fn hidden_router(rule: &Rule, by: &Rule) -> Finding {
    let message = format!("this route takes every request of {}", rule.source.id);
    let diagnostic = Diagnostic::error(Code::HiddenRouter, message)
        .at(place(by))
        .of(&by.source.id)
        .related("which comes later on its server", place(rule))
        .remedy("narrow its `match`, or give the other MetaRouter a higher `priority`");
    Finding {
        diagnostic,
        blame: vec![by.source.id.clone(), rule.source.id.clone()],
        needs: vec![],
    }
}

fn dead_route(rule: &Rule, by: &Rule) -> Finding {
    let message = "this route gets no request: an earlier one takes them all";
    let diagnostic = Diagnostic::warning(Code::DeadRoute, message)
        .at(place(rule))
        .of(&rule.source.id)
        .related("the earlier one", place(by))
        .remedy("put it before the other one, or narrow the other one's `match`");
    Finding {
        diagnostic,
        blame: vec![],
        needs: vec![],
    }
}

/// Where the rule is written.
fn place(rule: &Rule) -> Place {
    Place::of(&rule.source.file, rule.at())
}
