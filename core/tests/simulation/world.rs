//! One schedule: everything that happens is drawn from its seed.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use meltemi_codec::kit::sample::{ById, InOrder};
use meltemi_core::{
    balance::Layouts,
    config::{Address, Endpoint, Health, LbPolicy},
    engine::{Action, ConnectionId, Engine, QuestionId},
    protocols::Protocols,
    rate_limit::{Failure, Verdict},
    telemetry::Telemetry,
};
use meltemi_policy::Locality;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    client::Client,
    config::{LISTENER, Policy, snapshot, tight_settings},
    limits::Watch,
    server::{Manners, ServerConnection},
    wire::Dialect,
};

/// Bytes that the engine may hold in these schedules, whatever happens.
const BUFFERED: usize = 16 * 1024 * 1024;

/// What happened, over all schedules: a fault that never happens proves nothing.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) one_way: u64,
    pub(crate) refused_connections: u64,
    pub(crate) broken_connections: u64,
    pub(crate) clients_gone: u64,
    pub(crate) configurations: u64,
    pub(crate) drains: u64,
    pub(crate) delivered: u64,
    pub(crate) repeated: u64,
    /// Requests that two servers were asked at a time.
    pub(crate) hedged: u64,
    /// Refused by each of the bounds.
    pub(crate) overflows: [u64; OVERFLOWS.len()],
    /// Verdicts of the rate limit service that came when nobody waited any more.
    pub(crate) late_verdicts: u64,
    pub(crate) over_limit: u64,
    pub(crate) undecided: u64,
}

/// The counters of what goes beyond a bound.
const OVERFLOWS: [&str; 6] = [
    "meltemi_upstream_cx_overflow_total{",
    "meltemi_upstream_rq_overflow_total{",
    "meltemi_upstream_rq_pending_overflow_total{",
    "meltemi_upstream_rq_retry_overflow_total{",
    "meltemi_route_rq_overflow_total{",
    "meltemi_downstream_cx_max_duration_reached_total{",
];

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.one_way += other.one_way;
        self.refused_connections += other.refused_connections;
        self.broken_connections += other.broken_connections;
        self.clients_gone += other.clients_gone;
        self.configurations += other.configurations;
        self.drains += other.drains;
        self.delivered += other.delivered;
        self.repeated += other.repeated;
        self.hedged += other.hedged;
        for (all, one) in self.overflows.iter_mut().zip(other.overflows) {
            *all += one;
        }
        self.late_verdicts += other.late_verdicts;
        self.over_limit += other.over_limit;
        self.undecided += other.undecided;
    }

    pub(crate) fn assert_everything_happened(&self) {
        for (what, times) in [
            ("answers", self.answered),
            ("one-way requests", self.one_way),
            ("refused connections", self.refused_connections),
            ("broken connections", self.broken_connections),
            ("clients that left", self.clients_gone),
            ("configuration changes", self.configurations),
            ("drains", self.drains),
            ("requests sent again", self.repeated),
            ("hedged requests", self.hedged),
            ("late verdicts", self.late_verdicts),
            ("requests over a global limit", self.over_limit),
            ("requests without a verdict", self.undecided),
        ] {
            assert!(times > 0, "these schedules had no {what}");
        }
        for (what, times) in OVERFLOWS.iter().zip(self.overflows) {
            assert!(times > 0, "these schedules had no {what}");
        }
        assert!(
            self.answered * 2 > self.asked,
            "most requests must be answered: {self:?}"
        );
    }
}

pub(crate) struct World {
    dialect: Dialect,
    telemetry: Telemetry,
    random: SmallRng,
    engine: Engine,
    layouts: Layouts,
    start: Instant,
    now: Duration,
    clients: BTreeMap<u64, Client>,
    by_id: HashMap<ConnectionId, u64>,
    next_client: u64,
    servers: Vec<ServerConnection>,
    connecting: Vec<(Duration, ConnectionId, Address)>,
    /// What the rate limit service will say, and when; and until when somebody waits for it.
    verdicts: Vec<(Duration, QuestionId, Verdict, Instant)>,
    endpoints: u16,
    policy: Policy,
    limits: Watch,
    manners: Manners,
    nonces: u64,
    /// Who asked.
    asker: HashMap<u64, u64>,
    /// How often each request has reached a server.
    seen: HashMap<u64, u32>,
    /// The last request of each client that reached each endpoint.
    last_seen: HashMap<(Address, u64), u64>,
    draining: bool,
    totals: Totals,
}

impl World {
    pub(crate) fn new(dialect: Dialect, seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let start = Instant::now();
        let settings = tight_settings(&mut random);
        let protocols = Protocols::new([
            Arc::new(ById) as Arc<dyn meltemi_codec::Protocol>,
            Arc::new(InOrder),
        ]);
        let telemetry = Telemetry::new();
        let worker = telemetry.worker();
        let policy = Policy::drawn(&mut random);
        let limits = Watch::new(policy);
        let engine = Engine::new(settings, Arc::new(protocols), worker, seed, start)
            .with_circuits(Arc::clone(&limits.circuits));
        let calm = random.random_ratio(1, 4);
        let mut fault = |most: u32| {
            if calm {
                0
            } else {
                random.random_range(0..=most)
            }
        };
        let manners = Manners {
            refuses: fault(60),
            breaks: fault(8),
            forgets: fault(10),
            repeats: fault(20),
            leaves: fault(5),
            large: fault(15),
            slowest: u64::from(fault(120)),
        };
        let endpoints = random.random_range(1..5);
        let mut world = Self {
            dialect,
            telemetry,
            engine,
            layouts: Layouts::default(),
            start,
            now: Duration::ZERO,
            clients: BTreeMap::new(),
            by_id: HashMap::new(),
            next_client: 0,
            servers: Vec::new(),
            connecting: Vec::new(),
            verdicts: Vec::new(),
            endpoints,
            policy,
            limits,
            manners,
            nonces: 0,
            asker: HashMap::new(),
            seen: HashMap::new(),
            last_seen: HashMap::new(),
            draining: false,
            totals: Totals::default(),
            random,
        };
        world.configure();
        world
    }

    /// Runs the schedule to its end.
    pub(crate) fn run(mut self) -> Totals {
        for _ in 0..self.random.random_range(20..150) {
            self.step();
            self.settle_actions();
            self.check();
        }
        self.calm_down();
        self.check_metrics();
        let page = self.telemetry.render();
        self.totals.overflows = OVERFLOWS.map(|family| counted(&page, family));
        self.check_global_limit();
        self.totals
    }

    /// Every request is counted once, by its route, its duration and its operation.
    fn check_metrics(&self) {
        let page = self.telemetry.render();
        let counted = |family| counted(&page, family);
        let requests = counted("meltemi_requests_total{");
        let timed = counted("meltemi_request_duration_seconds_count{");
        assert_eq!(timed, requests, "requests by duration and by outcome");
        let by_operation = counted("meltemi_operation_requests_total{");
        let watched = if self.policy.watched { requests } else { 0 };
        assert_eq!(by_operation, watched, "requests by operation and by route");
        let (answered, sent) = (
            self.totals.answered,
            self.totals.asked + self.totals.one_way,
        );
        assert!(
            (answered..=sent).contains(&requests),
            "{requests} requests of {sent} were counted, of which {answered} were answered"
        );
        let limited: u64 = page
            .lines()
            .filter(|line| line.starts_with("meltemi_requests_total{") && line.contains("\"RL\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum();
        let globally = counted("meltemi_global_rate_limit_over_limit_total{");
        let limited = limited - globally;
        assert_eq!(counted("meltemi_local_rate_limit_limited_total{"), limited);
        if self.policy.limit.is_some() {
            let admitted = counted("meltemi_local_rate_limit_ok_total{");
            assert!(
                admitted + limited <= requests,
                "{admitted} and {limited} of {requests}"
            );
            assert!(
                admitted >= self.seen.len() as u64,
                "what was sent had no token"
            );
        }
        assert_eq!(counted("meltemi_requests_in_flight{"), 0);
        assert_eq!(counted("meltemi_upstream_attempts_in_flight{"), 0);
    }

    /// What was sent was let through by the rate limit service, or in its place.
    fn check_global_limit(&mut self) {
        let page = self.telemetry.render();
        let count = |name: &str| -> u64 {
            let line = format!("meltemi_global_rate_limit_{name}_total{{limit=");
            let line = page.lines().find(|it| it.starts_with(&line));
            line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        };
        let (error, allowed) = (count("error"), count("failure_mode_allowed"));
        self.totals.over_limit += count("over_limit");
        self.totals.undecided += error;
        if let Some((_, deny)) = self.policy.global {
            assert_eq!(allowed, if deny { 0 } else { error });
            let sent = self.seen.len() as u64;
            assert!(sent <= count("ok") + allowed, "{sent} were sent");
        }
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..8 => self.connect(),
            8..30 => self.ask(),
            30..48 => self.client_writes(),
            48..62 => self.client_reads(),
            62..76 => self.server_reads(),
            76..86 => self.server_writes(),
            86..93 => {
                let millis = self.random.random_range(0..60);
                self.pass(Duration::from_millis(millis));
            }
            93..95 => self.client_leaves(),
            95 => self.server_breaks(),
            96 | 97 => self.freeze(),
            98 => self.configure(),
            _ if self.random.random_ratio(1, 10) => self.drain(),
            _ => {}
        }
    }

    fn connect(&mut self) {
        if self.clients.len() > 5 {
            return;
        }
        let now = self.instant();
        let accepted = self.engine.accept(LISTENER, None, now);
        assert_eq!(
            accepted.is_none(),
            self.draining,
            "refused without a reason"
        );
        if let Some(id) = accepted {
            // Clients of one kind count from the same number: only remapping tells them apart.
            let client = Client::new(id, self.dialect, u64::MAX - 2);
            self.by_id.insert(id, self.next_client);
            self.clients.insert(self.next_client, client);
            self.next_client += 1;
        }
    }

    fn some_client(&mut self) -> Option<u64> {
        let open: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, client)| !client.closed)
            .map(|(key, _)| *key)
            .collect();
        let index = self.random.random_range(0..open.len().max(1));
        open.get(index).copied()
    }

    fn ask(&mut self) {
        let Some(key) = self.some_client() else {
            return self.connect();
        };
        let most = if self.random.random_ratio(1, 4) {
            24
        } else {
            6
        };
        for _ in 0..self.random.random_range(1..most) {
            let one_way = self.random.random_ratio(1, 8);
            let padding = match self.random.random_range(0..20) {
                0 => self.random.random_range(4096..20_000),
                1 => self.random.random_range(500..4096),
                _ => self.random.random_range(0..64),
            };
            self.nonces += 1;
            self.asker.insert(self.nonces, key);
            if let Some(client) = self.clients.get_mut(&key).filter(|client| !client.ended) {
                client.ask(self.nonces, one_way, padding);
                self.totals.asked += u64::from(!one_way);
                self.totals.one_way += u64::from(one_way);
            }
        }
    }

    fn client_writes(&mut self) {
        if let Some(key) = self.some_client() {
            let most = self.random.random_range(1..3000);
            self.client_writes_up_to(key, most);
        }
    }

    fn client_writes_up_to(&mut self, key: u64, most: usize) -> bool {
        let now = self.instant();
        let Some(client) = self.clients.get_mut(&key) else {
            return false;
        };
        if client.closed || client.to_engine.is_empty() || !self.engine.wants_read(client.id) {
            return false;
        }
        let n = most.min(client.to_engine.len());
        let bytes: Vec<u8> = client.to_engine.drain(..n).collect();
        self.engine.received(client.id, &bytes, now);
        true
    }

    fn client_reads(&mut self) {
        if let Some(key) = self.some_client() {
            let most = self.random.random_range(1..3000);
            self.client_reads_up_to(key, most);
        }
    }

    fn client_reads_up_to(&mut self, key: u64, most: usize) -> bool {
        let now = self.instant();
        let Some(client) = self.clients.get_mut(&key) else {
            return false;
        };
        let unsent = self.engine.unsent(client.id);
        if client.closed || client.frozen || unsent.is_empty() {
            return false;
        }
        let n = most.min(unsent.len());
        client.read(&unsent[..n]);
        self.engine.sent(client.id, n, now);
        true
    }

    fn server_reads(&mut self) {
        let index = self.random.random_range(0..self.servers.len().max(1));
        let most = self.random.random_range(1..3000);
        self.server_reads_up_to(index, most);
    }

    fn server_reads_up_to(&mut self, index: usize, most: usize) -> bool {
        let now = self.instant();
        let Some(server) = self.servers.get_mut(index) else {
            return false;
        };
        let unsent = self.engine.unsent(server.id);
        if server.frozen || server.broken || unsent.is_empty() {
            return false;
        }
        let n = most.min(unsent.len());
        let bytes = unsent[..n].to_vec();
        let arrived = server.read(&bytes, self.now, self.manners, &mut self.random);
        let (id, address) = (server.id, server.address.clone());
        self.engine.sent(id, n, now);
        for nonce in arrived {
            self.delivered(nonce, &address);
        }
        true
    }

    /// No more requests were let through than the bucket has had tokens for.
    fn check_limit(&self) {
        let Some(bucket) = self.policy.limit else {
            return;
        };
        let interval = bucket.fill_interval().as_nanos();
        let time = self.now.as_nanos() + 2;
        let come = time * u128::from(bucket.tokens_per_fill()) / interval;
        let most = u128::from(bucket.max_tokens()) + come;
        let asked = self.seen.len() as u128;
        assert!(asked <= most, "{asked} requests of {most} were let through");
    }

    /// A request is whole at a server: never more often than it may, and in order where that is
    /// promised.
    fn delivered(&mut self, nonce: u64, address: &Address) {
        let times = self.seen.entry(nonce).or_default();
        *times += 1;
        assert!(
            *times <= self.policy.sendings(),
            "request {nonce} was delivered {times} times"
        );
        self.totals.delivered += 1;
        self.totals.repeated += u64::from(*times > 1);
        let only_hedged = self.policy.hedge.is_some() && self.policy.retries == 0;
        self.totals.hedged += u64::from(*times > 1 && only_hedged);
        self.check_limit();
        if self.dialect == Dialect::InOrder {
            let asker = self.asker[&nonce];
            let last = self.last_seen.insert((address.clone(), asker), nonce);
            // Legal only where the proxy has answered the earlier one itself (a timeout): then it
            // no longer holds others back, and its late answer is swallowed.
            if last.is_some_and(|last| last > nonce)
                && let Some(client) = self.clients.get_mut(&asker)
            {
                client.overtaken.insert(nonce);
            }
        }
    }

    fn server_writes(&mut self) {
        let index = self.random.random_range(0..self.servers.len().max(1));
        let most = self.random.random_range(1..5000);
        self.server_writes_up_to(index, most);
    }

    fn server_writes_up_to(&mut self, index: usize, most: usize) -> bool {
        let now = self.instant();
        let Some(server) = self.servers.get_mut(index) else {
            return false;
        };
        server.speak(self.now);
        if server.broken {
            let server = self.servers.remove(index);
            self.totals.broken_connections += 1;
            self.engine.failed(server.id, now);
            return true;
        }
        if server.to_engine.is_empty() || !self.engine.wants_read(server.id) {
            return false;
        }
        let n = most.min(server.to_engine.len());
        let bytes: Vec<u8> = server.to_engine.drain(..n).collect();
        self.engine.received(server.id, &bytes, now);
        true
    }

    /// Time passes: connections come to be or not, deadlines pass.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.instant();
        let (due, later) = std::mem::take(&mut self.connecting)
            .into_iter()
            .partition(|(at, ..)| *at <= self.now);
        self.connecting = later;
        for (_, id, address) in due {
            if self.random.random_ratio(self.manners.refuses, 100) {
                self.totals.refused_connections += 1;
                self.engine.connect_failed(id, now);
            } else {
                self.servers
                    .push(ServerConnection::new(id, address, self.dialect));
                self.engine.connected(id, now);
            }
        }
        self.engine.tick(now);
        self.decide(now);
    }

    /// The rate limit service says what it is about to say, be it late.
    fn decide(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.verdicts)
            .into_iter()
            .partition(|(at, ..)| *at <= self.now);
        self.verdicts = later;
        for (_, id, verdict, until) in due {
            self.totals.late_verdicts += u64::from(until <= now);
            self.engine.decided(id, verdict, now);
        }
    }

    fn client_leaves(&mut self) {
        let Some(key) = self.some_client() else {
            return;
        };
        let now = self.instant();
        let client = self.clients.get_mut(&key).unwrap();
        self.totals.clients_gone += 1;
        if self.random.random() {
            self.engine.failed(client.id, now);
            client.close();
        } else if client.to_engine.is_empty() && !client.ended {
            client.ended = true;
            self.engine.end_of_file(client.id, now);
        }
    }

    fn server_breaks(&mut self) {
        let index = self.random.random_range(0..self.servers.len().max(1));
        if self.manners.breaks > 0 && index < self.servers.len() {
            let server = self.servers.remove(index);
            self.totals.broken_connections += 1;
            let now = self.instant();
            self.engine.failed(server.id, now);
        }
    }

    fn freeze(&mut self) {
        if let Some(key) = self.some_client() {
            let client = self.clients.get_mut(&key).unwrap();
            client.frozen = !client.frozen;
        }
        let index = self.random.random_range(0..self.servers.len().max(1));
        if let Some(server) = self.servers.get_mut(index) {
            server.frozen = !server.frozen;
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        self.totals.drains += 1;
        let now = self.instant();
        self.engine.drain(now);
    }

    /// Another set of endpoints.
    fn configure(&mut self) {
        self.totals.configurations += 1;
        let hosts = (1..=self.endpoints)
            .filter(|_| self.random.random_ratio(9, 10))
            .map(|port| Endpoint {
                address: Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
                hostname: String::new(),
                weight: 1,
                locality: Locality::default(),
                health: Health::Healthy,
                priority: 0,
                labels: BTreeMap::new(),
            })
            .collect();
        let lb = match self.random.random_range(0..3) {
            0 => LbPolicy::RoundRobin,
            1 => LbPolicy::LeastRequest,
            _ => LbPolicy::Random,
        };
        let mut snapshot = snapshot(self.dialect, hosts, lb, self.policy);
        // As the proxy does; every third time the worker has to see for itself.
        if !self.totals.configurations.is_multiple_of(3) {
            snapshot = snapshot.laid_out(&self.layouts);
        }
        self.layouts.clone_from(&snapshot.layouts);
        let now = self.instant();
        self.engine.configure(&snapshot, now);
    }

    /// Does what the engine asks the driver to do.
    fn settle_actions(&mut self) {
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Connect { id, address, .. } => {
                    let millis = self.random.random_range(0..40);
                    let at = self.now + Duration::from_millis(millis);
                    self.connecting.push((at, id, address));
                }
                Action::Close(id) => {
                    if let Some(key) = self.by_id.get(&id)
                        && let Some(client) = self.clients.get_mut(key)
                    {
                        client.close();
                    }
                    self.servers.retain(|server| server.id != id);
                    self.connecting
                        .retain(|(_, connecting, _)| *connecting != id);
                }
                Action::Ask(question) => {
                    let at = self.now + Duration::from_millis(self.random.random_range(0..100));
                    let verdict = match self.random.random_range(0..10) {
                        0 => continue,
                        1 | 2 => Verdict::OverLimit,
                        3 => Verdict::Failed(Failure::Error),
                        _ => Verdict::Ok,
                    };
                    self.verdicts.push((at, question.id, verdict, question.due));
                }
                Action::Flush(_) | Action::Resume(_) | Action::Report(_) => {}
            }
        }
    }

    fn check(&self) {
        let status = self.engine.status();
        assert!(
            status.buffered < BUFFERED,
            "{} bytes are buffered",
            status.buffered
        );
        let open = self
            .clients
            .values()
            .filter(|client| !client.closed)
            .count();
        assert_eq!(status.clients, open, "clients leak");
        self.limits.check(&status);
    }

    /// No more faults: everything that is owed must now be answered, and nothing may be left.
    fn calm_down(&mut self) {
        self.manners = Manners {
            refuses: 0,
            breaks: 0,
            leaves: 0,
            ..self.manners
        };
        for client in self.clients.values_mut() {
            client.frozen = false;
        }
        for _ in 0..3_000 {
            self.move_everything();
            if self
                .clients
                .values()
                .all(|client| client.is_settled() && client.to_engine.is_empty())
            {
                break;
            }
        }
        for (key, client) in &self.clients {
            assert!(client.is_settled(), "client {key} waits for ever");
            self.totals.answered += client.answered;
        }
        let now = self.instant();
        for client in self.clients.values_mut().filter(|client| !client.closed) {
            self.engine.failed(client.id, now);
            client.close();
        }
        for _ in 0..200 {
            self.move_everything();
        }
        let status = self.engine.status();
        assert_eq!(status.clients, 0);
        assert_eq!(status.in_flight, 0, "exchanges leak");
        let active: u32 = status.hosts.iter().map(|host| host.active).sum();
        assert_eq!(active, 0, "endpoints keep requests that are over");
        assert_eq!(status.buffered, 0, "buffered bytes leak");
        assert!(self.limits.is_over(), "permits leak");
    }

    fn move_everything(&mut self) {
        for server in &mut self.servers {
            server.frozen = false;
        }
        for key in self.clients.keys().copied().collect::<Vec<_>>() {
            self.client_writes_up_to(key, 4000);
            self.settle_actions();
            self.client_reads_up_to(key, 4000);
            self.settle_actions();
        }
        for index in (0..self.servers.len()).rev() {
            self.server_reads_up_to(index, 4000);
            self.settle_actions();
        }
        for index in (0..self.servers.len()).rev() {
            self.server_writes_up_to(index, 4000);
            self.settle_actions();
        }
        self.pass(Duration::from_millis(20));
        self.settle_actions();
        self.check();
    }
}

/// The sum of a counter's values on a page of metrics.
fn counted(page: &str, family: &str) -> u64 {
    let values = page.lines().filter_map(|line| {
        let (_, value) = line.strip_prefix(family)?.rsplit_once("} ")?;
        value.parse::<u64>().ok()
    });
    values.sum()
}
