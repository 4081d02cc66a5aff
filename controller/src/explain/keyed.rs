//! What of the request that is asked about a cluster hashes.

use std::net::IpAddr;

use meltemi_policy::{HashPolicy, Hashed, hashing::hash_of};

use super::Attribute;
use crate::manifest::{HashTable, Simple};
use crate::model::Cluster;

/// The request, as far as it was said.
pub(super) struct Keyed<'a> {
    /// The hash of the key that its protocol has.
    pub(super) own: Option<u64>,
    /// What its route hashes.
    pub(super) policies: &'a [HashPolicy],
    pub(super) attributes: &'a [Attribute],
    pub(super) source: Option<IpAddr>,
}

impl Keyed<'_> {
    /// What is hashed for a cluster; nothing: the protocol's key.
    fn policies(&self, cluster: &Cluster) -> Vec<HashPolicy> {
        let Some(hash) = &cluster.hash else {
            return vec![];
        };
        match self.policies {
            [] => hash.key.iter().map(|key| key.value.clone()).collect(),
            own => own.to_vec(),
        }
    }

    pub(super) fn hash(&self, cluster: &Cluster) -> Option<u64> {
        let policies = self.policies(cluster);
        if policies.is_empty() {
            return self.own;
        }
        let value = |name: &String| {
            let found = self.attributes.iter().find(|it| it.name == *name)?;
            Some(hash_of(found.value.as_bytes()))
        };
        let source = self.source.map(|source| source.to_string());
        HashPolicy::hash(&policies, |of| match of {
            Hashed::Attribute(name) => value(name),
            Hashed::SourceAddress => source.as_ref().map(|source| hash_of(source.as_bytes())),
            // It is not there yet.
            Hashed::Connection => None,
        })
    }

    /// Why nobody can say which endpoint it is, where a hash decides.
    pub(super) fn unknown(&self, cluster: &Cluster) -> Option<&'static str> {
        let policies = self.policies(cluster);
        let is_hashed = !policies.is_empty() && cluster.topology.is_none();
        if !is_hashed || self.hash(cluster).is_some() {
            return None;
        }
        let of_connection = |policy: &HashPolicy| policy.of == Hashed::Connection;
        Some(match policies.iter().any(of_connection) {
            true => "each connection has an endpoint of its own",
            false => "the request has nothing of what is hashed: any endpoint serves",
        })
    }

    /// What decides among the endpoints of a cluster.
    pub(super) fn balance(&self, cluster: &Cluster) -> String {
        if cluster.topology.is_some() {
            return "as the servers say, from whom the endpoints are learned".to_owned();
        }
        let Some(hash) = &cluster.hash else {
            return simple(cluster.balance);
        };
        let table = match hash.table {
            HashTable::Maglev { .. } => "MAGLEV",
            HashTable::Ring { .. } => "RING_HASH",
        };
        let policies = self.policies(cluster);
        if policies.is_empty() {
            return format!("{table} by the key");
        }
        let what: String = policies.iter().map(described).collect();
        let what = what
            .trim_end_matches(" and ")
            .trim_end_matches(", or else ");
        let bound = hash.balance_factor.map(|factor| {
            format!(", to an endpoint with at most {factor}% of its part of the requests")
        });
        format!("{table} by {what}{}", bound.unwrap_or_default())
    }
}

fn simple(balance: Simple) -> String {
    match balance {
        Simple::RoundRobin => "ROUND_ROBIN".to_owned(),
        Simple::LeastRequest => "LEAST_REQUEST".to_owned(),
        Simple::Random => "RANDOM".to_owned(),
        Simple::PeakEwma(decay) => format!("PEAK_EWMA, decay {decay:?}"),
    }
}

/// With what joins it to the next.
fn described(policy: &HashPolicy) -> String {
    let what = match &policy.of {
        Hashed::Attribute(name) => format!("the attribute {name}"),
        Hashed::SourceAddress => "the source address".to_owned(),
        Hashed::Connection => "the connection".to_owned(),
    };
    match policy.terminal {
        true => format!("{what}, or else "),
        false => format!("{what} and "),
    }
}
