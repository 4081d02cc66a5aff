//! Clusters whose servers tell which endpoints there are, and which of them has what.

use std::{cell::RefCell, collections::HashSet, net::IpAddr, rc::Rc, sync::Arc, time::Instant};

use meltemi_codec::{Node, Probe, Topology};

use super::{
    Engine, Timer, TopologyKey,
    shards::{Division, Hashed, Shards},
    tables::{Cluster, Destination, Host, HostKey, Tables},
    timers::TimerKey,
};
use crate::balance::Layout;
use crate::config::{self, Address, Dialled};

/// What asks the servers of one cluster.
pub(super) struct Discovery {
    pub(super) machine: Box<dyn Topology>,
    pub(super) to: Rc<Destination>,
    asked: usize,
    last: Instant,
    asking: bool,
    timer: Option<TimerKey>,
}

impl Discovery {
    pub(super) fn new(machine: Box<dyn Topology>, to: Rc<Destination>, now: Instant) -> Self {
        Self {
            machine,
            to,
            asked: 0,
            last: now,
            asking: false,
            timer: None,
        }
    }
}

impl Engine {
    /// Does what the cluster's topology wants next.
    pub(super) fn poll_topology(&mut self, key: TopologyKey) {
        let now = self.now;
        let Some(discovery) = self.tables.topologies.get_mut(key).filter(|d| !d.asking) else {
            return;
        };
        if let Some(timer) = discovery.timer.take() {
            self.timers.cancel(timer);
        }
        match discovery
            .machine
            .poll(now.saturating_duration_since(discovery.last))
        {
            Probe::Wait(pause) => {
                discovery.timer = Some(self.timers.set(now + pause, Timer::Topology(key)));
            }
            Probe::Ask(own) => {
                discovery.asking = true;
                discovery.asked += 1;
                let (turn, to) = (discovery.asked, Rc::clone(&discovery.to));
                let aim = self.tables.informant(&to.cluster, turn);
                self.probe(key, (to, aim), &own);
            }
        }
    }

    /// A probe has its answer, or will have none.
    pub(super) fn probe_answered(
        &mut self,
        key: TopologyKey,
        asked: Option<HostKey>,
        answer: Option<&[u8]>,
    ) {
        let node = asked
            .and_then(|host| self.tables.hosts.get(host))
            .map(|host| node_of(&host.address));
        let Some(discovery) = self.tables.topologies.get_mut(key) else {
            return;
        };
        discovery.asking = false;
        discovery.last = self.now;
        let node = node.unwrap_or_else(|| node_of(&Address::Unix(std::path::PathBuf::new())));
        let event = discovery.machine.answered(&node, answer);
        let cluster = Rc::clone(&discovery.to.cluster);
        if let (Some(event), Some(from)) = (event, asked) {
            let tables = &mut self.tables;
            let shards = Shards::new(&event, |node| tables.member(&cluster, node, from));
            let gone = tables.set_shards(&cluster, shards);
            self.withdraw_hosts(&gone);
            self.hold_clients_of(&cluster);
        }
        self.poll_topology(key);
    }

    /// A server sent a request elsewhere: what is known of its slot is out of date.
    pub(super) fn topology_redirected(&mut self, cluster: &Cluster, slot: u32, to: &Node) {
        let Some(key) = cluster.topology() else {
            return;
        };
        if let Some(discovery) = self.tables.topologies.get_mut(key) {
            discovery.machine.redirected(slot, to);
            self.poll_topology(key);
        }
    }

    /// An endpoint did not serve what it should: its cluster may have changed.
    pub(super) fn suspect(&mut self, host: HostKey) {
        let Some(host) = self.tables.hosts.get(host) else {
            return;
        };
        let node = node_of(&host.address);
        if let Some(cluster) = self.tables.clusters.get(&*host.cluster).map(Rc::clone) {
            self.suspect_cluster(&cluster, Some(&node));
        }
    }

    /// The same, where it is not known of whom.
    pub(super) fn suspect_cluster(&mut self, cluster: &Cluster, node: Option<&Node>) {
        let Some(key) = cluster.topology() else {
            return;
        };
        if let Some(discovery) = self.tables.topologies.get_mut(key) {
            discovery.machine.suspect(node);
            self.poll_topology(key);
        }
    }
}

impl Tables {
    /// Who is asked next how the keys are divided: of all in turn, but not of those that fail.
    fn informant(&self, cluster: &Cluster, turn: usize) -> Option<HostKey> {
        let mut known = cluster.informants();
        let fails = |key: &HostKey| {
            self.hosts
                .get(*key)
                .is_none_or(|host| host.attention.is_failing())
        };
        if !known.iter().all(fails) {
            known.retain(|key| !fails(key));
        }
        known.get(turn % known.len().max(1)).copied()
    }

    /// The endpoint that a redirect of `from` names.
    pub(super) fn redirect_target(
        &mut self,
        cluster: &Cluster,
        node: &Node,
        from: HostKey,
    ) -> Option<HostKey> {
        let topology = cluster.topology().and_then(|key| self.topologies.get(key));
        let known = topology.and_then(|it| it.machine.known_as(node));
        let address = self.address(known.as_ref().unwrap_or(node), from)?;
        if let Some(host) = self.host_at(cluster, &address) {
            return Some(host);
        }
        let listed: HashSet<HostKey> = cluster.known_hosts().collect();
        let unknown = self
            .hosts
            .iter()
            .filter(|(key, host)| host.cluster == cluster.name && !listed.contains(key));
        if unknown.count() >= cluster.most_unknown {
            return None;
        }
        self.add_learned_host(cluster, address, from)
    }

    /// The endpoint of a node of the cluster, as `from` has named it.
    fn member(&mut self, cluster: &Cluster, node: &Node, from: HostKey) -> Option<HostKey> {
        let address = self.address(node, from)?;
        let known = self.host_at(cluster, &address);
        known.or_else(|| self.add_learned_host(cluster, address, from))
    }

    fn host_at(&self, cluster: &Cluster, address: &Address) -> Option<HostKey> {
        let mut hosts = self.hosts.iter();
        hosts
            .find(|(_, host)| host.cluster == cluster.name && host.address == *address)
            .map(|(key, _)| key)
    }

    /// Where a node is, as `from` calls it: without a host it is where `from` is.
    fn address(&self, node: &Node, from: HostKey) -> Option<Address> {
        let ip = if node.host.is_empty() {
            self.hosts.get(from)?.address.ip()?
        } else {
            let host = node.host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<IpAddr>().ok()?
        };
        Some(Address::Tcp((ip, node.port).into()))
    }

    /// An endpoint that only the servers know. What is not known of it is as for the one that
    /// named it.
    fn add_learned_host(
        &mut self,
        cluster: &Cluster,
        address: Address,
        from: HostKey,
    ) -> Option<HostKey> {
        let known = self.hosts.get(from)?;
        let usage = Arc::clone(&known.usage);
        let locality = Arc::default();
        let mut host = Host::new(&cluster.name, address, locality, &known.metrics, usage);
        host.dial = known.dial.clone();
        Some(self.hosts.insert(host))
    }

    /// Replaces what is known of a cluster. Returns the endpoints that are no longer in it.
    fn set_shards(&mut self, cluster: &Cluster, shards: Shards) -> Vec<HostKey> {
        let Division::Learned(learned) = &cluster.division else {
            return Vec::new();
        };
        *learned.map.borrow_mut() = Some(shards);
        let known: Vec<HostKey> = cluster.known_hosts().collect();
        let of_cluster = self.hosts.iter_mut();
        of_cluster
            .filter(|(_, host)| host.cluster == cluster.name)
            .filter_map(|(key, host)| {
                host.configured = known.contains(&key);
                (!host.configured).then_some(key)
            })
            .collect()
    }

    /// A cluster's division of its keys; what its servers have said of it stays.
    pub(super) fn division(
        &self,
        name: &str,
        config: &config::Cluster,
        layout: &Layout,
        hosts: &[HostKey],
    ) -> Division {
        if config.topology.is_none() {
            return match config.hashing {
                Some(kind) => Division::Hashed(Hashed {
                    kind,
                    hosts: hosts.to_vec(),
                    names: Arc::clone(layout.names()),
                    policies: config.hash_policy.clone(),
                    factor: config.hash_balance_factor,
                    tables: RefCell::new(Arc::clone(layout.tables())),
                    order: RefCell::default(),
                }),
                None => Division::None,
            };
        }
        match self.clusters.get(name).map(|cluster| &cluster.division) {
            Some(Division::Learned(learned)) => Division::Learned(Rc::clone(learned)),
            _ => Division::Learned(Rc::default()),
        }
    }

    /// Gives each cluster whose servers are to be asked somebody who asks, and forgets those whose
    /// cluster is gone.
    pub(super) fn update_topologies(&mut self, now: Instant) {
        let mut kept = Vec::new();
        let routed: Vec<Rc<Destination>> = self.destinations().collect();
        for to in routed {
            let Division::Learned(learned) = &to.cluster.division else {
                continue;
            };
            let known = learned.topology.get();
            if let Some(discovery) = known.and_then(|key| self.topologies.get_mut(key)) {
                discovery.to = Rc::clone(&to);
                kept.extend(known);
            } else if let Some(machine) = to.dialect.protocol.topology() {
                let discovery = Discovery::new(machine, Rc::clone(&to), now);
                let key = self.topologies.insert(discovery);
                learned.topology.set(Some(key));
                kept.push(key);
            } else {
                tracing::error!(cluster = %to.cluster.name, protocol = to.dialect.protocol.id(),
                    "this protocol's servers do not tell how they divide their keys");
            }
        }
        self.topologies.retain(|key, _| kept.contains(&key));
    }
}

fn node_of(address: &Address) -> Node {
    match address.dialled() {
        Dialled::Tcp(address) => Node {
            host: address.ip().to_string().into(),
            port: address.port(),
        },
        Dialled::Unix(_) => Node {
            host: Box::default(),
            port: 0,
        },
    }
}
