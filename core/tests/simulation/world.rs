//! One schedule: everything that happens is drawn from its seed.

#[path = "checks.rs"]
mod checks;
#[path = "traffic.rs"]
mod traffic;

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
    authorization::{Access, principal},
    client::Client,
    config::{LISTENER, Policy, authorize, snapshot, tight_settings},
    limits::Watch,
    server::{Manners, ServerConnection},
    totals::{OVERFLOWS, Totals, counted},
    wire::Dialect,
};

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
    /// What clients might do under each configuration, and under which each request was asked.
    access: Vec<Access>,
    asked_under: HashMap<u64, usize>,
    /// How often each request has reached a server.
    seen: HashMap<u64, u32>,
    /// Servers are well, and nothing but a hash decides whom of them a request goes to.
    keeps_to_owners: bool,
    /// Where the requests of each client go that were asked since the endpoints changed, and the last
    /// one before.
    owners: HashMap<u64, Address>,
    asked_before: u64,
    draining: bool,
    totals: Totals,
}

impl World {
    pub(crate) fn new(dialect: Dialect, seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let start = Instant::now();
        let protocols = Protocols::new([
            Arc::new(ById) as Arc<dyn meltemi_codec::Protocol>,
            Arc::new(InOrder),
        ]);
        let telemetry = Telemetry::new();
        let worker = telemetry.worker();
        let policy = Policy::drawn(&mut random);
        let settings = tight_settings(&mut random, policy);
        let limits = Watch::new(policy);
        let engine = Engine::new(settings, Arc::new(protocols), worker, seed, start)
            .with_circuits(Arc::clone(&limits.circuits));
        let calm = random.random_ratio(1, 4);
        let manners = Manners::drawn(&mut random, calm);
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
            access: Vec::new(),
            asked_under: HashMap::new(),
            seen: HashMap::new(),
            keeps_to_owners: calm && policy.keeps_to_owners() && dialect == Dialect::ById,
            owners: HashMap::new(),
            asked_before: 0,
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
        self.totals.denied += counted(&page, "meltemi_authorization_denied_total{");
        self.totals.denied += counted(&page, "meltemi_authorization_not_allowed_total{");
        let turned_out = counted(&page, "meltemi_authorization_connections_denied_total{");
        self.totals.turned_out += turned_out;
        self.totals.overflows = OVERFLOWS.map(|family| counted(&page, family));
        self.check_global_limit();
        self.totals
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
            self.engine.identified(id, &principal(self.next_client));
            let by_key = self.policy.by_key();
            let client = Client::new(id, self.dialect, u64::MAX - 2, by_key);
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
            self.asked_under.insert(self.nonces, self.access.len());
            if let Some(client) = self.clients.get_mut(&key).filter(|client| !client.ended) {
                client.ask(self.nonces, one_way, padding);
                self.totals.asked += u64::from(!one_way);
                self.totals.one_way += u64::from(one_way);
            }
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
        self.owners.clear();
        self.asked_before = self.nonces;
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
        let lb = match self.random.random_range(0..4) {
            0 => LbPolicy::RoundRobin,
            1 => LbPolicy::LeastRequest,
            2 => LbPolicy::PeakEwma {
                decay: Duration::from_millis(200),
            },
            _ => LbPolicy::Random,
        };
        let mut snapshot = snapshot(self.dialect, hosts, lb, self.policy);
        if self.policy.authorized {
            let access = Access::drawn(&mut self.random);
            authorize(&mut snapshot, &access);
            self.access.push(access);
        }
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
                Action::Reset(_) | Action::Shutdown(_) | Action::Rename { .. } => {}
            }
        }
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
}
