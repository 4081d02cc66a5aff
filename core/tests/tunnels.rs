//! Tunnels through an engine, whatever happens to their two ends, to endpoints and to the configuration:
//! what passes is what was sent, in its order, and nothing is left of them in the end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // Everything here is a test.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meltemi_core::circuit::Circuits;
use meltemi_core::config::{
    Address, Bind, Cluster, Endpoint, Endpoints, Health, Listener, Mode, Service, Snapshot,
};
use meltemi_core::engine::{Action, ConnectionId, Engine, Settings};
use meltemi_core::protocols::Protocols;
use meltemi_core::telemetry::Telemetry;
use meltemi_policy::Locality;
use proptest::prelude::*;

const LISTENER: &str = "default/edge/tcp";
const SERVICE: &str = "default/tcp";
const CLUSTER: &str = "outbound|7000||tcp.default";
/// What one read brings at most.
const READ: usize = 50;

/// Places in a pair.
const CLIENT: usize = 0;
const ENDPOINT: usize = 1;

/// What happens next; of connections, to the one whose number it is, as far as there is one.
#[derive(Clone, Copy, Debug)]
enum Event {
    Accept,
    /// What was asked for last of it is there, or cannot be.
    Connects(usize, bool),
    Sends(usize, usize, usize),
    Takes(usize, usize, usize),
    Ends(usize, usize),
    Breaks(usize, usize),
    /// These endpoints, by bits, are there from now on.
    Configure(u8),
    Passes(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let (pair, side) = (0_usize..6, 0_usize..2);
    let event = prop_oneof![
        3 => Just(Event::Accept),
        4 => (pair.clone(), prop::bool::weighted(0.7)).prop_map(|(n, ok)| Event::Connects(n, ok)),
        8 => (pair.clone(), side.clone(), 1..READ).prop_map(|(n, s, b)| Event::Sends(n, s, b)),
        8 => (pair.clone(), side.clone(), 1..READ).prop_map(|(n, s, b)| Event::Takes(n, s, b)),
        2 => (pair.clone(), side.clone()).prop_map(|(n, s)| Event::Ends(n, s)),
        1 => (pair, side).prop_map(|(n, s)| Event::Breaks(n, s)),
        1 => (0_u8..16).prop_map(Event::Configure),
        1 => (0_u64..4_000_000).prop_map(Event::Passes),
    ];
    prop::collection::vec(event, 0..120)
}

/// One of the two connections of a tunnel, from outside.
#[derive(Debug, Default)]
struct End {
    id: Option<ConnectionId>,
    is_there: bool,
    sent: Vec<u8>,
    got: Vec<u8>,
    has_ended: bool,
    /// It was told that there is no more.
    was_told: bool,
}

struct World {
    engine: Engine,
    telemetry: Telemetry,
    circuits: Arc<Circuits>,
    now: Instant,
    pairs: Vec<[End; 2]>,
    names: HashMap<ConnectionId, (usize, usize)>,
    /// Of which actions are looked at.
    current: usize,
    resets: usize,
}

fn snapshot(endpoints: u8) -> Snapshot {
    let there = (0..4_u16).filter(|n| endpoints & (1 << n) != 0);
    let hosts = there.map(|n| Endpoint {
        address: Address::Tcp((Ipv4Addr::LOCALHOST, 7000 + n).into()),
        hostname: String::new(),
        weight: 1,
        locality: Locality::default(),
        health: Health::Healthy,
        priority: 0,
        labels: [].into(),
    });
    let mut cluster = Cluster {
        endpoints: Arc::new(Endpoints {
            hosts: hosts.collect(),
            ..Endpoints::default()
        }),
        ..Cluster::new(CLUSTER)
    };
    cluster.limits.connections = Some(3);
    let bind = Bind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = Listener::plain(LISTENER, bind, Mode::Service(SERVICE.into()));
    Snapshot {
        listeners: [(LISTENER.to_owned(), listener.into())].into(),
        services: [(SERVICE.to_owned(), Service::tcp(SERVICE, CLUSTER).into())].into(),
        clusters: [(CLUSTER.to_owned(), cluster.into())].into(),
        version: endpoints.to_string(),
        ..Snapshot::default()
    }
}

impl World {
    fn new() -> Self {
        let (now, telemetry) = (Instant::now(), Telemetry::new());
        let circuits = Arc::<Circuits>::default();
        let protocols = Arc::new(Protocols::new([]));
        let engine = Engine::new(Settings::default(), protocols, telemetry.worker(), 7, now);
        let mut engine = engine.with_circuits(Arc::clone(&circuits));
        engine.configure(&snapshot(0b1111), now);
        Self {
            engine,
            telemetry,
            circuits,
            now,
            pairs: Vec::new(),
            names: HashMap::new(),
            current: 0,
            resets: 0,
        }
    }

    fn end(&mut self, pair: usize, side: usize) -> Option<(&mut End, ConnectionId)> {
        self.current = pair;
        let end = self.pairs.get_mut(pair)?.get_mut(side)?;
        let id = end.id?;
        Some((end, id))
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Accept => self.accept(),
            Event::Connects(pair, succeeds) => self.connects(pair, succeeds),
            Event::Sends(pair, side, n) => self.sends(pair, side, n),
            Event::Takes(pair, side, n) => self.takes(pair, side, n),
            Event::Ends(pair, side) => self.ends(pair, side),
            Event::Breaks(pair, side) => self.breaks(pair, side),
            Event::Configure(endpoints) => self.engine.configure(&snapshot(endpoints), self.now),
            Event::Passes(millis) => {
                self.now += Duration::from_millis(millis);
                self.engine.tick(self.now);
            }
        }
        self.settle();
    }

    fn accept(&mut self) {
        self.current = self.pairs.len();
        let peer = "192.0.2.7:40000".parse().ok();
        let Some(id) = self.engine.accept(LISTENER, peer, self.now) else {
            return;
        };
        self.names.insert(id, (self.current, CLIENT));
        let client = End {
            id: Some(id),
            is_there: true,
            ..End::default()
        };
        self.pairs.push([client, End::default()]);
        self.engine.connected(id, self.now);
    }

    fn connects(&mut self, pair: usize, succeeds: bool) {
        let Some((end, id)) = self.end(pair, ENDPOINT).filter(|(end, _)| !end.is_there) else {
            return;
        };
        end.is_there = succeeds;
        if succeeds {
            return self.engine.connected(id, self.now);
        }
        end.id = None;
        self.names.remove(&id);
        self.engine.connect_failed(id, self.now);
    }

    fn sends(&mut self, pair: usize, side: usize, n: usize) {
        let Some((_, id)) = self.end(pair, side).filter(|(end, _)| end.is_there) else {
            return;
        };
        if !self.engine.wants_read(id) {
            return;
        }
        let end = &mut self.pairs[pair][side];
        assert!(!end.has_ended, "read beyond its end");
        let first = end.sent.len();
        let bytes: Vec<u8> = (first..first + n).map(|n| (n % 251) as u8).collect();
        end.sent.extend(&bytes);
        // As the driver does: what the other one takes at once goes there from where it was read.
        let Some(relay) = self.engine.relay(id) else {
            return self.engine.received(id, &bytes, self.now);
        };
        let (to, place) = self.names[&relay.to];
        let gone = n / 2;
        self.pairs[to][place].got.extend(&bytes[..gone]);
        self.engine.relayed(id, &bytes, gone, self.now);
    }

    fn takes(&mut self, pair: usize, side: usize, n: usize) {
        let Some((_, id)) = self.end(pair, side) else {
            return;
        };
        let unsent = self.engine.unsent(id);
        assert!(unsent.len() < READ, "more than one read waits");
        let taken = unsent[..n.min(unsent.len())].to_vec();
        if !taken.is_empty() {
            let end = &mut self.pairs[pair][side];
            assert!(!end.was_told, "bytes come behind the end");
            end.got.extend(&taken);
            self.engine.sent(id, taken.len(), self.now);
        }
    }

    fn ends(&mut self, pair: usize, side: usize) {
        let now = self.now;
        if let Some((end, id)) = self.end(pair, side)
            && end.is_there
            && !std::mem::replace(&mut end.has_ended, true)
        {
            self.engine.end_of_file(id, now);
        }
    }

    fn breaks(&mut self, pair: usize, side: usize) {
        let found = self.end(pair, side).filter(|(end, _)| end.is_there);
        if let Some(id) = found.map(|(_, id)| id) {
            self.engine.failed(id, self.now);
        }
    }

    fn settle(&mut self) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Connect { id, .. } => {
                    let pair = self.current;
                    self.names.insert(id, (pair, ENDPOINT));
                    self.pairs[pair][ENDPOINT].id = Some(id);
                }
                Action::Shutdown(id) => self.told(id),
                Action::Close(id) => self.gone(id),
                Action::Reset(id) => {
                    self.resets += 1;
                    self.gone(id);
                }
                Action::Flush(_) | Action::Resume(_) | Action::Report(_) => {}
                Action::Ask(_) | Action::Rename { .. } => panic!("{action:?}"),
            }
        }
    }

    fn told(&mut self, id: ConnectionId) {
        let (pair, side) = self.names[&id];
        let other = &self.pairs[pair][1 - side];
        assert!(other.has_ended);
        assert_eq!(self.pairs[pair][side].got, other.sent, "an end comes last");
        let before = std::mem::replace(&mut self.pairs[pair][side].was_told, true);
        assert!(!before, "an end is told once");
    }

    fn gone(&mut self, id: ConnectionId) {
        let (pair, side) = self.names.remove(&id).expect("closed once");
        self.pairs[pair][side].id = None;
    }

    fn value(&self, metric: &str) -> f64 {
        let page = self.telemetry.render();
        let lines = page.lines().filter(|line| line.starts_with(metric));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    fn nothing_is_left(&mut self) {
        self.engine.drain(self.now);
        self.settle();
        self.engine.drain_is_over(self.now);
        self.settle();
        assert!(self.engine.is_idle() && self.names.is_empty());
        let status = self.engine.status();
        assert_eq!(status.tunnels, 0);
        for host in &status.hosts {
            assert_eq!((host.active, host.tunnels), (0, 0), "{}", host.address);
        }
        assert_eq!(self.circuits.cluster(CLUSTER).connections.in_use(), 0);
        let opened = self.value("meltemi_tcp_connections_opened_total{");
        assert_eq!(opened, self.pairs.len() as f64);
        assert_eq!(self.value("meltemi_tcp_connections_closed_total{"), opened);
        for open in [
            "meltemi_tcp_connections{",
            "meltemi_downstream_connections{",
            "meltemi_upstream_connections{",
            "meltemi_upstream_attempts_in_flight{",
        ] {
            assert_eq!(self.value(open), 0.0, "{open}");
        }
        let all = |side: usize| self.pairs.iter().map(move |pair| &pair[side]);
        let came: usize = all(CLIENT).map(|end| end.sent.len()).sum();
        assert_eq!(self.value("meltemi_tcp_received_bytes_total{"), came as f64);
        let took: usize = all(CLIENT).map(|end| end.got.len()).sum();
        assert_eq!(self.value("meltemi_tcp_sent_bytes_total{"), took as f64);
    }
}

proptest! {
    #[test]
    fn whatever_happens_what_passes_is_what_was_sent_and_nothing_is_left(events in events()) {
        let mut world = World::new();
        for event in events {
            world.happens(event);
            for [client, endpoint] in &world.pairs {
                prop_assert!(client.sent.starts_with(&endpoint.got));
                prop_assert!(endpoint.sent.starts_with(&client.got));
            }
            prop_assert!(world.circuits.cluster(CLUSTER).connections.in_use() <= 3);
        }
        world.nothing_is_left();
    }
}
