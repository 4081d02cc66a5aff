//! One client and one endpoint, or a few, of the sample protocol in order, with the engine between them, in
//! memory and in a time of its own.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meltemi_codec::Protocol;
use meltemi_codec::kit::sample::{ById, InOrder};
use meltemi_core::config::{
    Address, Bind, Cluster, Endpoint, Endpoints, Health, LbPolicy, Listener, Mode, Route,
    RouteConfig, Service, Snapshot,
};
use meltemi_core::engine::{Action, ConnectionId, Engine, Settings};
use meltemi_core::protocols::Protocols;
use meltemi_core::telemetry::Telemetry;
use meltemi_policy::Locality;

pub(crate) const SERVICE: &str = "default/cache";
pub(crate) const PEER: &str = "192.0.2.7:40000";
pub(crate) const ENDPOINT: &str = "127.0.0.1:7000";
const LISTENER: &str = "default/edge/cache";
const CLUSTER: &str = "outbound|7000||cache.default";

pub(crate) struct Pair {
    pub(crate) engine: Engine,
    pub(crate) telemetry: Telemetry,
    pub(crate) now: Instant,
    pub(crate) client: ConnectionId,
    server: Option<ConnectionId>,
    /// What the client was sent.
    pub(crate) answers: Vec<u8>,
    /// Whether it records what follows.
    pub(crate) records: bool,
    /// What each connection to the endpoint was sent.
    pub(crate) asked: Vec<(ConnectionId, Vec<u8>)>,
    pub(crate) closed: Vec<ConnectionId>,
    /// To which endpoints connections were begun.
    pub(crate) dialled: HashMap<ConnectionId, Address>,
    /// The endpoint that cannot be connected to.
    pub(crate) refuses: Option<Address>,
}

impl Pair {
    /// With a service that was changed so.
    pub(crate) fn new(change: impl FnOnce(&mut Service)) -> Self {
        Self::before(&[ENDPOINT], change)
    }

    /// With these endpoints.
    pub(crate) fn before(endpoints: &[&str], change: impl FnOnce(&mut Service)) -> Self {
        let now = Instant::now();
        let protocols = Protocols::new([Arc::new(ById) as Arc<dyn Protocol>, Arc::new(InOrder)]);
        let telemetry = Telemetry::new();
        let worker = telemetry.worker();
        let mut engine = Engine::new(Settings::default(), Arc::new(protocols), worker, 7, now);
        engine.configure(&snapshot(endpoints, change), now);
        let peer = PEER.parse().unwrap();
        let client = engine.accept(LISTENER, Some(peer), now).unwrap();
        Self {
            engine,
            telemetry,
            now,
            client,
            server: None,
            answers: Vec::new(),
            records: false,
            asked: Vec::new(),
            closed: Vec::new(),
            dialled: HashMap::new(),
            refuses: None,
        }
    }

    /// One whose answers nobody looks at.
    pub(crate) fn another_client(&mut self) -> ConnectionId {
        let peer = PEER.parse().unwrap();
        self.engine.accept(LISTENER, Some(peer), self.now).unwrap()
    }

    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Service)) {
        self.engine
            .configure(&snapshot(&[ENDPOINT], change), self.now);
        self.settle();
    }

    /// The client asks, and is answered after this time.
    pub(crate) fn call(&mut self, request: &[u8], took: Duration, answer: &[u8]) {
        self.ask(request);
        self.now += took;
        let server = self.server.expect("a connection to the endpoint");
        self.engine.received(server, answer, self.now);
        self.settle();
    }

    pub(crate) fn ask(&mut self, request: &[u8]) {
        self.engine.received(self.client, request, self.now);
        self.settle();
    }

    /// The endpoint says something on one of its connections.
    pub(crate) fn says(&mut self, server: ConnectionId, bytes: &[u8]) {
        self.engine.received(server, bytes, self.now);
        self.settle();
    }

    /// The connection to the endpoint that carried this request last.
    pub(crate) fn carrier(&self, request: &[u8]) -> ConnectionId {
        let mut asked = self.asked.iter().rev();
        let carried =
            |(_, bytes): &&(_, Vec<u8>)| bytes.windows(request.len()).any(|part| part == request);
        asked.find(carried).expect("the request was sent").0
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.engine.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.tick(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// Does what the engine asks for.
    pub(crate) fn settle(&mut self) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Connect { id, address, .. } => {
                    self.server = Some(id);
                    match self.refuses.as_ref() == Some(&address) {
                        true => self.engine.connect_failed(id, self.now),
                        false => self.engine.connected(id, self.now),
                    }
                    self.dialled.insert(id, address);
                }
                Action::Flush(id) => {
                    let unsent = self.engine.unsent(id);
                    if id == self.client {
                        self.answers.extend_from_slice(unsent);
                    } else if self.records {
                        self.asked.push((id, unsent.to_vec()));
                    }
                    let n = unsent.len();
                    self.engine.sent(id, n, self.now);
                }
                Action::Close(id) if self.records => self.closed.push(id),
                Action::Close(_) | Action::Resume(_) | Action::Report(_) | Action::Ask(_) => {}
                Action::Reset(_) | Action::Shutdown(_) | Action::Rename { .. } => {}
            }
        }
    }
}

fn snapshot(endpoints: &[&str], change: impl FnOnce(&mut Service)) -> Snapshot {
    let mut service = Service {
        application_protocol: "sample".into(),
        ..Service::new(SERVICE, "sample-in-order", "cache")
    };
    change(&mut service);
    let bind = Bind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = Listener::plain(LISTENER, bind, Mode::Service(SERVICE.into()));
    let route = Route::new("all", CLUSTER);
    let routes = RouteConfig::new("cache", vec![Arc::new(route)]);
    Snapshot {
        listeners: [(LISTENER.to_owned(), Arc::new(listener))].into(),
        services: [(SERVICE.to_owned(), Arc::new(service))].into(),
        routes: [("cache".to_owned(), Arc::new(routes))].into(),
        clusters: [(CLUSTER.to_owned(), Arc::new(cluster(endpoints)))].into(),
        ..Snapshot::default()
    }
}

fn cluster(endpoints: &[&str]) -> Cluster {
    let endpoint = |address: &&str| Endpoint {
        address: Address::Tcp(address.parse().unwrap()),
        hostname: String::new(),
        weight: 1,
        locality: Locality::default(),
        health: Health::Healthy,
        priority: 0,
        labels: [].into(),
    };
    Cluster {
        lb: LbPolicy::RoundRobin,
        connect_timeout: Duration::from_secs(1),
        endpoints: Arc::new(Endpoints {
            hosts: endpoints.iter().map(endpoint).collect(),
            ..Endpoints::default()
        }),
        ..Cluster::new(CLUSTER)
    }
}
