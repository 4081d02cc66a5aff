//! What the engine of a schedule is told: its configurations and its limits.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use meltemi_codec::Status;
use meltemi_core::{
    config::{
        AdaptiveConcurrency, Bind, CircuitBreaker, Cluster, DescriptorEntry, Endpoint, Endpoints,
        GlobalRateLimit, LbPolicy, Limits, Listener, Mode, RateLimit, RetryOn, RetryPolicy, Route,
        RouteConfig, RouteFault, Service, Share, Snapshot,
    },
    engine::Settings,
};
use meltemi_policy::{HashPolicy, Hashed, Hashing, TokenBucket};
use rand::{Rng, rngs::SmallRng};

use crate::{authorization::Access, wire::Dialect};

pub(crate) const LISTENER: &str = "default/gateway/server";
pub(crate) const CLUSTER: &str = "outbound|1||echo.default";
/// The attribute that few requests share.
const KEY: &str = "key";
/// Under which its route's requests count.
pub(crate) const ROUTE: &str = "all";

/// What a schedule's service does besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Operations are counted and slow requests told, so that no request goes the short ways.
    pub(crate) watched: bool,
    /// How often a request is sent again, whatever came of it.
    pub(crate) retries: u32,
    /// After which time another endpoint is asked, too.
    pub(crate) hedge: Option<Duration>,
    /// The bucket that all requests take from.
    pub(crate) limit: Option<TokenBucket>,
    /// Some requests are delayed, some are answered with an error.
    pub(crate) faults: bool,
    /// Of the cluster.
    pub(crate) limits: Limits,
    /// How many of its route's requests may be unanswered.
    pub(crate) of_route: Option<u32>,
    /// How long a client may be connected.
    pub(crate) longest: Option<Duration>,
    /// A rate limit service is asked for so long, and whether what it does not decide on is refused.
    pub(crate) global: Option<(Duration, bool)>,
    /// How many may be under way is found by their latencies, up to so many.
    pub(crate) adaptive: Option<u32>,
    /// Clients may not do everything, and each configuration says what.
    pub(crate) authorized: bool,
    /// A hash decides the endpoint.
    pub(crate) hashing: Option<Hashing>,
    /// Of the client's connection; else of each request's key, so that a client has several endpoints at a time.
    pub(crate) by_connection: bool,
}

impl Policy {
    pub(crate) fn drawn(random: &mut SmallRng) -> Self {
        let retried = random.random_ratio(1, 4);
        Self {
            watched: random.random(),
            retries: if retried {
                random.random_range(1..4)
            } else {
                0
            },
            hedge: random
                .random_ratio(1, 4)
                .then(|| Duration::from_millis(random.random_range(1..60))),
            limit: random.random_ratio(1, 4).then(|| bucket(random)),
            faults: random.random_ratio(1, 4),
            limits: limits(random),
            of_route: drawn(random, 1..12),
            longest: drawn(random, 100..2_000).map(|ms| Duration::from_millis(ms.into())),
            global: random.random_ratio(1, 4).then(|| {
                let timeout = Duration::from_millis(random.random_range(1..80));
                (timeout, random.random())
            }),
            adaptive: random
                .random_ratio(1, 4)
                .then(|| random.random_range(2..30)),
            authorized: random.random_ratio(1, 4),
            hashing: random.random_ratio(1, 3).then(|| hashing(random)),
            by_connection: random.random(),
        }
    }

    /// Whether a request's key decides the endpoint.
    pub(crate) fn by_key(self) -> bool {
        self.hashing.is_some() && !self.by_connection
    }

    /// Whether nothing but the hash decides where a request goes, as long as all servers are well.
    pub(crate) fn keeps_to_owners(self) -> bool {
        let is_free = self.limits == Limits::default();
        self.hashing.is_some()
            && self.by_connection
            && is_free
            && self.retries == 0
            && self.hedge.is_none()
    }

    /// How often a server may see a request.
    pub(crate) fn sendings(self) -> u32 {
        1 + self.retries + u32::from(self.hedge.is_some())
    }

    fn limit(self) -> Option<Arc<RateLimit>> {
        let default = self.limit?;
        Some(Arc::new(RateLimit {
            name: "default/echo".into(),
            conditions: vec![],
            default: Some(default),
            compiled: None,
        }))
    }

    fn global_limit(self, dialect: Dialect) -> Option<Arc<GlobalRateLimit>> {
        let (timeout, deny_on_fail) = self.global?;
        Some(Arc::new(GlobalRateLimit {
            name: "default/echo".into(),
            matches: vec![vec![]],
            domain: "echo".into(),
            entries: vec![DescriptorEntry {
                key: "what".into(),
                attribute: dialect.attribute().into(),
            }],
            cluster: "outbound|8081||ratelimit".into(),
            timeout,
            deny_on_fail,
            compiled: None,
        }))
    }

    fn adaptive_concurrency(self) -> Option<AdaptiveConcurrency> {
        Some(AdaptiveConcurrency {
            sample_aggregate_percentile: Share::percent_of(50),
            max_concurrency_limit: self.adaptive?,
            concurrency_update_interval: Duration::from_millis(50),
            min_rtt_interval: Duration::from_secs(1),
            min_rtt_request_count: 5,
            min_rtt_jitter: Share::percent_of(10),
            min_concurrency: 2,
            min_rtt_buffer: Share::percent_of(25),
        })
    }

    fn fault(self) -> Option<RouteFault> {
        self.faults.then(|| RouteFault {
            delay: Some((Share::percent_of(20), Duration::from_millis(40))),
            abort: Some((Share::percent_of(10), Status::Overloaded)),
        })
    }

    fn retry(self) -> Option<RetryPolicy> {
        (self.retries > 0).then(|| RetryPolicy {
            attempts: self.retries,
            per_try_timeout: Some(Duration::from_millis(80)),
            on: vec![
                RetryOn::ConnectFailure,
                RetryOn::ResetBeforeBytes,
                RetryOn::SystemError,
                RetryOn::Overloaded,
                RetryOn::Timeout,
            ],
            backoff: Duration::from_millis(5),
            non_idempotent: true,
        })
    }
}

fn hashing(random: &mut SmallRng) -> Hashing {
    match random.random() {
        true => Hashing::Maglev { table_size: 211 },
        false => Hashing::Ring { minimum_size: 64 },
    }
}

fn bucket(random: &mut SmallRng) -> TokenBucket {
    let tokens = [1, 3, 50].map(|most| random.random_range(1..=most));
    let interval = Duration::from_millis(random.random_range(1..2000));
    let most = tokens[random.random_range(0..tokens.len())];
    TokenBucket::new(most, random.random_range(1..40), interval).expect("numbers of a bucket")
}

/// Something in one of four schedules.
fn drawn(random: &mut SmallRng, range: std::ops::Range<u32>) -> Option<u32> {
    random
        .random_ratio(1, 4)
        .then(|| random.random_range(range))
}

fn limits(random: &mut SmallRng) -> Limits {
    if random.random() {
        return Limits::default();
    }
    Limits {
        connections: drawn(random, 1..6),
        pending: drawn(random, 1..6),
        requests: drawn(random, 1..12),
        retries: drawn(random, 1..4),
        requests_per_connection: drawn(random, 1..12),
    }
}

pub(crate) fn snapshot(
    dialect: Dialect,
    hosts: Vec<Endpoint>,
    lb: LbPolicy,
    policy: Policy,
) -> Snapshot {
    let watched = policy.watched;
    let name = CLUSTER.to_owned();
    let bind = Bind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let listener = Listener::plain(LISTENER, bind, Mode::Service("default/echo".into()));
    let service = Service {
        operation_metrics: watched,
        max_connection_duration: policy.longest,
        slow_request_threshold: watched.then_some(Duration::from_millis(20)),
        ..Service::new("default/echo", dialect.protocol(), "echo")
    };
    let route = Route {
        timeout: Some(Duration::from_millis(300)),
        retry: policy.retry(),
        hedge: policy.hedge,
        idempotent: policy.hedge.is_some(),
        limit: policy.limit(),
        global_limit: policy.global_limit(dialect),
        adaptive_concurrency: policy.adaptive_concurrency(),
        fault: policy.fault(),
        circuit_breaker: policy.of_route.map(|max_requests| CircuitBreaker {
            name: ROUTE.into(),
            max_requests,
        }),
        ..Route::new("all", &name)
    };
    let cluster = Cluster {
        limits: policy.limits,
        hashing: policy.hashing,
        hash_policy: vec![HashPolicy {
            of: match policy.by_connection {
                true => Hashed::Connection,
                false => Hashed::Attribute(KEY.to_owned()),
            },
            terminal: false,
        }],
        ..cluster(&name, hosts, lb)
    };
    Snapshot {
        listeners: [(listener.name.clone(), Arc::new(listener))].into(),
        services: [(service.name.clone(), Arc::new(service))].into(),
        routes: [(
            "echo".to_owned(),
            Arc::new(RouteConfig::new("echo", vec![Arc::new(route)])),
        )]
        .into(),
        clusters: [(name, Arc::new(cluster))].into(),
        ..Snapshot::default()
    }
}

/// Lets clients do nothing else.
pub(crate) fn authorize(snapshot: &mut Snapshot, access: &Access) {
    for service in snapshot.services.values_mut() {
        Arc::make_mut(service).authorization = access.policies();
    }
}

fn cluster(name: &str, hosts: Vec<Endpoint>, lb: LbPolicy) -> Cluster {
    Cluster {
        lb,
        connect_timeout: Duration::from_secs(1),
        endpoints: Arc::new(Endpoints {
            hosts,
            ..Endpoints::default()
        }),
        ..Cluster::new(name)
    }
}

/// Limits so tight that every one of them is met.
pub(crate) fn tight_settings(random: &mut SmallRng, policy: Policy) -> Settings {
    let tight = Settings {
        whole: 4096,
        in_flight_per_connection: random.random_range(1..20),
        unsent_per_connection: 8192,
        connections_per_endpoint: random.random_range(1..4),
        further_connections_per_endpoint: random.random_range(0..4),
        own_connections_per_endpoint: random.random_range(1..4),
        in_flight_per_client: 40,
        client_pause: 4096,
        client_limit: 256 * 1024,
        buffered: 1024 * 1024,
        stall: Duration::from_secs(2),
        questions: random.random_range(1..20),
        drain_quiet: Duration::from_millis(100),
        leaving: Duration::from_millis(500),
        ..Settings::default()
    };
    match policy.keeps_to_owners() {
        // An owner without room for a request would be passed over.
        true => Settings {
            in_flight_per_connection: 1_000,
            unsent_per_connection: 1024 * 1024,
            connections_per_endpoint: 100,
            further_connections_per_endpoint: 1_000,
            own_connections_per_endpoint: 100,
            ..tight
        },
        false => tight,
    }
}
