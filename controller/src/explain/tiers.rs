//! The tiers of a destination with their shares, by the arithmetic of the proxy itself.

use meltemi_policy::explain::{EndpointShare, Health, KeyOwner, Tier};
use meltemi_policy::hashing;
use meltemi_policy::{HashTables, Place, Placed, Placement, TierHost, load};

use crate::manifest::{ConsistentHash, Simple};
use crate::model::Cluster;

/// The endpoints of a cluster where they are for a proxy, and who of them is healthy.
pub(super) struct Endpoints<'a> {
    cluster: &'a Cluster,
    placement: Placement,
    is_failed: Vec<bool>,
}

impl<'a> Endpoints<'a> {
    pub(super) fn of(cluster: &'a Cluster, own: Place<'_>, failed: &[String]) -> Self {
        let placed = cluster.endpoints.iter().map(|endpoint| Placed {
            place: Place {
                locality: &endpoint.locality,
                labels: &endpoint.labels,
            },
            priority: 0,
            weight: endpoint.weight,
        });
        let endpoints = cluster.endpoints.iter();
        Self {
            placement: Placement::new(own, cluster.locality.rule(), placed),
            is_failed: endpoints
                .map(|endpoint| {
                    !endpoint.is_ready || failed.contains(&endpoint.address.to_string())
                })
                .collect(),
            cluster,
        }
    }

    /// The indices of those that fulfil a condition.
    fn indices(&self, condition: impl Fn(usize) -> bool) -> Vec<usize> {
        let all = 0..self.cluster.endpoints.len();
        all.filter(|&index| condition(index)).collect()
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.placement.members.get(index).copied().flatten()
    }

    fn is_healthy(&self, index: usize) -> bool {
        !self.is_failed.get(index).copied().unwrap_or(false)
    }

    /// The endpoints of each tier.
    fn members(&self) -> Vec<Vec<usize>> {
        let of_endpoint: Vec<_> = self.placement.tiers().collect();
        let count = of_endpoint
            .iter()
            .flatten()
            .max()
            .map_or(0, |last| last + 1);
        let is_in = |index: usize, tier| of_endpoint.get(index).copied().flatten() == Some(tier);
        (0..count)
            .map(|tier| self.indices(|index| is_in(index, tier)))
            .collect()
    }

    /// Envoy's, where the cluster gives none.
    fn panic_threshold(&self) -> u32 {
        self.cluster.panic_threshold.unwrap_or(50)
    }

    fn loads(&self, hosts: &[load::HostCounts]) -> Vec<load::PriorityLoad> {
        load::distribute(
            hosts,
            load::DEFAULT_OVERPROVISIONING,
            self.panic_threshold(),
        )
    }

    /// Who has a key of this hash; none where keys do not decide.
    pub(super) fn owner(&self, hash: u64) -> Option<KeyOwner> {
        let how = self.cluster.hash.as_ref()?;
        if self.cluster.topology.is_some() {
            return None;
        }
        let members = self.members();
        let counts: Vec<_> = members.iter().map(|members| self.counts(members)).collect();
        let loads = self.loads(&counts);
        let healthy = members.iter().zip(&loads).map(|(members, load)| {
            let weights = self.group_weights(members);
            let mut members = members.clone();
            // A table hangs on the order of its hosts, and a proxy is sent them locality by locality.
            members.sort_by_key(|&index| self.cluster.endpoints.get(index).map(|it| &it.locality));
            let used = members.into_iter();
            let used = used.filter(|&index| load.panic || self.is_healthy(index));
            let hosts = used.filter_map(|index| self.hashed(index, how));
            hashing::parts(hosts.collect(), weights.as_deref())
        });
        let owner = HashTables::new(how.table.hashing(), &loads, healthy.collect()).at(hash);
        let endpoint = owner.and_then(|index| self.cluster.endpoints.get(index));
        Some(KeyOwner {
            hash,
            endpoint: endpoint.map(|endpoint| endpoint.address.to_string()),
        })
    }

    /// What the localities of a tier weigh, where they share it.
    fn group_weights(&self, members: &[usize]) -> Option<Vec<u64>> {
        let is_weighted = self.cluster.locality.rule().weighs_localities();
        let groups = is_weighted.then_some(&self.placement.groups)?.iter();
        let is_in = |group| {
            members
                .iter()
                .any(|&index| self.group(index) == Some(group))
        };
        let weights = groups
            .enumerate()
            .map(|(index, group)| if is_in(index) { group.weight } else { 0 });
        Some(weights.collect())
    }

    fn hashed(&self, index: usize, how: &ConsistentHash) -> Option<TierHost> {
        let endpoint = self.cluster.endpoints.get(index)?;
        Some(TierHost {
            host: index,
            name: match how.by_hostname && !endpoint.hostname.is_empty() {
                true => endpoint.hostname.clone(),
                false => endpoint.address.to_string(),
            },
            weight: endpoint.weight,
            group: self.group(index)?,
        })
    }

    pub(super) fn tiers(&self) -> Vec<Tier> {
        let members = self.members();
        let hosts: Vec<_> = members.iter().map(|members| self.counts(members)).collect();
        let loads = self.loads(&hosts);
        let tiers = members.iter().zip(hosts).zip(loads).enumerate();
        tiers
            .map(|(priority, ((members, counts), load))| Tier {
                priority,
                share: load.healthy,
                health: Health {
                    healthy: counts.healthy,
                    total: counts.total,
                    overprovisioning: load::DEFAULT_OVERPROVISIONING,
                    panic_threshold: self.panic_threshold(),
                    capacity: load::capacity(&counts, load::DEFAULT_OVERPROVISIONING),
                    panic: load.panic,
                },
                endpoints: self.shares(members, load),
            })
            .collect()
    }

    fn counts(&self, members: &[usize]) -> load::HostCounts {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let healthy = members.iter().filter(|&&index| self.is_healthy(index));
        load::HostCounts {
            total: count(members.len()),
            healthy: count(healthy.count()),
            degraded: 0,
        }
    }

    /// What an endpoint counts for in its pool: with RANDOM, each alike.
    fn weight(&self, index: usize) -> f64 {
        let cluster = self.cluster;
        if cluster.balance == Simple::Random && cluster.hash.is_none() {
            return 1.0;
        }
        let endpoint = cluster.endpoints.get(index);
        endpoint.map_or(0.0, |endpoint| f64::from(endpoint.weight))
    }

    /// The endpoints of a tier are one pool, each drawn by its weight; or their localities are, and
    /// they within these.
    fn shares(&self, members: &[usize], tier: load::PriorityLoad) -> Vec<EndpointShare> {
        let weight = |index: usize| self.weight(index);
        let is_used = |index: usize| tier.panic || self.is_healthy(index);
        let used = |group: Option<usize>| {
            let members = members.iter().copied();
            members.filter(move |&i| is_used(i) && group.is_none_or(|g| self.group(i) == Some(g)))
        };
        let weighted = self.cluster.locality.rule().weighs_localities() && !tier.panic;
        let of_groups = |group: usize| {
            let all = members.iter().copied();
            let all: Vec<_> = all
                .filter(|&index| self.group(index) == Some(group))
                .collect();
            let counts = self.counts(&all);
            let weight = self
                .placement
                .groups
                .get(group)
                .map_or(0, |group| group.weight);
            let hosts = (counts.healthy, counts.total);
            load::effective_weight(weight, hosts, load::DEFAULT_OVERPROVISIONING) as f64
        };
        let mut groups: Vec<_> = members
            .iter()
            .filter_map(|&index| self.group(index))
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let all_groups: f64 = groups.iter().map(|&group| of_groups(group)).sum();
        let share = |index: usize| {
            let group = self.group(index).filter(|_| weighted);
            let part = group.map_or(1.0, |group| of_groups(group) / all_groups);
            part * weight(index) / used(group).map(weight).sum::<f64>()
        };
        let percent = f64::from(tier.healthy);
        let shares = members.iter().map(|&index| match is_used(index) {
            true => self.endpoint(index, share(index) * percent),
            false => self.endpoint(index, 0.0),
        });
        shares.flatten().collect()
    }

    /// Those that no share of `distribute` is for.
    pub(super) fn left_out(&self) -> Vec<EndpointShare> {
        let indices = self.indices(|index| self.group(index).is_none());
        let shares = indices.into_iter().map(|index| self.endpoint(index, 0.0));
        shares.flatten().collect()
    }

    fn endpoint(&self, index: usize, share: f64) -> Option<EndpointShare> {
        let endpoint = self.cluster.endpoints.get(index)?;
        Some(EndpointShare {
            address: endpoint.address.to_string(),
            locality: endpoint.locality.to_string(),
            share: (share * 10.0).round() / 10.0,
            failed: !self.is_healthy(index),
            ..EndpointShare::default()
        })
    }
}
