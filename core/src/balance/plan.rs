//! Who of a cluster's endpoints has which part of its load.

use std::sync::Arc;

use meltemi_policy::{
    HashTables, Hashing, HostCounts, Place, PriorityLoad, TierHost, hashing, load,
};

use super::draws::Draws;
use super::pool::{Pool, Schedules, Seat};
use crate::config::{Cluster, Health, LbPolicy};

/// All that is computed of a cluster; a clone shares what is large.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) policy: LbPolicy,
    panic_threshold: u32,
    overprovisioning: u32,
    /// What the groups of seats weigh; `None`: the hosts of a tier are one pool.
    group_weights: Option<Arc<[u64]>>,
    weighted_health: bool,
    /// How many endpoints the cluster has, members or not.
    pub(super) hosts: usize,
    members: Arc<[Member]>,
    pub(super) tiers: usize,
    /// The health of each tier, and the load that follows from it.
    pub(super) counts: Vec<HostCounts>,
    pub(super) loads: Vec<PriorityLoad>,
    /// The healthy hosts of each tier, then the degraded hosts of each tier: the order in which
    /// pools stand in for one that has no host left.
    pub(super) pools: Vec<Pool>,
    /// The pool of each percent of the load.
    pub(super) percents: Arc<[usize]>,
    /// The pools in their order, those first that have a part of the load.
    pub(super) order: Arc<[usize]>,
    /// How many of them have one.
    pub(super) loaded: usize,
}

/// An endpoint that may get requests; what does not change between ejections.
#[derive(Clone, Debug)]
struct Member {
    /// As the configuration has it.
    health: Health,
    /// With what ejections make of it.
    now: Health,
    tier: usize,
    /// For the health of its tier, where that goes by weight.
    weight: u32,
    seat: Seat,
    /// The part of its weight that counts for its share of a pool.
    part: f64,
}

impl Member {
    /// What it has in a pool. `finely`: weights are compared with parts of weights.
    fn seat(&self, finely: bool) -> Seat {
        /// Of a weight of 1 so much, so that small parts of it can be told apart.
        const FINE: f64 = 1000.0;
        let weight = match finely {
            true => (f64::from(self.seat.weight) * FINE * self.part).max(1.0) as u32,
            false => self.seat.weight,
        };
        Seat {
            weight,
            ..self.seat
        }
    }
}

impl Plan {
    /// For a client at `own`, while no endpoint is ejected.
    pub(super) fn new(cluster: &Cluster, own: Place<'_>) -> Self {
        let hosts = &cluster.endpoints.hosts;
        let placement = cluster.placement(own);
        let placed = placement.members.iter().zip(placement.tiers());
        let weighs_endpoints = cluster.weighs_endpoints();
        let members: Arc<[Member]> = hosts
            .iter()
            .zip(placed)
            .enumerate()
            .filter_map(|(host, (endpoint, (group, tier)))| {
                Some(Member {
                    health: endpoint.health,
                    now: endpoint.health,
                    part: 1.0,
                    tier: tier?,
                    weight: endpoint.weight,
                    seat: Seat {
                        host,
                        weight: if weighs_endpoints { endpoint.weight } else { 1 },
                        group: (*group)?,
                    },
                })
            })
            .collect();
        let weights = placement.groups.iter().map(|group| group.weight);
        let mut plan = Self {
            policy: cluster.lb,
            panic_threshold: cluster.panic_threshold,
            overprovisioning: cluster.endpoints.overprovisioning,
            group_weights: cluster.locality_weighted.then(|| weights.collect()),
            weighted_health: cluster.endpoints.weighted_health,
            hosts: hosts.len(),
            tiers: members.iter().map(|m| m.tier + 1).max().unwrap_or(0),
            members,
            counts: Vec::new(),
            loads: Vec::new(),
            pools: Vec::new(),
            percents: Arc::default(),
            order: Arc::default(),
            loaded: 0,
        };
        plan.distribute();
        plan
    }

    /// Takes the ejected endpoints out, and those that no longer are back in.
    pub(super) fn set_ejected(&mut self, ejected: impl Fn(usize) -> bool) {
        for member in Arc::make_mut(&mut self.members) {
            member.now = match member.health {
                Health::Healthy | Health::Degraded if ejected(member.seat.host) => {
                    Health::Unhealthy
                }
                health => health,
            };
        }
        self.distribute();
    }

    /// Gives each endpoint this part of its weight, from 0 to 1, until it is given another.
    pub(super) fn warm_up(&mut self, part: impl Fn(usize) -> f64) {
        for member in Arc::make_mut(&mut self.members) {
            member.part = part(member.seat.host);
        }
        self.fill_pools();
    }

    /// Health, load and pools, as the members are now.
    fn distribute(&mut self) {
        self.counts = self.count();
        self.loads = load::distribute(&self.counts, self.overprovisioning, self.panic_threshold);
        self.fill_pools();
        self.percents = self
            .percent_of_pools()
            .flat_map(|(pool, percent)| std::iter::repeat_n(pool, percent as usize))
            .collect();
        let (loaded, others): (Vec<_>, Vec<_>) =
            (0..self.pools.len()).partition(|pool| self.percents.contains(pool));
        self.loaded = loaded.len();
        self.order = loaded.into_iter().chain(others).collect();
    }

    fn fill_pools(&mut self) {
        let healthy = (0..self.tiers).map(|tier| (tier, Health::Healthy));
        let degraded = (0..self.tiers).map(|tier| (tier, Health::Degraded));
        self.pools = healthy
            .chain(degraded)
            .map(|(tier, kind)| self.pool(tier, kind))
            .collect();
    }

    /// What each worker has for itself: whose turn it is, in each pool.
    pub(super) fn start_turns(&mut self, draws: &mut Draws) -> Vec<Schedules> {
        let is_scheduled = self.policy == LbPolicy::LeastRequest;
        let pools = self.pools.iter_mut();
        let schedules = pools.map(|pool| {
            pool.start(draws.next());
            match is_scheduled {
                true => pool.schedules(draws),
                false => Schedules::default(),
            }
        });
        schedules.collect()
    }

    /// The percentage of the load that goes to each pool. A panicking tier has one pool for all.
    fn percent_of_pools(&self) -> impl Iterator<Item = (usize, u32)> {
        let loads = || self.loads.iter().enumerate();
        let healthy = loads().map(|(tier, load)| (tier, load.healthy));
        let degraded = loads().map(|(tier, load)| match load.panic {
            true => (tier, load.degraded),
            false => (self.tiers + tier, load.degraded),
        });
        healthy.chain(degraded)
    }

    fn count(&self) -> Vec<HostCounts> {
        let mut counts = vec![HostCounts::default(); self.tiers];
        for member in self.members.iter() {
            let tier = &mut counts[member.tier];
            let counted = match self.weighted_health {
                true => member.weight,
                false => 1,
            };
            let add = |count: &mut u32| *count = count.saturating_add(counted);
            add(&mut tier.total);
            match member.now {
                Health::Healthy => add(&mut tier.healthy),
                Health::Degraded => add(&mut tier.degraded),
                Health::Unhealthy | Health::Draining => {}
            }
        }
        counts
    }

    /// The hosts of a tier that are of this kind; in panic, all of them as if they were healthy.
    fn pool(&self, tier: usize, kind: Health) -> Pool {
        let finely = self.members.iter().any(|member| member.part < 1.0);
        let of_tier = self.members.iter().filter(|member| member.tier == tier);
        if self.loads[tier].panic {
            let seats = of_tier
                .filter(|member| kind == Health::Healthy && member.now != Health::Draining)
                .map(|member| member.seat(finely));
            return Pool::flat(seats.collect());
        }
        let Some(weights) = &self.group_weights else {
            let seats = of_tier
                .filter(|member| member.now == kind)
                .map(|member| member.seat(finely));
            return Pool::flat(seats.collect());
        };
        let seats = of_tier.map(|member| (member.seat(finely), member.now == kind));
        Pool::by_group(seats.collect(), weights, self.overprovisioning)
    }

    /// The endpoints of each hash, as they are now. `names` are what is hashed of them.
    pub(super) fn hash_tables(&self, kind: Hashing, names: &[String]) -> HashTables {
        let pools = self.pools.iter().enumerate().map(|(index, pool)| {
            let hosts = pool.seats().iter().filter_map(|seat| {
                Some(TierHost {
                    host: seat.host,
                    name: names.get(seat.host)?.clone(),
                    weight: seat.weight,
                    group: seat.group,
                })
            });
            let weights = self.group_weights_of(index % self.tiers);
            hashing::parts(hosts.collect(), weights.as_deref())
        });
        HashTables::new(kind, &self.loads, pools.collect())
    }

    /// What the groups of a tier weigh; those of others nothing.
    fn group_weights_of(&self, tier: usize) -> Option<Vec<u64>> {
        let weights = self.group_weights.as_ref()?;
        let mut of_tier = vec![0; weights.len()];
        for member in self.members.iter().filter(|member| member.tier == tier) {
            of_tier[member.seat.group] = weights[member.seat.group];
        }
        Some(of_tier)
    }

    /// The tier of each endpoint: 0 is the nearest. `None`: it gets no requests.
    pub(super) fn host_tiers(&self) -> Vec<Option<usize>> {
        let mut tiers = vec![None; self.hosts];
        for member in self.members.iter() {
            tiers[member.seat.host] = Some(member.tier);
        }
        tiers
    }

    /// The part of the requests, from 0 to 1, that has each endpoint as its first candidate, while
    /// all are equally busy.
    pub(super) fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.hosts];
        for (pool, percent) in self.percent_of_pools() {
            for (host, share) in self.pools[pool].shares() {
                shares[host] += share * f64::from(percent) / 100.0;
            }
        }
        shares
    }
}
