//! What decides among the endpoints of a cluster.

use std::slice;

use meltemi_policy::hashing::{HashRule, Keyed};

use crate::manifest::Simple;
use crate::model::Cluster;

/// None where no hash decides, or the servers say whose a key is.
pub(super) fn rule(cluster: &Cluster) -> Option<HashRule<'_>> {
    let hash = cluster.hash.as_ref();
    let hash = hash.filter(|_| cluster.topology.is_none())?;
    let key = hash.key.as_ref();
    Some(HashRule {
        table: hash.table.hashing(),
        policies: key.map_or(&[], |key| slice::from_ref(&key.value)),
        balance_factor: hash.balance_factor,
    })
}

pub(super) fn balance(cluster: &Cluster, keyed: &Keyed<'_>) -> String {
    if cluster.topology.is_some() {
        return "as the servers say, from whom the endpoints are learned".to_owned();
    }
    match (rule(cluster), cluster.balance) {
        (Some(rule), _) => keyed.balance(&rule),
        (None, Simple::RoundRobin) => "ROUND_ROBIN".to_owned(),
        (None, Simple::LeastRequest) => "LEAST_REQUEST".to_owned(),
        (None, Simple::Random) => "RANDOM".to_owned(),
        (None, Simple::PeakEwma(decay)) => format!("PEAK_EWMA, decay {decay:?}"),
    }
}
