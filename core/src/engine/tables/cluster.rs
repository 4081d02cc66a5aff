//! A cluster: its endpoints, who of them is asked, and how they are connected to.

mod by_address;
mod endpoints;

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::{HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use meltemi_codec::Constraint;
use meltemi_policy::{Locality, Warmup};
use slotmap::SlotMap;

use super::{HostKey, Limits, budget::Budget};
use crate::{
    balance::{Balancer, Layout, Origin, PeakEwma, Run},
    circuit::{Further, Permit, Usage},
    config::{self, Address, Health, LbPolicy},
    engine::{
        ServerKey, TopologyKey,
        health::Attention,
        shards::{Division, Hashed, Owner},
    },
    outlier::Counts,
    telemetry::ClusterMetrics,
    tls::Tls,
};
use by_address::ByAddress;

/// Endpoints and the balancer over them.
pub(in crate::engine) struct Cluster {
    pub(in crate::engine) name: Arc<str>,
    hosts: Vec<HostKey>,
    /// Who is asked first how the keys are divided.
    seeds: Vec<HostKey>,
    /// Endpoints that only a redirect has named.
    pub(in crate::engine) most_unknown: usize,
    pub(in crate::engine) division: Division,
    /// This and the balancer are `None` where the configuration does not have this cluster.
    pub(in crate::engine) budget: Option<Budget>,
    /// `None`: nothing bounds its requests.
    pub(in crate::engine) limits: Option<Limits>,
    balancer: Option<RefCell<Balancer>>,
    /// What it was made of. Weak: what workers still hold of old ones is little, and not theirs to
    /// drop.
    layout: Weak<Layout>,
    /// Some of its endpoints are left out.
    lacks_some: Cell<bool>,
    by_address: ByAddress,
    /// Its endpoints by where they are dialled, once a client has dialled one.
    dialled: OnceCell<HashMap<(IpAddr, u16), HostKey>>,
    dial: Dial,
    /// `None`: its endpoints have all of their weight at once.
    warming: Option<Warming>,
}

/// How endpoints that are new come to their weight.
struct Warming {
    rule: Warmup,
    /// Which of the endpoints the configuration calls usable.
    usable: Vec<bool>,
}

impl Warming {
    fn of(config: &config::Cluster) -> Option<Self> {
        let hosts = config.endpoints.hosts.iter();
        let usable = hosts.map(|host| matches!(host.health, Health::Healthy | Health::Degraded));
        Some(Self {
            rule: config.warmup?,
            usable: usable.collect(),
        })
    }

    /// How long it takes until weights are adapted again.
    fn step(&self) -> Duration {
        const STEPS: u32 = 100;
        let step = self.rule.duration / STEPS;
        step.clamp(Duration::from_millis(50), Duration::from_secs(1))
    }
}

/// An endpoint of a cluster.
pub(in crate::engine) struct Host {
    pub(in crate::engine) cluster: Arc<str>,
    pub(in crate::engine) address: Address,
    pub(in crate::engine) locality: Arc<Locality>,
    pub(in crate::engine) dial: Dial,
    pub(in crate::engine) metrics: ClusterMetrics,
    /// What all workers use of its cluster.
    pub(in crate::engine) usage: Arc<Usage>,
    /// Requests in flight of this worker.
    pub(in crate::engine) active: u32,
    /// Of this worker.
    pub(in crate::engine) tunnels: u32,
    /// How long its answers take, where the balancer asks for it.
    pub(in crate::engine) latency: Option<PeakEwma>,
    pub(in crate::engine) connections: Vec<ServerKey>,
    /// Those of them that serve no client alone.
    pub(in crate::engine) shared: Vec<ServerKey>,
    /// It said that it wants no new requests.
    pub(in crate::engine) leaving: bool,
    /// Until then, as of [`crate::engine::Engine::elapsed`], others are asked first: it may have died.
    doubted: u64,
    pub(in crate::engine) attention: Attention,
    /// Where outcomes are counted.
    pub(in crate::engine) counts: Counts,
    /// Its cluster's outlier detection took it out, or its health check failed.
    ejected: bool,
    /// It can be used since then, where that matters to its weight.
    since: Option<Instant>,
    /// The configuration has it, or the other endpoints of its cluster do.
    pub(in crate::engine) configured: bool,
    /// The configuration names it among the endpoints of its cluster.
    listed: bool,
}

/// How the endpoints of a cluster are connected to.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Dial {
    pub(in crate::engine) timeout: Duration,
    pub(in crate::engine) keepalive: Option<config::Keepalive>,
    pub(in crate::engine) tls: Option<Arc<Tls>>,
    /// Connections of all workers to the cluster.
    pub(in crate::engine) most: Option<u32>,
    /// A connection without requests closes after this time; `None`: after the worker's.
    pub(in crate::engine) idle: Option<Duration>,
}

impl Dial {
    pub(super) fn of(config: &config::Cluster) -> Self {
        Self {
            timeout: config.connect_timeout,
            keepalive: config.keepalive,
            tls: config.tls.clone(),
            most: config.limits.connections,
            idle: config.idle_timeout,
        }
    }

    /// Whether endpoints need not be told.
    fn is(&self, other: &Self) -> bool {
        let tls = |dial: &Self| dial.tls.as_ref().map(Arc::as_ptr);
        self.timeout == other.timeout
            && self.keepalive == other.keepalive
            && tls(self) == tls(other)
            && self.most == other.most
            && self.idle == other.idle
    }

    /// Whether connections that were made by the other would not be what is asked for now. New
    /// certificates alone leave them as good as they were.
    pub(in crate::engine) fn differs(&self, other: &Self) -> bool {
        let settings = |dial: &Self| dial.tls.as_ref().map(|tls| tls.settings().clone());
        settings(self) != settings(other)
    }
}

/// The endpoints that a request is offered.
#[derive(Clone)]
pub(in crate::engine) struct Candidates {
    run: Run,
    /// Those that want no new requests, or may be dead: better than none.
    reluctant: VecDeque<HostKey>,
    /// Who asks has nothing under way: others are asked first where one may be dead.
    doubting: bool,
}

/// An endpoint that is offered; nothing where it is none any more.
type Offered<'h> = Option<(HostKey, &'h Host)>;

impl Candidates {
    /// One of them is there, if slow or busy: none is asked any more that has no part of the load.
    pub(in crate::engine) fn stay_within_load(&mut self) {
        self.run.stay_within_load();
    }

    /// Who asks has nothing under way, so that it may go to whom it likes.
    pub(in crate::engine) fn doubt(&mut self) {
        self.doubting = true;
    }

    /// In the place of one that may be dead, another of those that have a part of the load, if it is
    /// neither doubted nor leaving: doubts move nothing to the others.
    fn surer<'h>(
        &mut self,
        doubted: HostKey,
        elapsed: u64,
        offer: impl Fn(&mut Run) -> Option<Offered<'h>>,
    ) -> Option<HostKey> {
        let mut run = self.run.clone();
        run.stay_within_load();
        let mut passed = vec![doubted];
        while let Some(offered) = offer(&mut run) {
            match offered {
                Some((key, host)) if host.leaving || host.is_doubted(elapsed) => passed.push(key),
                Some((key, _)) => {
                    self.run.go_on_from(run);
                    self.reluctant.extend(passed);
                    return Some(key);
                }
                None => {}
            }
        }
        None
    }
}

impl Cluster {
    pub(super) fn unknown(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            hosts: Vec::new(),
            seeds: Vec::new(),
            most_unknown: 0,
            division: Division::None,
            budget: None,
            limits: None,
            balancer: None,
            layout: Weak::new(),
            lacks_some: Cell::new(false),
            by_address: ByAddress::default(),
            dialled: OnceCell::new(),
            dial: Dial::default(),
            warming: None,
        }
    }

    /// Whether the configuration has it.
    pub(in crate::engine) fn is_known(&self) -> bool {
        self.balancer.is_some()
    }

    /// Whether its endpoints have different keys.
    pub(in crate::engine) fn is_divided(&self) -> bool {
        self.division.divides()
    }

    /// Whether a hash divides its keys, which its endpoints know nothing of.
    pub(in crate::engine) fn is_hashed(&self) -> bool {
        matches!(self.division, Division::Hashed(..)) && self.division.divides()
    }

    /// What finds an endpoint by a hash.
    pub(in crate::engine) fn hashed(&self) -> Option<&Hashed> {
        match &self.division {
            Division::Hashed(hashed) => Some(hashed),
            _ => None,
        }
    }

    /// Who is asked, given what the request says of its key and how many were asked already.
    pub(in crate::engine) fn owner(
        &self,
        constraint: &Constraint,
        (asked, random): (u8, u64),
        hosts: &SlotMap<HostKey, Host>,
    ) -> Owner {
        if let Constraint::Endpoint(address) = constraint {
            return self
                .at_address(address, hosts)
                .map_or(Owner::Nobody, |host| Owner::Is {
                    host,
                    replica: false,
                });
        }
        let seed = usize::try_from(random >> 33).unwrap_or(0) + usize::from(asked);
        self.division.owner(constraint, seed, hosts)
    }

    /// The endpoints that the configuration names, and those that were learned.
    pub(in crate::engine) fn known_hosts(&self) -> impl Iterator<Item = HostKey> {
        let learned = self.division.nodes().into_iter().map(|(host, ..)| host);
        let mut known: Vec<HostKey> = self.seeds.iter().chain(&self.hosts).copied().collect();
        known.extend(learned);
        let mut seen = HashSet::new();
        known.into_iter().filter(move |host| seen.insert(*host))
    }

    /// Who can be asked how the keys are divided.
    pub(in crate::engine) fn informants(&self) -> Vec<HostKey> {
        let learned = self.division.nodes().into_iter().map(|(host, ..)| host);
        let first = match self.seeds.is_empty() {
            true => &self.hosts,
            false => &self.seeds,
        };
        first.iter().copied().chain(learned).collect()
    }

    /// A server said that another owns the slot now. False: that was known.
    pub(in crate::engine) fn moved(&self, slot: u32, host: HostKey) -> bool {
        let Division::Learned(learned) = &self.division else {
            return false;
        };
        let mut map = learned.map.borrow_mut();
        map.as_mut().is_some_and(|shards| shards.moved(slot, host))
    }

    /// What asks its servers how they divide the keys.
    pub(in crate::engine) fn topology(&self) -> Option<TopologyKey> {
        match &self.division {
            Division::Learned(learned) => learned.topology.get(),
            _ => None,
        }
    }

    /// Lets one more request be a repetition, if it may.
    pub(in crate::engine) fn begins_retry(&self, workers: usize) -> bool {
        let budget = self.budget.as_ref();
        budget.is_some_and(|budget| budget.begin(workers))
    }

    /// Requests of this worker in flight to its endpoints.
    pub(in crate::engine) fn active(&self) -> u64 {
        self.budget.as_ref().map_or(0, Budget::active)
    }

    /// The candidates of one request.
    pub(in crate::engine) fn candidates(&self, random: u64) -> Option<Candidates> {
        Some(Candidates {
            run: self.balancer.as_ref()?.borrow_mut().run(random),
            reluctant: VecDeque::new(),
            doubting: false,
        })
    }

    /// The next candidate that wants requests; when there is none left, one that does not.
    pub(in crate::engine) fn next(
        &self,
        candidates: &mut Candidates,
        hosts: &SlotMap<HostKey, Host>,
        elapsed: u64,
    ) -> Option<HostKey> {
        let host = |index: usize| {
            let key = *self.hosts.get(index)?;
            Some((key, hosts.get(key)?))
        };
        let load = |index| host(index).map_or(0, |(_, host)| host.load(elapsed));
        let balancer = self.balancer.as_ref()?.borrow();
        while let Some(index) = balancer.next(&mut candidates.run, load) {
            match host(index) {
                Some((key, it)) if it.leaving => candidates.reluctant.push_back(key),
                Some((key, it)) if candidates.doubting && it.is_doubted(elapsed) => {
                    let offer = |run: &mut Run| balancer.next(run, load).map(host);
                    return candidates.surer(key, elapsed, offer).or(Some(key));
                }
                Some((key, _)) => return Some(key),
                None => {}
            }
        }
        candidates.reluctant.pop_front()
    }

    /// Gives endpoints that are new, or were away, the part of their weight that is due now. False:
    /// all have all of it.
    fn warm_up(&self, hosts: &mut SlotMap<HostKey, Host>, now: Instant) -> bool {
        let (Some(warming), Some(balancer)) = (&self.warming, &self.balancer) else {
            return false;
        };
        let endpoints = self.hosts.iter().zip(&warming.usable);
        let part = |(key, usable): (&HostKey, &bool)| {
            let host = hosts.get_mut(*key)?;
            let usable = *usable && !host.ejected;
            host.since = usable.then(|| host.since.unwrap_or(now));
            let age = now.saturating_duration_since(host.since?);
            Some(warming.rule.part(age))
        };
        let parts: Vec<Option<f64>> = endpoints.map(part).collect();
        let part = |index: usize| parts.get(index).copied().flatten().unwrap_or(1.0);
        balancer.borrow_mut().warm_up(part);
        parts.iter().flatten().any(|part| *part < 1.0)
    }

    /// Whether it is what another one would be that was made of this.
    fn is_of(&self, layout: &Arc<Layout>) -> bool {
        self.layout.as_ptr() == Arc::as_ptr(layout)
    }

    /// Where its endpoints are now. `None`: they have to be looked for.
    fn origin<'l>(&self, layout: &'l Layout) -> Option<&'l Origin> {
        let origin = layout.origin(&self.layout);
        origin.filter(|_| !self.learns())
    }

    /// Whether its servers say which there are.
    fn learns(&self) -> bool {
        matches!(self.division, Division::Learned(_))
    }

    /// What its endpoints are that are left out, as the balancer is to know.
    fn apply_ejections(&self, hosts: &SlotMap<HostKey, Host>) {
        let ejected: Vec<bool> = self
            .hosts
            .iter()
            .map(|key| hosts.get(*key).is_some_and(|host| host.ejected))
            .collect();
        let lacks_some = ejected.contains(&true);
        // One that lacks nobody is as it was made.
        if !self.lacks_some.replace(lacks_some) && !lacks_some {
            return;
        }
        if let Some(balancer) = &self.balancer {
            let mut balancer = balancer.borrow_mut();
            balancer.set_ejected(|index| ejected.get(index).copied().unwrap_or(false));
            self.division.rehash(&balancer);
        }
    }
}

impl Host {
    /// Takes in what its cluster says of all endpoints, but for how they are dialled.
    fn obey(&mut self, config: &config::Cluster) {
        self.latency = match config.lb {
            LbPolicy::PeakEwma { decay } => {
                let known = self.latency.take();
                Some(known.map_or_else(|| PeakEwma::new(decay), |it| it.with_decay(decay)))
            }
            _ => None,
        };
        self.attention.asked(config.outlier.as_ref());
    }

    /// No cluster has it any more. Should it come back while something holds it, it is new: whoever
    /// ejected it has forgotten it too.
    fn leave(&mut self) {
        (self.configured, self.listed) = (false, false);
        (self.ejected, self.since) = (false, None);
    }

    /// A connection is gone.
    pub(in crate::engine) fn forget(&mut self, key: ServerKey) {
        self.connections.retain(|other| *other != key);
        self.shared.retain(|other| *other != key);
    }

    /// What a balancer compares, at a time as of [`crate::engine::Engine::elapsed`].
    #[inline]
    fn load(&self, elapsed: u64) -> u64 {
        match &self.latency {
            None => self.active.into(),
            Some(latency) => latency.cost(elapsed, self.active),
        }
    }

    /// A place for another connection to it.
    pub(in crate::engine) fn permit(&self) -> Option<Permit> {
        Permit::take(&self.usage, self.dial.most, self.connections.is_empty())
    }

    /// A place for a shared connection that is not the first.
    pub(in crate::engine) fn further(&self, most: u32) -> Option<Further> {
        Further::take(&self.usage, &self.address, most)
    }

    /// A place for a connection that only one client has, of which there are no more than there may be.
    ///
    /// Source of the rule: Envoy's `tcp_proxy` asks whether the cluster allows one more before it asks
    /// the pool.
    pub(in crate::engine) fn permit_of_its_own(&self) -> Option<Permit> {
        Permit::take(&self.usage, self.dial.most, false)
    }

    /// Nothing new comes to it.
    pub(in crate::engine) fn is_ejected(&self) -> bool {
        self.ejected
    }

    /// It may be dead: for so long others are asked first.
    pub(in crate::engine) fn doubt(&mut self, elapsed: u64, long: Duration) {
        let long = u64::try_from(long.as_nanos()).unwrap_or(u64::MAX);
        self.doubted = elapsed.saturating_add(long);
    }

    fn is_doubted(&self, elapsed: u64) -> bool {
        elapsed < self.doubted
    }

    /// It is better not asked now.
    pub(in crate::engine) fn avoided(&self) -> bool {
        self.ejected || self.leaving || self.attention.is_failing()
    }

    pub(in crate::engine) fn new(
        cluster: &Arc<str>,
        address: Address,
        locality: Arc<Locality>,
        metrics: &ClusterMetrics,
        usage: Arc<Usage>,
    ) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            usage,
            address,
            locality,
            dial: Dial::default(),
            metrics: metrics.clone(),
            active: 0,
            tunnels: 0,
            latency: None,
            connections: Vec::new(),
            shared: Vec::new(),
            leaving: false,
            doubted: 0,
            attention: Attention::default(),
            counts: Counts::default(),
            ejected: false,
            since: None,
            configured: true,
            listed: false,
        }
    }
}
