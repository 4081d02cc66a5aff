//! Which endpoints a request is offered, in order.
//!
//! A [`Balancer`] belongs to one worker and one build of a cluster. Tiers, load, weights and pools
//! are computed when it is built and when an ejection changes; a pick only looks them up. It gives
//! a [`Run`]: an ordered sequence of distinct endpoints, the first by the cluster's policy, so that
//! another attempt is the run's next element.

mod draws;
mod peak_ewma;
mod pool;
mod schedule;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use meltemi_policy::{
    HashTables, Hashing, HostCounts, Place, PriorityLoad, TierHost, hashing, load,
};

use crate::config::{Cluster, Health, LbPolicy};
use draws::Draws;
pub use peak_ewma::PeakEwma;
use pool::{Pool, Seat};

/// Picks endpoints of one cluster; they are named by their index in its endpoints.
///
/// The default has none, as for a cluster that nobody defines.
#[derive(Debug, Default)]
pub struct Balancer {
    policy: LbPolicy,
    panic_threshold: u32,
    overprovisioning: u32,
    /// What the groups of seats weigh; `None`: the hosts of a tier are one pool.
    group_weights: Option<Vec<u64>>,
    weighted_health: bool,
    /// How many endpoints the cluster has, members or not.
    hosts: usize,
    members: Vec<Member>,
    tiers: usize,
    /// The health of each tier, and the load that follows from it.
    counts: Vec<HostCounts>,
    loads: Vec<PriorityLoad>,
    /// The healthy hosts of each tier, then the degraded hosts of each tier: the order in which
    /// pools stand in for one that has no host left.
    pools: Vec<Pool>,
    /// The pool of each percent of the load.
    percents: Vec<usize>,
    /// The pools in their order, those first that have a part of the load.
    order: Vec<usize>,
    /// How many of them have one.
    loaded: usize,
    draws: Draws,
}

/// An endpoint that may get requests; what does not change between ejections.
#[derive(Debug)]
struct Member {
    /// As the configuration has it.
    health: Health,
    /// With what ejections make of it.
    now: Health,
    tier: usize,
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

/// The endpoints that one request is offered: a position, no more.
///
/// It is meant for the balancer that it came from. That one may have changed since (an ejection),
/// which can only make it skip or repeat an endpoint; another balancer's indices mean nothing.
#[derive(Clone, Debug)]
pub struct Run {
    draws: Draws,
    /// The pool and the group of it that the load decided for.
    pool: usize,
    group: usize,
    turn: u64,
    /// How many pools are used up.
    used_up: usize,
    /// Nobody is offered who has no part of the load.
    within_load: bool,
    picked: [usize; PICKS],
    picks: usize,
    /// Hosts of the current pool are offered one after the other from here.
    sweep: Option<Sweep>,
}

#[derive(Clone, Copy, Debug)]
struct Sweep {
    start: usize,
    passed: usize,
}

/// So many candidates of a run are chosen by the policy; what follows is whoever is left.
const PICKS: usize = 4;

impl Balancer {
    /// A balancer for a client at `own`. `random` decides where round robin starts, so that workers
    /// do not walk in step.
    pub fn new(cluster: &Cluster, own: Place<'_>, random: u64) -> Self {
        let hosts = &cluster.endpoints.hosts;
        let placement = cluster.placement(own);
        let placed = placement.members.iter().zip(placement.tiers());
        let members: Vec<Member> = hosts
            .iter()
            .zip(placed)
            .enumerate()
            .filter_map(|(host, (endpoint, (group, tier)))| {
                Some(Member {
                    health: endpoint.health,
                    now: endpoint.health,
                    part: 1.0,
                    tier: tier?,
                    seat: Seat {
                        host,
                        weight: endpoint.weight,
                        group: (*group)?,
                    },
                })
            })
            .collect();
        let weights = placement.groups.iter().map(|group| group.weight);
        let mut balancer = Self {
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
            percents: Vec::new(),
            order: Vec::new(),
            loaded: 0,
            draws: Draws::new(random),
        };
        balancer.set_ejected(|_| false);
        balancer
    }

    /// Takes the ejected endpoints out, and those that no longer are back in.
    pub fn set_ejected(&mut self, ejected: impl Fn(usize) -> bool) {
        for member in &mut self.members {
            member.now = match member.health {
                Health::Healthy | Health::Degraded if ejected(member.seat.host) => {
                    Health::Unhealthy
                }
                health => health,
            };
        }
        self.counts = self.count();
        self.loads = load::distribute(&self.counts, self.overprovisioning, self.panic_threshold);
        self.fill_pools();
        self.percents = self
            .percent_of_pools()
            .flat_map(|(pool, percent)| std::iter::repeat_n(pool, percent as usize))
            .collect();
        let (mut order, others): (Vec<_>, Vec<_>) =
            (0..self.pools.len()).partition(|pool| self.percents.contains(pool));
        self.loaded = order.len();
        order.extend(others);
        self.order = order;
    }

    /// Gives each endpoint this part of its weight, from 0 to 1, until it is given another.
    pub fn warm_up(&mut self, part: impl Fn(usize) -> f64) {
        for member in &mut self.members {
            member.part = part(member.seat.host);
        }
        self.fill_pools();
    }

    fn fill_pools(&mut self) {
        let healthy = (0..self.tiers).map(|tier| (tier, Health::Healthy));
        let degraded = (0..self.tiers).map(|tier| (tier, Health::Degraded));
        let mut draws = self.draws.clone();
        let is_scheduled = self.policy == LbPolicy::LeastRequest;
        self.pools = healthy
            .chain(degraded)
            .map(|(tier, kind)| {
                let mut pool = self.pool(tier, kind, draws.next());
                if is_scheduled {
                    pool.schedule(&mut draws);
                }
                pool
            })
            .collect();
        self.draws = draws;
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
        for member in &self.members {
            let tier = &mut counts[member.tier];
            let counted = match self.weighted_health {
                true => member.seat.weight,
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
    fn pool(&self, tier: usize, kind: Health, turn: u64) -> Pool {
        let finely = self.members.iter().any(|member| member.part < 1.0);
        let of_tier = self.members.iter().filter(|member| member.tier == tier);
        if self.loads[tier].panic {
            let seats = of_tier
                .filter(|member| kind == Health::Healthy && member.now != Health::Draining)
                .map(|member| member.seat(finely));
            return Pool::flat(seats.collect(), turn);
        }
        let Some(weights) = &self.group_weights else {
            let seats = of_tier
                .filter(|member| member.now == kind)
                .map(|member| member.seat(finely));
            return Pool::flat(seats.collect(), turn);
        };
        let seats = of_tier.map(|member| (member.seat(finely), member.now == kind));
        Pool::by_group(seats.collect(), (weights, self.overprovisioning), turn)
    }

    /// The endpoints of each hash, as they are now. `names` are what is hashed of them.
    pub fn hash_tables(&self, kind: Hashing, names: &[String]) -> HashTables {
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

    /// Starts the run of one request.
    pub fn run(&mut self, random: u64) -> Run {
        let mut draws = Draws::new(random);
        let percent = draws.below(self.percents.len());
        let pool = self.percents.get(percent).copied().unwrap_or(0);
        let (group, turn) = match self.pools.get_mut(pool) {
            Some(chosen) => {
                let group = chosen.group(&mut draws);
                (group, chosen.take_turn(group))
            }
            None => (0, 0),
        };
        Run {
            draws,
            pool,
            group,
            turn,
            used_up: 0,
            within_load: false,
            picked: [0; PICKS],
            picks: 0,
            sweep: None,
        }
    }

    /// The next candidate: first from the tier that the load decided for, then from the others that
    /// have a part of it, then from those that have none, the nearest first; `None` when every usable
    /// endpoint was offered.
    ///
    /// `load` is how many requests an endpoint has in flight, or for [`LbPolicy::PeakEwma`] what one
    /// more would cost.
    pub fn next(&self, run: &mut Run, load: impl Fn(usize) -> u64) -> Option<usize> {
        while let Some(pool) = self.current_pool(run) {
            if let Some(host) = self.next_of_pool(pool, run, &load) {
                return Some(host);
            }
            run.used_up += 1;
            run.sweep = None;
        }
        None
    }

    /// The pool that the load decided for, then the others in their order.
    fn current_pool(&self, run: &Run) -> Option<&Pool> {
        let pool = match run.used_up {
            0 => run.pool,
            n if run.within_load && n >= self.loaded => return None,
            n => {
                let mut others = self.order.iter().filter(|pool| **pool != run.pool);
                *others.nth(n - 1)?
            }
        };
        self.pools.get(pool)
    }

    fn next_of_pool(
        &self,
        pool: &Pool,
        run: &mut Run,
        load: &impl Fn(usize) -> u64,
    ) -> Option<usize> {
        let mut sweep = match run.sweep {
            Some(sweep) => sweep,
            None => {
                let start = self.choose(pool, run, load)?;
                let host = pool.host(start)?;
                if run.picks < PICKS && !run.has_picked(host) {
                    run.picked[run.picks] = host;
                    run.picks += 1;
                    return Some(host);
                }
                Sweep { start, passed: 0 }
            }
        };
        let mut found = None;
        while found.is_none() && sweep.passed < pool.len() {
            let host = pool.host_after(sweep.start, sweep.passed);
            found = host.filter(|&host| !run.has_picked(host));
            sweep.passed += 1;
        }
        run.sweep = Some(sweep);
        found
    }

    /// A position in the pool, by the cluster's policy.
    fn choose(&self, pool: &Pool, run: &mut Run, load: &impl Fn(usize) -> u64) -> Option<usize> {
        let first_pool = run.used_up == 0;
        let group = match first_pool {
            true => run.group,
            false => pool.group(&mut run.draws),
        };
        match self.policy {
            LbPolicy::RoundRobin if first_pool => {
                let turn = run.turn.wrapping_add(run.picks as u64);
                pool.in_turn(group, turn)
            }
            LbPolicy::RoundRobin | LbPolicy::Random => pool.at_random(group, &mut run.draws),
            LbPolicy::LeastRequest => pool
                .scheduled(group, load)
                .or_else(|| pool.less_loaded(group, &mut run.draws, load)),
            LbPolicy::PeakEwma { .. } => pool.less_loaded(group, &mut run.draws, load),
        }
    }

    /// The tier of each endpoint: 0 is the nearest. `None`: it gets no requests.
    pub fn host_tiers(&self) -> Vec<Option<usize>> {
        let mut tiers = vec![None; self.hosts];
        for member in &self.members {
            tiers[member.seat.host] = Some(member.tier);
        }
        tiers
    }

    /// The health of each tier.
    pub fn counts(&self) -> &[HostCounts] {
        &self.counts
    }

    /// The load of each tier.
    pub fn loads(&self) -> &[PriorityLoad] {
        &self.loads
    }

    /// The part of the requests, from 0 to 1, that has each endpoint as its first candidate, while
    /// all are equally busy.
    pub fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.hosts];
        for (pool, percent) in self.percent_of_pools() {
            for (host, share) in self.pools[pool].shares() {
                shares[host] += share * f64::from(percent) / 100.0;
            }
        }
        shares
    }
}

impl Run {
    /// From now on nobody is offered who has no part of the load.
    pub fn stay_within_load(&mut self) {
        self.within_load = true;
    }

    fn has_picked(&self, host: usize) -> bool {
        self.picked[..self.picks].contains(&host)
    }
}
