//! A request that is passed on, and its answer, take no allocation in steady state: the engine with the
//! real codecs, in memory. A program of one thread, without the test harness: the count is the process's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::System;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meltemi_codec::Protocol;
use meltemi_core::config::{
    Address, Bind, Cluster, Endpoint, Endpoints, Health, LbPolicy, Listener, Mode, Route,
    RouteConfig, Service, Setting, Snapshot,
};
use meltemi_core::engine::{Action, ConnectionId, Engine, Settings};
use meltemi_core::protocols::Protocols;
use meltemi_core::telemetry::Telemetry;
use meltemi_policy::Locality;
use meltemi_policy::route::{AttributeMatch, Condition};
use meltemi_tests::dubbo::wire::Frame;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[path = "../../protocols/thrift/tests/support/messages.rs"]
#[allow(dead_code, unreachable_pub, reason = "tests use more of it")]
mod messages;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LISTENER: &str = "default/edge/echo";
const CLUSTER: &str = "outbound|7000||echo.default";
const SERVICE: &str = "default/echo";
/// Turns that are counted, after as many that are not.
const TURNS: usize = 1_000;
/// What one turn brings.
const DEPTHS: [usize; 2] = [1, 16];

/// A request and its answer; ids that the engine gives are put into answers at these bytes.
struct Call {
    what: String,
    request: Vec<u8>,
    answer: Vec<u8>,
    id_at: Option<std::ops::Range<usize>>,
}

impl Call {
    fn new(
        what: impl Into<String>,
        request: impl Into<Vec<u8>>,
        answer: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            what: what.into(),
            request: request.into(),
            answer: answer.into(),
            id_at: None,
        }
    }

    /// So many requests, each with an id of its own where there are any.
    fn burst(&self, depth: usize) -> Vec<u8> {
        let mut burst = self.request.repeat(depth);
        for (number, request) in burst.chunks_exact_mut(self.request.len()).enumerate() {
            if let Some(id) = self.id_at.clone() {
                request[id].copy_from_slice(&(number as u64).to_be_bytes());
            }
        }
        burst
    }
}

fn main() {
    let before = ALLOCATOR.stats().allocations;
    drop(Box::new([0_u8; 16]));
    assert!(
        ALLOCATOR.stats().allocations > before,
        "allocations are counted"
    );

    for call in dubbo() {
        check("dubbo", &[], Some(("method", "sayHello")), &call);
    }
    for call in thrift() {
        check("thrift", &[], Some(("method", "m")), &call);
        if call.what.starts_with("framed binary") {
            let pipeline = [("sharing", "pipeline"), ("depth", "1024")];
            check("thrift", &pipeline, Some(("method", "m")), &call);
        }
    }
    for call in redis() {
        check("redis", &[], None, &call);
    }
}

fn dubbo() -> Vec<Call> {
    let request = Frame::request(7, "org.example.Greeter", "sayHello", "an argument");
    vec![Call {
        id_at: Some(4..12),
        ..Call::new("hessian2", request.bytes(), request.echo().bytes())
    }]
}

fn thrift() -> Vec<Call> {
    let calls = messages::ALL.iter().map(|speech| {
        let answer = speech.message(messages::REPLY, "m", 7, &speech.text(0, "a result"));
        let what = format!("{} {}", speech.transport, speech.protocol);
        Call::new(what, speech.call("m", 7), answer)
    });
    calls.collect()
}

fn redis() -> Vec<Call> {
    [
        ("GET k", "$5\r\nvalue\r\n"),
        ("SET k v", "+OK\r\n"),
        ("INCR k", ":7\r\n"),
        ("HGETALL h", "*2\r\n+f\r\n+v\r\n"),
        ("GET gone", "$-1\r\n"),
    ]
    .map(|(line, answer)| {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut request = Vec::new();
        meltemi_redis::resp::write::command(&words, &mut request);
        Call::new(line, request, answer)
    })
    .into()
}

fn check(protocol: &str, settings: &[(&str, &str)], route: Option<(&str, &str)>, call: &Call) {
    for depth in DEPTHS {
        let mut pair = Pair::new(&snapshot(protocol, settings, route));
        let burst = call.burst(depth);
        for _ in 0..TURNS {
            pair.turn(&burst, call, depth);
        }
        let answered = pair.answered;
        let before = ALLOCATOR.stats();
        for _ in 0..TURNS {
            pair.turn(&burst, call, depth);
        }
        let taken = ALLOCATOR.stats() - before;
        let what = format!("{protocol} {settings:?}, {}, {depth} at once", call.what);
        let bytes = TURNS * depth * call.answer.len();
        assert_eq!(pair.answered - answered, bytes, "{what}: bytes of answers");
        let (new, grown) = (taken.allocations, taken.reallocations);
        assert_eq!((new, grown), (0, 0), "{what}: allocations of {TURNS} turns");
    }
}

/// A client and an endpoint with the engine between them.
struct Pair {
    engine: Engine,
    now: Instant,
    client: ConnectionId,
    server: Option<ConnectionId>,
    /// What the endpoint was sent and has not answered.
    asked: Vec<u8>,
    answers: Vec<u8>,
    /// Bytes that the client was sent.
    answered: usize,
}

impl Pair {
    fn new(snapshot: &Snapshot) -> Self {
        let now = Instant::now();
        let protocols = Protocols::new([
            Arc::new(meltemi_dubbo::protocol()) as Arc<dyn Protocol>,
            Arc::new(meltemi_thrift::protocol()),
            Arc::new(meltemi_redis::protocol()),
        ]);
        let worker = Telemetry::new().worker();
        let mut engine = Engine::new(Settings::default(), Arc::new(protocols), worker, 7, now);
        engine.configure(snapshot, now);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let client = engine.accept(LISTENER, Some(peer), now).unwrap();
        Self {
            engine,
            now,
            client,
            server: None,
            asked: Vec::with_capacity(64 * 1024),
            answers: Vec::with_capacity(64 * 1024),
            answered: 0,
        }
    }

    /// The client asks so many times at once, and the endpoint answers at once.
    fn turn(&mut self, burst: &[u8], call: &Call, depth: usize) {
        self.engine.received(self.client, burst, self.now);
        self.settle();
        self.now += Duration::from_micros(20);
        self.answers.clear();
        assert_eq!(self.asked.len(), burst.len(), "{}: requests", call.what);
        for request in self.asked.chunks_exact(burst.len() / depth) {
            let start = self.answers.len();
            self.answers.extend_from_slice(&call.answer);
            if let Some(id) = call.id_at.clone() {
                let answer = self.answers.get_mut(start..).unwrap();
                answer[id.clone()].copy_from_slice(&request[id]);
            }
        }
        self.asked.clear();
        let server = self.server.expect("a connection to the endpoint");
        self.engine.received(server, &self.answers, self.now);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Connect { id, .. } => {
                    self.server = Some(id);
                    self.engine.connected(id, self.now);
                }
                Action::Flush(id) => {
                    let unsent = self.engine.unsent(id);
                    let sent = unsent.len();
                    match id == self.client {
                        true => self.answered += sent,
                        false => self.asked.extend_from_slice(unsent),
                    }
                    self.engine.sent(id, sent, self.now);
                }
                Action::Close(id) | Action::Reset(id) => panic!("{id:?} was closed"),
                Action::Shutdown(_) | Action::Rename { .. } => unreachable!("it has a protocol"),
                Action::Resume(_) | Action::Report(_) | Action::Ask(_) => {}
            }
        }
    }
}

/// One service with one endpoint; with a route, the requests that match its attribute go there.
fn snapshot(protocol: &str, settings: &[(&str, &str)], route: Option<(&str, &str)>) -> Snapshot {
    let setting = |(name, value): &(&str, &str)| Setting {
        name: (*name).into(),
        value: (*value).into(),
        secret: None,
    };
    let service = Service {
        settings: settings.iter().map(setting).collect(),
        ..Service::new(SERVICE, protocol, "echo")
    };
    let bind = Bind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = Listener::plain(LISTENER, bind, Mode::Service(SERVICE.into()));
    let matching = |(name, value): (&str, &str)| {
        vec![vec![AttributeMatch::new(name, Condition::one_of([value]))]]
    };
    let all = Route::new("all", CLUSTER);
    let routes = RouteConfig::new(
        "echo",
        vec![Arc::new(Route {
            matches: route.map_or(all.matches.clone(), matching),
            ..all
        })],
    );
    Snapshot {
        listeners: [(LISTENER.to_owned(), Arc::new(listener))].into(),
        services: [(SERVICE.to_owned(), Arc::new(service))].into(),
        routes: [("echo".to_owned(), Arc::new(routes))].into(),
        clusters: [(CLUSTER.to_owned(), Arc::new(cluster()))].into(),
        ..Snapshot::default()
    }
}

fn cluster() -> Cluster {
    let endpoint = Endpoint {
        address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 7_000))),
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
            hosts: vec![endpoint],
            ..Endpoints::default()
        }),
        ..Cluster::new(CLUSTER)
    }
}
