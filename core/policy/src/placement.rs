//! Which tier each endpoint is in for a client, and what its locality weighs there.
//!
//! Source of the rules: Istio's `core/loadbalancer`, which sets the priorities and weights that
//! Envoy is sent; a proxy of ours computes them itself, from its own place.

mod rank;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::{Distribution, Locality, LocalityRule, Place};

/// An endpoint, as far as its placement goes.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    pub place: Place<'a>,
    /// What the control plane asks for: it comes before what the rule says. 0 is used first.
    pub priority: u32,
    /// At least 1.
    pub weight: u32,
}

/// Where the endpoints of a cluster are for a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The group of each endpoint, in their order; `None`: it gets no requests.
    pub members: Vec<Option<usize>>,
    /// What Envoy calls `LocalityLbEndpoints`: the endpoints of one tier and locality.
    pub groups: Vec<Group>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// 0 is used first, and none is skipped.
    pub tier: usize,
    /// Its part of the tier, where localities have weights.
    pub weight: u64,
}

impl Placement {
    /// Places the endpoints for a client at `own`.
    pub fn new<'a>(
        own: Place<'_>,
        rule: &LocalityRule,
        endpoints: impl IntoIterator<Item = Placed<'a>>,
    ) -> Self {
        let endpoints: Vec<_> = endpoints.into_iter().collect();
        let tiers = rank::tiers(own, rule, &endpoints);
        let mut placement = Self::default();
        let mut localities = Vec::new();
        let mut known = HashMap::new();
        for (endpoint, tier) in endpoints.iter().zip(tiers) {
            let locality = endpoint.place.locality;
            let group = *known.entry((tier, locality)).or_insert_with(|| {
                placement.groups.push(Group { tier, weight: 0 });
                localities.push(locality);
                localities.len() - 1
            });
            placement.groups[group].weight += u64::from(endpoint.weight);
            placement.members.push(Some(group));
        }
        if let LocalityRule::Distribute(distributions) = rule {
            let mut rules = distributions.iter();
            if let Some(found) = rules.find(|rule| rule.from.covers(own.locality)) {
                placement.distribute(found, &localities);
            }
        }
        placement
    }

    /// The tier of each endpoint.
    pub fn tiers(&self) -> impl Iterator<Item = Option<usize>> {
        let tier = |group: usize| self.groups.get(group).map(|group| group.tier);
        self.members.iter().map(move |group| tier((*group)?))
    }

    /// Fixed shares: those of one pattern are divided by weight, rounded up as Istio does. What no
    /// pattern covers gets nothing.
    fn distribute(&mut self, distribution: &Distribution, localities: &[&Locality]) {
        let mut shared = vec![false; localities.len()];
        for (pattern, percent) in &distribution.to {
            let covered: Vec<_> = (0..localities.len())
                .filter(|&group| !shared[group] && pattern.covers(localities[group]))
                .collect();
            let total: u64 = covered.iter().map(|&group| self.groups[group].weight).sum();
            for group in covered {
                shared[group] = true;
                let share = self.groups[group].weight.saturating_mul((*percent).into());
                self.groups[group].weight = share.div_ceil(total.max(1));
            }
        }
        for member in &mut self.members {
            *member = member.filter(|&group| shared[group]);
        }
    }
}
