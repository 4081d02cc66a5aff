//! Which endpoints a request is offered, in order.
//!
//! A [`Balancer`] belongs to one worker and one build of a cluster. Tiers, load, weights and pools
//! are computed when it is built and when an ejection changes; a pick only looks them up. It gives
//! a [`Run`]: an ordered sequence of distinct endpoints, the first by the cluster's policy, so that
//! another attempt is the run's next element.
//!
//! What is computed of a cluster is in its [`Layout`], which is made once for all workers and not by
//! them: of thousands of endpoints it takes longer than requests should wait.

mod draws;
mod layout;
mod peak_ewma;
mod plan;
mod pool;
mod schedule;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use meltemi_policy::{HashTables, Hashing, HostCounts, Place, PriorityLoad};

use crate::config::{Cluster, LbPolicy};
use draws::Draws;
pub(crate) use layout::Origin;
pub use layout::{Layout, Layouts};
pub use peak_ewma::PeakEwma;
use plan::Plan;
use pool::{Pool, Schedules};

/// Picks endpoints of one cluster; they are named by their index in its endpoints.
///
/// The default has none, as for a cluster that nobody defines.
#[derive(Debug, Default)]
pub struct Balancer {
    plan: Plan,
    draws: Draws,
    /// The turns of each pool, where its policy goes by them.
    schedules: Vec<Schedules>,
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
        Self::of(Plan::new(cluster, own), random)
    }

    /// As all of them are until endpoints are ejected or warm up.
    fn of(mut plan: Plan, random: u64) -> Self {
        let mut draws = Draws::new(random);
        Self {
            schedules: plan.start_turns(&mut draws),
            plan,
            draws,
        }
    }

    /// Takes the ejected endpoints out, and those that no longer are back in.
    pub fn set_ejected(&mut self, ejected: impl Fn(usize) -> bool) {
        self.plan.set_ejected(ejected);
        self.schedules = self.plan.start_turns(&mut self.draws);
    }

    /// Gives each endpoint this part of its weight, from 0 to 1, until it is given another.
    pub fn warm_up(&mut self, part: impl Fn(usize) -> f64) {
        self.plan.warm_up(part);
        self.schedules = self.plan.start_turns(&mut self.draws);
    }

    /// The endpoints of each hash, as they are now. `names` are what is hashed of them.
    pub fn hash_tables(&self, kind: Hashing, names: &[String]) -> HashTables {
        self.plan.hash_tables(kind, names)
    }

    /// Starts the run of one request.
    pub fn run(&mut self, random: u64) -> Run {
        let mut draws = Draws::new(random);
        let Plan {
            percents, pools, ..
        } = &mut self.plan;
        let percent = draws.below(percents.len());
        let pool = percents.get(percent).copied().unwrap_or(0);
        let (group, turn) = match pools.get_mut(pool) {
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
    fn current_pool(&self, run: &Run) -> Option<(&Pool, &Schedules)> {
        let index = match run.used_up {
            0 => run.pool,
            n if run.within_load && n >= self.plan.loaded => return None,
            n => {
                let mut others = self.plan.order.iter().filter(|pool| **pool != run.pool);
                *others.nth(n - 1)?
            }
        };
        Some((self.plan.pools.get(index)?, self.schedules.get(index)?))
    }

    fn next_of_pool(
        &self,
        (pool, schedules): (&Pool, &Schedules),
        run: &mut Run,
        load: &impl Fn(usize) -> u64,
    ) -> Option<usize> {
        let mut sweep = match run.sweep {
            Some(sweep) => sweep,
            None => {
                // Where there is one, every policy chooses that.
                let start = match pool.len() {
                    1 => 0,
                    _ => self.choose((pool, schedules), run, load)?,
                };
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
    fn choose(
        &self,
        (pool, schedules): (&Pool, &Schedules),
        run: &mut Run,
        load: &impl Fn(usize) -> u64,
    ) -> Option<usize> {
        let first_pool = run.used_up == 0;
        let group = match first_pool {
            true => run.group,
            false => pool.group(&mut run.draws),
        };
        match self.plan.policy {
            LbPolicy::RoundRobin if first_pool => {
                let turn = run.turn.wrapping_add(run.picks as u64);
                pool.in_turn(group, turn)
            }
            LbPolicy::RoundRobin | LbPolicy::Random => pool.at_random(group, &mut run.draws),
            LbPolicy::LeastRequest => pool
                .scheduled(group, schedules, load)
                .or_else(|| pool.less_loaded(group, &mut run.draws, load)),
            LbPolicy::PeakEwma { .. } => pool.less_loaded(group, &mut run.draws, load),
        }
    }

    /// The tier of each endpoint: 0 is the nearest. `None`: it gets no requests.
    pub fn host_tiers(&self) -> Vec<Option<usize>> {
        self.plan.host_tiers()
    }

    /// The health of each tier.
    pub fn counts(&self) -> &[HostCounts] {
        &self.plan.counts
    }

    /// The load of each tier.
    pub fn loads(&self) -> &[PriorityLoad] {
        &self.plan.loads
    }

    /// The part of the requests, from 0 to 1, that has each endpoint as its first candidate, while
    /// all are equally busy.
    pub fn shares(&self) -> Vec<f64> {
        self.plan.shares()
    }
}

impl Run {
    /// From now on nobody is offered who has no part of the load.
    pub fn stay_within_load(&mut self) {
        self.within_load = true;
    }

    /// Goes on where a copy of it is, as freely as before.
    pub fn go_on_from(&mut self, copy: Self) {
        *self = Self {
            within_load: self.within_load,
            ..copy
        };
    }

    fn has_picked(&self, host: usize) -> bool {
        self.picked[..self.picks].contains(&host)
    }
}
