//! From one configuration to the next: which endpoints stay, come and go.
//!
//! Whoever made the configuration has compared it with the one before, so that a worker follows its
//! endpoints by their places. It looks for them by their addresses only where it cannot.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use meltemi_policy::Locality;
use slotmap::Key;

use super::{ByAddress, Cluster, Dial, Host, Warming};
use crate::{
    balance::{Layout, Origin},
    circuit::Usage,
    config::{self, Address, Snapshot},
    engine::tables::{Budget, HostKey, Limits, Tables},
    telemetry::{ClusterMetrics, WorkerTelemetry},
};

/// What endpoints are placed with.
struct Placing<'p> {
    cluster: (&'p Arc<str>, &'p config::Cluster),
    metrics: &'p ClusterMetrics,
    usage: Arc<Usage>,
    dial: Dial,
    known: &'p mut Known,
    /// Some that came are left out.
    lacks_some: bool,
}

/// Endpoints that there were before an update, as far as they are not found by their place.
type Known = HashMap<(Arc<str>, Address), HostKey>;

impl Tables {
    /// How all endpoints are connected to from now on, learned ones included. Returns those whose
    /// connections are not what is asked for any more.
    pub(in crate::engine::tables) fn update_dials(&mut self, snapshot: &Snapshot) -> Vec<HostKey> {
        let changed = self.clusters.iter().filter_map(|(name, before)| {
            let dial = Dial::of(snapshot.clusters.get(name)?);
            (!dial.is(&before.dial)).then_some((name.as_str(), dial))
        });
        let changed: HashMap<&str, Dial> = changed.collect();
        let mut outdated = Vec::new();
        if changed.is_empty() {
            return outdated;
        }
        for (key, host) in &mut self.hosts {
            let Some(dial) = changed.get(&*host.cluster) else {
                continue;
            };
            if host.dial.differs(dial) {
                outdated.push(key);
            }
            host.dial = dial.clone();
        }
        outdated
    }

    pub(in crate::engine::tables) fn update_clusters(
        &mut self,
        snapshot: &Snapshot,
        telemetry: &WorkerTelemetry,
        random: u64,
    ) -> Vec<HostKey> {
        let layouts = snapshot.clusters.iter();
        let layouts = layouts.map(|(name, config)| (name, config, snapshot.layout(name, config)));
        let layouts: Vec<_> = layouts.collect();
        let followed = layouts.iter().filter(|(name, _, layout)| {
            let before = self.clusters.get(*name);
            before.is_some_and(|before| before.is_of(layout) || before.origin(layout).is_some())
        });
        let followed: HashSet<&str> = followed.map(|(name, ..)| name.as_str()).collect();
        let mut known = self.strangers(&followed);
        let (mut clusters, mut gone) = (HashMap::new(), Vec::new());
        for (name, config, layout) in &layouts {
            let before = self.clusters.get(*name).map(Rc::clone);
            if let Some(same) = before.as_ref().filter(|before| before.is_of(layout)) {
                clusters.insert((*name).clone(), Rc::clone(same));
                continue;
            }
            // One name for all, so that endpoints of a cluster are known by its address.
            let known_as = before.as_ref().map(|before| Arc::clone(&before.name));
            let name = known_as.unwrap_or_else(|| Arc::from(name.as_str()));
            let metrics = telemetry.cluster(&name);
            let mut placing = Placing {
                cluster: (&name, config),
                metrics: &metrics,
                usage: self.circuits.cluster(&name),
                dial: Dial::of(config),
                known: &mut known,
                lacks_some: false,
            };
            let found = before
                .as_ref()
                .and_then(|it| Some((it, it.origin(layout)?)));
            let hosts = match found {
                Some((before, origin)) => {
                    let (hosts, left) =
                        self.follow_endpoints((layout, origin), before, &mut placing);
                    gone.extend(left);
                    hosts
                }
                None => self.place_endpoints(layout, &mut placing),
            };
            let cluster = self.build_cluster(placing, layout, hosts, random);
            clusters.insert(name.to_string(), Rc::new(cluster));
        }
        for cluster in clusters.values().filter(|cluster| cluster.learns()) {
            // What was learned stays, whether the configuration names it or not.
            let learned: HashSet<_> = cluster.known_hosts().collect();
            known.retain(|_, host| !learned.contains(host));
        }
        self.clusters = clusters;
        gone.extend(known.into_values());
        for key in &gone {
            if let Some(host) = self.hosts.get_mut(*key) {
                host.leave();
            }
        }
        gone
    }

    /// Endpoints that no cluster lists, or that have to be looked for: their cluster is none of those
    /// whose endpoints can be `followed`.
    fn strangers(&self, followed: &HashSet<&str>) -> Known {
        let mut last: Option<(&Arc<str>, bool)> = None;
        let mut is_followed = |cluster| match last {
            Some((name, is_followed)) if Arc::ptr_eq(name, cluster) => is_followed,
            _ => last.insert((cluster, followed.contains(&**cluster))).1,
        };
        let hosts = self.hosts.iter();
        let strangers = hosts.filter(|(_, host)| !host.listed || !is_followed(&host.cluster));
        strangers
            .map(|(key, host)| ((Arc::clone(&host.cluster), host.address.clone()), key))
            .collect()
    }

    fn build_cluster(
        &mut self,
        mut placing: Placing<'_>,
        layout: &Arc<Layout>,
        hosts: Vec<HostKey>,
        random: u64,
    ) -> Cluster {
        let seeds = self.place_seeds(&mut placing, &hosts);
        let Placing {
            cluster: (name, config),
            metrics,
            usage,
            dial,
            lacks_some,
            ..
        } = placing;
        let before = self.clusters.get(&**name);
        let lacks_some = lacks_some || before.is_none_or(|cluster| cluster.lacks_some.get());
        let before = before.and_then(|cluster| cluster.budget.as_ref());
        let cluster = Cluster {
            division: self.division(name, config, layout, &hosts),
            name: Arc::clone(name),
            hosts,
            seeds,
            limits: Limits::of(config.limits, &usage, metrics),
            budget: Some(Budget::new(config, &usage, metrics.clone(), before)),
            most_unknown: usize::try_from(config.max_unknown_nodes).unwrap_or(usize::MAX),
            balancer: Some(RefCell::new(layout.balancer(random))),
            layout: Arc::downgrade(layout),
            lacks_some: Cell::new(false),
            by_address: ByAddress::default(),
            dialled: OnceCell::new(),
            dial,
            warming: Warming::of(config),
        };
        if lacks_some {
            cluster.apply_ejections(&self.hosts);
        }
        cluster
    }

    /// Each endpoint where it was, as far as it was there, and those that are left.
    fn follow_endpoints(
        &mut self,
        (layout, origin): (&Layout, &Origin),
        before: &Cluster,
        placing: &mut Placing<'_>,
    ) -> (Vec<HostKey>, Vec<HostKey>) {
        let mut left = before.hosts.clone();
        let mut hosts = Vec::with_capacity(origin.places.len());
        for ((address, locality), was) in layout.endpoints().zip(&origin.places) {
            let found = was.and_then(|was| Some((was, left.get_mut(was.place)?)));
            let Some((was, place)) = found else {
                hosts.push(self.place_host((address, locality), true, placing));
                continue;
            };
            let key = std::mem::take(place);
            if (was.moved || !origin.same_rules)
                && let Some(host) = self.hosts.get_mut(key)
            {
                host.locality = Arc::clone(locality);
                host.obey(placing.cluster.1);
            }
            hosts.push(key);
        }
        left.retain(|key| !key.is_null());
        (hosts, left)
    }

    fn place_endpoints(&mut self, layout: &Layout, placing: &mut Placing<'_>) -> Vec<HostKey> {
        let endpoints = layout.endpoints();
        endpoints
            .map(|endpoint| self.place_host(endpoint, true, placing))
            .collect()
    }

    /// Seeds may be endpoints that the configuration lists too.
    fn place_seeds(&mut self, placing: &mut Placing<'_>, hosts: &[HostKey]) -> Vec<HostKey> {
        let (_, config) = placing.cluster;
        let listed = &config.endpoints.hosts;
        let seeds = config.topology.iter().flat_map(|topology| &topology.seeds);
        let locality = Arc::default();
        seeds
            .map(|seed| {
                let index = listed.iter().position(|listed| listed.address == *seed);
                index
                    .and_then(|index| hosts.get(index).copied())
                    .unwrap_or_else(|| self.place_host((seed, &locality), false, placing))
            })
            .collect()
    }

    /// The endpoint at this address, which may be an old acquaintance.
    fn place_host(
        &mut self,
        (address, locality): (&Address, &Arc<Locality>),
        listed: bool,
        placing: &mut Placing<'_>,
    ) -> HostKey {
        let (name, config) = placing.cluster;
        let known = match placing.known.is_empty() {
            true => None,
            false => placing.known.remove(&(Arc::clone(name), address.clone())),
        };
        let Some((key, host)) = known.and_then(|key| Some((key, self.hosts.get_mut(key)?))) else {
            let usage = Arc::clone(&placing.usage);
            let (address, locality) = (address.clone(), Arc::clone(locality));
            let mut host = Host::new(name, address, locality, placing.metrics, usage);
            host.dial = placing.dial.clone();
            host.listed = listed;
            host.obey(config);
            return self.hosts.insert(host);
        };
        placing.lacks_some |= host.ejected;
        host.locality = Arc::clone(locality);
        host.dial = placing.dial.clone();
        (host.configured, host.listed) = (true, listed);
        host.obey(config);
        key
    }

    pub(in crate::engine) fn set_ejected(&mut self, name: &str, ejected: &[Address]) {
        let Some(cluster) = self.clusters.get(name) else {
            return;
        };
        let ejected: HashSet<&Address> = ejected.iter().collect();
        let mut is_other = false;
        for key in &cluster.hosts {
            if let Some(host) = self.hosts.get_mut(*key) {
                let before = std::mem::replace(&mut host.ejected, ejected.contains(&host.address));
                is_other |= host.ejected != before;
            }
        }
        if is_other {
            cluster.apply_ejections(&self.hosts);
        }
    }

    /// Gives new endpoints of all clusters the part of their weight that is due now. Returns how long
    /// that is right; `None`: until something else changes.
    pub(in crate::engine) fn warm_up(&mut self, now: Instant) -> Option<Duration> {
        let hosts = &mut self.hosts;
        let warming = self.clusters.values().filter_map(|cluster| {
            let is_warming = cluster.warm_up(hosts, now);
            let warming = cluster.warming.as_ref().filter(|_| is_warming)?;
            Some(warming.step())
        });
        warming.min()
    }

    /// Forgets an endpoint that is withdrawn and has no connection left.
    pub(in crate::engine) fn drop_host_if_unused(&mut self, key: HostKey) {
        let unused = self.hosts.get(key).is_some_and(|host| {
            !host.configured && host.connections.is_empty() && host.active == 0
        });
        if unused {
            self.hosts.remove(key);
        }
    }
}
