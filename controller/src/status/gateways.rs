//! What became of Gateways of the Gateway API, for whoever keeps their workloads.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_policy::Mismatches;

use super::expected::{Place, place_of_gateway};
use super::ledger::Resolved;
use super::mismatches;
use super::programmed::Answer;
use super::verdict;
use crate::manifest::{Kind, ObjectRef};

/// What became of each Gateway of the Gateway API, by namespace and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct News(BTreeMap<ObjectRef, GatewayNews>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GatewayNews {
    /// What its proxies have.
    pub(crate) answer: Answer,
    /// What was found about it, and about what asks for it.
    pub(crate) warnings: Option<String>,
    /// What it changes for the services that ask for it.
    pub(crate) plan: Option<String>,
    /// Of the listener of a waypoint, how many rules act behind it.
    pub(crate) attached: Option<(String, usize)>,
    /// Which ports of its services have clients that speak something else.
    pub(crate) mismatches: Option<String>,
    /// Proxies may still be on their way: what none says is no news yet.
    pub(crate) is_new: bool,
}

fn attached(gateway: &ObjectRef, resolved: &Resolved) -> Option<(String, usize)> {
    let model = &resolved.model;
    let waypoint = model
        .waypoints
        .iter()
        .find(|it| it.gateway.id == *gateway)?;
    let behind = model.servers.iter().filter(|it| it.source.id == *gateway);
    let rules: BTreeSet<_> = behind.flat_map(|server| &server.attached).collect();
    Some((waypoint.name.server.to_string(), rules.len()))
}

impl News {
    /// `is_new`: that no proxy is there is no news yet.
    pub(super) fn of(
        resolved: &Resolved,
        answers: &BTreeMap<Place, Answer>,
        mismatches: &Mismatches,
        is_new: bool,
    ) -> Self {
        let mut mismatches = mismatches::told(mismatches, resolved);
        let gateways = resolved.objects.keys();
        let gateways = gateways.filter(|id| id.kind == Kind::KubernetesGateway);
        let news = gateways.map(|id| {
            let answer = match answers.get(&place_of_gateway(id.clone())) {
                Some(Answer::NoProxies) if is_new => Answer::NotYet,
                Some(answer) => answer.clone(),
                None => Answer::Nowhere,
            };
            let news = GatewayNews {
                answer,
                warnings: verdict::found(id, resolved),
                plan: resolved.plans.get(id).cloned(),
                attached: attached(id, resolved),
                mismatches: mismatches.remove(id),
                is_new,
            };
            (id.clone(), news)
        });
        Self(news.collect())
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&GatewayNews> {
        let id = ObjectRef::new(Kind::KubernetesGateway, namespace, name);
        self.0.get(&id)
    }
}
