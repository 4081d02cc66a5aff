//! The policy of a MetaRouter's routes where something else says where requests go.

use std::sync::Arc;

use super::{Alternative, CircuitBreaker, GlobalRateLimit, Mirror, RateLimit, Rule};
use crate::manifest::{Object, Route};

/// The routes of a MetaRouter that say how requests are treated.
pub(super) struct Overlay<'a> {
    pub(super) object: &'a Arc<Object>,
    pub(super) routes: Vec<Treatment<'a>>,
    pub(super) limit: Option<Arc<RateLimit>>,
    pub(super) global_limit: Option<Arc<GlobalRateLimit>>,
}

/// What one of them means on a server.
pub(super) struct Treatment<'a> {
    /// None: it has no routes, and is for every request.
    pub(super) route: Option<&'a Route>,
    pub(super) alternatives: Vec<Alternative>,
    pub(super) mirrors: Vec<Mirror>,
}

impl Overlay<'_> {
    /// What becomes of a rule: for each route a rule for the requests of both, before the rule
    /// itself. One that has its policy from an earlier MetaRouter keeps it.
    pub(super) fn over(&self, rule: Arc<Rule>) -> Vec<Arc<Rule>> {
        if rule.treated_by.is_some() {
            return vec![rule];
        }
        let mut rules = vec![];
        for (number, treatment) in self.routes.iter().enumerate() {
            let Treatment {
                route,
                alternatives,
                mirrors,
            } = treatment;
            rules.push(Arc::new(Rule {
                alternatives: both(&rule.alternatives, alternatives),
                mirrors: rule.mirrors.iter().chain(mirrors).cloned().collect(),
                timeout: route.and_then(|route| route.timeout).or(rule.timeout),
                retries: route.and_then(|route| route.retries.clone()),
                hedge: route.and_then(|route| route.hedge),
                idempotent: route.is_some_and(|route| route.idempotent),
                hash_policy: route
                    .map(|route| route.hashed().collect())
                    .unwrap_or_default(),
                circuit_breaker: route
                    .and_then(|route| CircuitBreaker::of(self.object, route, number + 1)),
                limit: self.limit.clone(),
                global_limit: self.global_limit.clone(),
                fault: route.and_then(|route| route.fault.clone()),
                adaptive_concurrency: route.and_then(|route| route.adaptive_concurrency.clone()),
                treated_by: Some((self.object.clone(), route.map(|_| number))),
                ..Rule::clone(&rule)
            }));
            if alternatives.contains(&Alternative::Of(vec![])) {
                // Nothing is left for what comes after it.
                return rules;
            }
        }
        rules.push(rule);
        rules
    }
}

/// What requests are like that are like one of each.
fn both(one: &[Alternative], other: &[Alternative]) -> Vec<Alternative> {
    let pairs = one
        .iter()
        .flat_map(|one| other.iter().map(move |other| (one, other)));
    pairs
        .map(|(one, other)| match (one, other) {
            (Alternative::Of(one), Alternative::Of(other)) => {
                Alternative::Of(one.iter().chain(other).cloned().collect())
            }
            (Alternative::Never(reason), _) | (_, Alternative::Never(reason)) => {
                Alternative::Never(reason.clone())
            }
        })
        .collect()
}
