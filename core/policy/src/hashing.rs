//! Hosts by the hash of a key, as Envoy's hashing load balancers choose them.
//!
//! The rule is Envoy's `ThreadAwareLoadBalancerBase`: each tier has a table of its own, and the hash
//! decides the tier too, by the load of the tiers. Hosts are numbers that the caller gives.

mod bounded;
mod explain;
mod maglev;
mod policy;
mod ring;
#[cfg(test)]
mod tests;

use crate::load::PriorityLoad;
pub use bounded::{Bound, Order};
pub use explain::{HashRule, Keyed};
use maglev::Maglev;
pub use policy::{HashPolicy, Hashed, hash_of};
use ring::Ring;

/// What kind of table finds the host of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashing {
    Maglev {
        /// Entries of a tier's table, a prime number.
        table_size: u32,
    },
    Ring {
        /// Points on a tier's ring at the least, over all hosts.
        minimum_size: u32,
    },
}

/// Envoy's default of the entries of a table.
pub const DEFAULT_TABLE_SIZE: u32 = 65_537;
/// Envoy's default of the least number of points on a ring.
pub const DEFAULT_RING_SIZE: u32 = 1_024;

/// A host of a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierHost {
    pub host: usize,
    /// What is hashed of it: its address and port, or its host name.
    pub name: String,
    /// At least 1.
    pub weight: u32,
    /// Its locality, as an index of the weights of localities.
    pub group: usize,
}

/// A host and its part of a table, which over all hosts is at most 1.
#[derive(Clone, Debug, PartialEq)]
pub struct HashedHost {
    host: u32,
    name: String,
    part: f64,
}

/// The parts that hosts have of a tier's table: Envoy's `normalizeWeights`.
///
/// With `groups`, the weights of the tier's localities, it is these that share the table, and the
/// hosts within. Unlike with the other policies, a locality that lacks hosts weighs no less.
#[must_use]
pub fn parts(hosts: Vec<TierHost>, groups: Option<&[u64]>) -> Vec<HashedHost> {
    let group_of = |host: &TierHost| groups.map_or(0, |_| host.group);
    let whole = [1];
    let groups = groups.unwrap_or(&whole);
    let mut sums = vec![0; groups.len()];
    for host in &hosts {
        if let Some(sum) = sums.get_mut(group_of(host)) {
            *sum += u64::from(host.weight);
        }
    }
    let total = groups.iter().fold(0_u64, |sum, g| sum.saturating_add(*g)) as f64;
    let part = |host: &TierHost| {
        let (weight, sum) = (groups.get(group_of(host))?, sums.get(group_of(host))?);
        // In Envoy's order, to its last bit: on that hangs where a host's turn comes.
        let of_group = *weight as f64 / total;
        Some(f64::from(host.weight) * of_group / *sum as f64)
    };
    let hosts = hosts.into_iter().filter_map(|host| {
        Some(HashedHost {
            host: u32::try_from(host.host).ok()?,
            part: part(&host).filter(|part| *part > 0.0)?,
            name: host.name,
        })
    });
    hosts.collect()
}

/// Which host has which hash.
#[derive(Clone, Debug, Default)]
pub struct HashTables {
    /// One for each pool that has a part of the load.
    tables: Vec<Option<Table>>,
    /// The pool of each percent of the load.
    percents: Vec<usize>,
    hosts: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Table {
    by_hash: ByHash,
    /// Its hosts and their parts, in the order in which they were given.
    hosts: Vec<(u32, f64)>,
    /// The same by the numbers of the hosts.
    parts: Vec<(u32, f64)>,
}

#[derive(Clone, Debug)]
enum ByHash {
    Maglev(Maglev),
    Ring(Ring),
}

impl HashTables {
    /// The tables of tiers with this load. `pools` are the hosts of each tier that are healthy, or
    /// all of one that panics, then the degraded ones of each tier.
    ///
    /// Envoy's tables have no degraded hosts, so that it finds nobody where a tier has no others.
    /// Here these, or those of the next tier, stand in for them.
    #[must_use]
    pub fn new(kind: Hashing, loads: &[PriorityLoad], pools: Vec<Vec<HashedHost>>) -> Self {
        let tiers = loads.len();
        let stands_in = |tier: usize, kind: usize| {
            let mut pools_in_order = [tier, kind].into_iter().chain(0..pools.len());
            pools_in_order.find(|pool| pools.get(*pool).is_some_and(|hosts| !hosts.is_empty()))
        };
        let loads = || loads.iter().enumerate();
        let healthy = loads().map(|(tier, load)| (stands_in(tier, tier), load.healthy));
        let degraded = loads().map(|(tier, load)| (stands_in(tier, tiers + tier), load.degraded));
        let percents: Vec<usize> = healthy
            .chain(degraded)
            .filter_map(|(pool, percent)| Some(std::iter::repeat_n(pool?, percent as usize)))
            .flatten()
            .collect();
        let is_used = |pool: usize| percents.contains(&pool);
        let mut hosts: Vec<usize> = pools
            .iter()
            .enumerate()
            .filter(|(pool, _)| is_used(*pool))
            .flat_map(|(_, hosts)| hosts.iter().filter_map(|h| usize::try_from(h.host).ok()))
            .collect();
        hosts.sort_unstable();
        let pools = pools.into_iter().enumerate();
        Self {
            tables: pools
                .map(|(pool, hosts)| is_used(pool).then(|| Table::new(kind, hosts)))
                .collect(),
            percents,
            hosts,
        }
    }

    /// The host of a hash; none where nobody is left.
    #[must_use]
    pub fn at(&self, hash: u64) -> Option<usize> {
        let host = self.table(hash)?.at(hash)?;
        usize::try_from(host).ok()
    }

    /// The table of the tier that the hash decides for.
    fn table(&self, hash: u64) -> Option<&Table> {
        let percent = usize::try_from(hash % 100).ok()?;
        self.tables.get(*self.percents.get(percent)?)?.as_ref()
    }

    /// All hosts that have a hash, in their order.
    #[must_use]
    pub fn hosts(&self) -> &[usize] {
        &self.hosts
    }
}

impl Table {
    fn new(kind: Hashing, hosts: Vec<HashedHost>) -> Self {
        let in_order = hosts.iter().map(|host| (host.host, host.part));
        let in_order: Vec<_> = in_order.collect();
        let mut parts = in_order.clone();
        parts.sort_unstable_by_key(|(host, _)| *host);
        Self {
            hosts: in_order,
            parts,
            by_hash: match kind {
                Hashing::Maglev { table_size } => ByHash::Maglev(Maglev::new(hosts, table_size)),
                Hashing::Ring { minimum_size } => ByHash::Ring(Ring::new(&hosts, minimum_size)),
            },
        }
    }

    fn at(&self, hash: u64) -> Option<u32> {
        match &self.by_hash {
            ByHash::Maglev(table) => table.at(hash),
            ByHash::Ring(ring) => ring.at(hash),
        }
    }

    /// Of one of its hosts.
    fn part(&self, host: u32) -> Option<f64> {
        let place = self.parts.binary_search_by_key(&host, |(host, _)| *host);
        Some(self.parts.get(place.ok()?)?.1)
    }
}
