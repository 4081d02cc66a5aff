//! What is said of a request's worst case holds: whatever its endpoints do, it is sent no more often and
//! is over no later; and there are endpoints with which it comes to that.

#![allow(clippy::unwrap_used)] // Everything here is a test.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meltemi_codec::Protocol;
use meltemi_codec::kit::sample::InOrder;
use meltemi_core::config::{
    Address, Bind, Cluster, Endpoint, Endpoints, Health, LbPolicy, Listener, Mode, RetryBudget,
    RetryOn, RetryPolicy, Route, RouteConfig, RouteFault, Service, Share, Snapshot,
};
use meltemi_core::engine::{Action, ConnectionId, Engine, Settings};
use meltemi_core::protocols::Protocols;
use meltemi_core::telemetry::Telemetry;
use meltemi_policy::Locality;
use meltemi_policy::retry::Bounds;
use proptest::prelude::*;

const LISTENER: &str = "default/edge/cache";
const CLUSTER: &str = "outbound|7000||cache.default";
/// A timer fires no later than this after it is due.
const TICK: Duration = Duration::from_millis(9);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What becomes of a connection to an endpoint, so long after it is dialled or a request has arrived.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Silent,
    Refused(u64),
    Reset(u64),
    Broken(u64),
    Busy(u64),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Silent),
        1 => (0u64..400).prop_map(Fate::Refused),
        1 => (0u64..400).prop_map(Fate::Reset),
        1 => (0u64..400).prop_map(Fate::Broken),
        1 => (0u64..400).prop_map(Fate::Busy),
    ]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    let time = |most: u64| prop::option::of((10..most).prop_map(ms));
    let times = (time(300), time(300), time(200), time(1500));
    (0u32..5, 1u64..60, times).prop_map(|(attempts, backoff, (each, hedge, kept, timeout))| {
        Bounds {
            attempts,
            per_try_timeout: each.filter(|_| attempts > 0),
            backoff: ms(backoff),
            hedge,
            kept: kept.unwrap_or_default(),
            timeout,
        }
    })
}

fn route(bounds: &Bounds) -> Route {
    let retry = (bounds.attempts > 0).then(|| RetryPolicy {
        attempts: bounds.attempts,
        per_try_timeout: bounds.per_try_timeout,
        on: vec![
            RetryOn::ConnectFailure,
            RetryOn::ResetBeforeBytes,
            RetryOn::SystemError,
            RetryOn::Overloaded,
            RetryOn::Timeout,
        ],
        backoff: bounds.backoff,
        non_idempotent: false,
    });
    let is_kept = !bounds.kept.is_zero();
    Route {
        retry,
        timeout: bounds.timeout,
        hedge: bounds.hedge,
        idempotent: true,
        fault: is_kept.then_some(RouteFault {
            delay: Some((Share::ALL, bounds.kept)),
            abort: None,
        }),
        ..Route::new("all", CLUSTER)
    }
}

fn cluster() -> Cluster {
    let hosts = (7000..7005).map(|port| Endpoint {
        address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        hostname: String::new(),
        weight: 1,
        locality: Locality::default(),
        health: Health::Healthy,
        priority: 0,
        labels: [].into(),
    });
    Cluster {
        lb: LbPolicy::RoundRobin,
        retry_budget: RetryBudget {
            min_concurrency: 100,
            ..RetryBudget::default()
        },
        endpoints: Arc::new(Endpoints {
            hosts: hosts.collect(),
            ..Endpoints::default()
        }),
        ..Cluster::new(CLUSTER)
    }
}

fn snapshot(route: Route) -> Snapshot {
    let bind = Bind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = Listener::plain(LISTENER, bind, Mode::Service("default/cache".into()));
    let service = Service::new("default/cache", "sample-in-order", "cache");
    let routes = RouteConfig::new("cache", vec![Arc::new(route)]);
    Snapshot {
        listeners: [(LISTENER.to_owned(), Arc::new(listener))].into(),
        services: [(service.name.clone(), Arc::new(service))].into(),
        routes: [("cache".to_owned(), Arc::new(routes))].into(),
        clusters: [(CLUSTER.to_owned(), Arc::new(cluster()))].into(),
        ..Snapshot::default()
    }
}

/// One request, and endpoints to which this happens in turn; then they are silent.
struct Trial {
    engine: Engine,
    client: ConnectionId,
    start: Instant,
    now: Instant,
    fates: Vec<Fate>,
    /// Connections, and what is going to become of them.
    fated: Vec<(ConnectionId, Fate)>,
    coming: Vec<(Instant, ConnectionId, Fate)>,
    sendings: u32,
    answered: bool,
}

impl Trial {
    fn new(bounds: &Bounds, mut fates: Vec<Fate>, seed: u64) -> Self {
        let start = Instant::now();
        let protocols = Protocols::new([Arc::new(InOrder) as Arc<dyn Protocol>]);
        let worker = Telemetry::new().worker();
        let settings = Settings::default();
        let mut engine = Engine::new(settings, Arc::new(protocols), worker, seed, start);
        engine.configure(&snapshot(route(bounds)), start);
        let client = engine.accept(LISTENER, None, start).unwrap();
        fates.reverse();
        Self {
            engine,
            client,
            start,
            now: start,
            fates,
            fated: vec![],
            coming: vec![],
            sendings: 0,
            answered: false,
        }
    }

    /// How often it was sent and when it was over, if it was within this time.
    fn run(mut self, patience: Duration) -> (u32, Option<Duration>) {
        self.engine.received(self.client, b"GET key\n", self.now);
        self.settle();
        while !self.answered {
            self.coming.sort_by_key(|(due, ..)| std::cmp::Reverse(*due));
            let event = self.coming.last().map(|(due, ..)| *due);
            let due = [self.engine.deadline(), event].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= self.start + patience) else {
                break;
            };
            self.now = self.now.max(due);
            match event.filter(|event| *event <= self.now) {
                Some(_) => self.happens(),
                None => self.engine.tick(self.now),
            }
            self.settle();
        }
        (self.sendings, self.answered.then(|| self.now - self.start))
    }

    fn happens(&mut self) {
        let Some((_, id, fate)) = self.coming.pop() else {
            return;
        };
        match fate {
            Fate::Silent => {}
            Fate::Refused(_) => self.engine.connect_failed(id, self.now),
            Fate::Reset(_) => self.engine.failed(id, self.now),
            Fate::Broken(_) => self.engine.received(id, b"!7 broken\n", self.now),
            Fate::Busy(_) => self.engine.received(id, b"?7 busy\n", self.now),
        }
    }

    fn settle(&mut self) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Connect { id, .. } => {
                    let fate = self.fates.pop().unwrap_or(Fate::Silent);
                    match fate {
                        Fate::Refused(after) => self.coming.push((self.now + ms(after), id, fate)),
                        _ => self.engine.connected(id, self.now),
                    }
                    self.fated.push((id, fate));
                }
                Action::Flush(id) => self.flush(id),
                Action::Close(id) => self.coming.retain(|(_, of, _)| *of != id),
                Action::Resume(_) | Action::Report(_) | Action::Ask(_) => {}
                Action::Reset(_) | Action::Shutdown(_) | Action::Rename { .. } => {}
            }
        }
    }

    fn flush(&mut self, id: ConnectionId) {
        let unsent = self.engine.unsent(id).len();
        if id == self.client {
            self.answered |= unsent > 0;
        } else if let Some((_, fate)) = self.fated.iter().find(|(of, _)| *of == id)
            && unsent > 0
        {
            if matches!(fate, Fate::Refused(_)) {
                return;
            }
            self.sendings += 1;
            let after = match *fate {
                Fate::Reset(after) | Fate::Broken(after) | Fate::Busy(after) => after,
                Fate::Silent | Fate::Refused(_) => return self.engine.sent(id, unsent, self.now),
            };
            self.coming.push((self.now + ms(after), id, *fate));
        }
        self.engine.sent(id, unsent, self.now);
    }
}

/// Every timer of a request may be late: those of its tries and pauses, of the hedge, of what it was
/// kept for.
fn lateness(bounds: &Bounds) -> Duration {
    TICK * (2 * bounds.tries() + 2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_request_is_sent_more_often_or_over_later(
        bounds in bounds(),
        fates in prop::collection::vec(fate(), 0..20),
        seed in any::<u64>(),
    ) {
        let (sendings, over) = Trial::new(&bounds, fates, seed).run(Duration::from_secs(60));
        prop_assert!(sendings <= bounds.sendings(), "{sendings} of {}", bounds.sendings());
        if let Some(longest) = bounds.longest() {
            let over = over.expect("it is over some time");
            prop_assert!(over <= longest + lateness(&bounds), "{over:?} of {longest:?}");
        }
    }

    /// Where all endpoints are silent it comes to the worst, but for what is drawn of the pauses.
    #[test]
    fn silent_endpoints_are_the_worst_case(bounds in bounds(), seed in any::<u64>()) {
        let bounds = Bounds { timeout: None, ..bounds };
        // At nearly the same moment either may come first.
        let near = |one: Duration, other: Duration| one.abs_diff(other) < TICK;
        let pair = bounds.hedge.zip(bounds.per_try_timeout);
        prop_assume!(!pair.is_some_and(|(hedge, each)| near(hedge, each)));
        let (sendings, over) = Trial::new(&bounds, vec![], seed).run(Duration::from_secs(60));
        if let Some(longest) = bounds.longest() {
            prop_assert_eq!(sendings, bounds.sendings());
            let over = over.expect("it is over some time");
            prop_assert!(over >= longest - bounds.pauses(), "{over:?} of {longest:?}");
        }
    }
}
