//! One worker's connections and exchanges, as a state machine: bytes, events and time go in,
//! bytes and [`Action`]s come out.
//!
//! A request's path, where it is out of the ordinary (`run`, `follow` and `settle` are short ways for what
//! is not): `receive` → `requests` (a client's bytes become requests) → `exchange` (a
//! request finds its route, cluster and endpoint) → `pool` (the endpoint's connection) → `answers`
//! (a server's bytes become answers, which find their exchange) → `delivery` (bytes to the client,
//! in their turn). `tables` is the configuration that decides it.
//!
//! **Invariant:** nothing here does I/O or reads a clock; the simulator and the driver run the
//! same code.

mod action;
mod allowance;
mod answers;
mod arrival;
mod attempt;
mod authorization;
mod boxes;
mod calls;
mod circuits;
mod client;
mod concurrency;
mod deadlines;
mod delivery;
mod drain;
mod edits;
mod end;
mod exchange;
mod faults;
mod follow;
mod global_limits;
mod hashing;
mod health;
mod hedge;
mod held;
mod in_turn;
mod large;
mod lineup;
mod log;
mod lost;
mod mirror;
mod numbered;
mod observe;
mod outbox;
mod own;
mod pin;
mod pool;
mod rate_limits;
mod receive;
mod refusal;
mod relay;
mod repeat;
mod requests;
mod retry;
mod run;
mod scatter;
mod server;
mod settings;
mod settle;
mod shards;
mod source;
mod status;
mod tables;
mod timers;
mod topology;
mod tunnels;
mod waiting;
mod wire_ids;
mod withdraw;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use slotmap::{SlotMap, new_key_type};

use crate::{
    access_log::{AccessLog, Sampler},
    buckets::Buckets,
    circuit::Circuits,
    config::{Address, Snapshot},
    protocols::Protocols,
    rate_limit::Verdict,
    telemetry::WorkerTelemetry,
};
pub use action::{Action, HostReport};
use allowance::Malformed;
use boxes::Boxes;
use client::Client;
use deadlines::{DeadlineKey, Deadlines};
use exchange::Exchange;
pub use health::HostCounts;
use observe::Observer;
pub use observe::ServiceKeys;
use outbox::Spare;
pub use refusal::{Stranger, Why};
pub use relay::Relay;
use repeat::Repeat;
use run::{Party, Run};
use server::Server;
pub use settings::Settings;
pub use status::{ConcurrencyStatus, HostStatus, WorkerStatus};
use tables::{Candidates, Tables};
use timers::{TimerKey, Timers};
pub use tunnels::EndKey;
use tunnels::{TunnelKey, Tunnels};
use withdraw::Leaving;

new_key_type! {
    /// A client's connection.
    pub struct ClientKey;
    /// A connection to a server.
    pub struct ServerKey;
    /// A request from its arrival to its last answer.
    struct ExchangeKey;
    /// What asks the servers of a cluster how they divide the keys.
    struct TopologyKey;
}

/// A connection of this worker. Never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionId {
    /// Accepted from a client.
    Client(ClientKey),
    /// Opened to a server.
    Server(ServerKey),
    /// One of the two of a tunnel.
    Tunnel(EndKey),
}

/// What a worker has asked, for whoever answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QuestionId(ExchangeKey);

#[derive(Clone, Copy, Debug)]
enum Timer {
    Deadline(DeadlineKey),
    Again(ExchangeKey),
    InTurn(ClientKey),
    Try(ExchangeKey),
    Hedge(ExchangeKey),
    Delayed(ExchangeKey),
    Undecided(ExchangeKey),
    Topology(TopologyKey),
    Client(ClientKey),
    ClientStall(ClientKey),
    ClientLeaving(ClientKey),
    ClientAge(ClientKey),
    ClientFinishing(ClientKey),
    Server(ServerKey),
    ServerStall(ServerKey),
    ServerHead(ServerKey),
    ServerReady(ServerKey),
    ServerFlush(ServerKey),
    Tunnel(TunnelKey),
    WarmUp,
    Withdraw,
}

/// One worker's share of the proxy.
pub struct Engine {
    settings: Settings,
    telemetry: WorkerTelemetry,
    random: SmallRng,
    origin: Instant,
    now: Instant,
    /// Nanoseconds from `origin` to `now`: what durations are measured with.
    elapsed: u64,
    tables: Tables,
    /// When endpoints that are new get more of their weight.
    warming: Option<TimerKey>,
    leaving: Leaving,
    observer: Observer,
    /// Lines about what peers say that is no message.
    malformed: Malformed,
    logged: Sampler,
    clients: SlotMap<ClientKey, Client>,
    servers: SlotMap<ServerKey, Server>,
    exchanges: SlotMap<ExchangeKey, Exchange>,
    tunnels: Tunnels,
    /// Requests beyond the first of each run.
    riders: usize,
    timers: Timers<Timer>,
    deadlines: Deadlines,
    actions: VecDeque<Action>,
    spare: Spare,
    spare_candidates: Boxes<Candidates>,
    spare_repeats: Boxes<Repeat>,
    spare_runs: Boxes<Run>,
    spare_parties: Vec<Party>,
    scratch: Vec<u8>,
    /// Of what is being received, so much was written to its receiver already.
    gone: usize,
    buffered: usize,
    /// Clients whose parked request may go.
    unparked: Vec<ClientKey>,
    /// Clients that were answered in this turn: what they got leaves at its end.
    answered: Vec<ClientKey>,
    draining: bool,
    /// Copies of requests in flight.
    mirrors: usize,
    /// Requests that wait for a verdict.
    questions: usize,
}

impl Engine {
    /// A worker without configuration: it refuses connections until [`Engine::configure`].
    #[must_use]
    pub fn new(
        settings: Settings,
        protocols: Arc<Protocols>,
        telemetry: WorkerTelemetry,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let logged = telemetry.access_log().map_or(0.0, AccessLog::percent);
        Self {
            settings,
            telemetry,
            logged: Sampler::new(logged, &mut random),
            random,
            origin: now,
            now,
            elapsed: 0,
            tables: Tables::new(protocols, Arc::new(Buckets::new(now)), settings.workers),
            warming: None,
            leaving: Leaving::default(),
            observer: Observer::default(),
            malformed: Malformed::default(),
            clients: SlotMap::with_key(),
            servers: SlotMap::with_key(),
            exchanges: SlotMap::with_key(),
            tunnels: Tunnels::default(),
            riders: 0,
            timers: Timers::new(now),
            deadlines: Deadlines::default(),
            actions: VecDeque::new(),
            spare: Spare::default(),
            spare_candidates: Boxes::default(),
            spare_repeats: Boxes::default(),
            spare_runs: Boxes::default(),
            spare_parties: Vec::new(),
            scratch: Vec::new(),
            gone: 0,
            buffered: 0,
            unparked: Vec::new(),
            answered: Vec::new(),
            draining: false,
            mirrors: 0,
            questions: 0,
        }
    }

    /// With the token buckets of all workers, and the time that they count.
    #[must_use]
    pub fn sharing(mut self, buckets: Arc<Buckets>) -> Self {
        self.origin = buckets.origin();
        self.tables.buckets = buckets;
        self.note_elapsed();
        self
    }

    /// Shares what clusters and routes allow with other workers.
    #[must_use]
    pub fn with_circuits(mut self, circuits: Arc<Circuits>) -> Self {
        self.tables.circuits = circuits;
        self
    }

    /// Requests that are not over.
    fn in_flight(&self) -> usize {
        self.exchanges.len() + self.riders
    }

    /// All that happens in a turn happens at one time.
    #[inline]
    fn at(&mut self, now: Instant) {
        if self.now != now {
            self.now = now;
            self.note_elapsed();
        }
    }

    fn note_elapsed(&mut self) {
        let elapsed = self.now.saturating_duration_since(self.origin).as_nanos();
        self.elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
    }

    /// Replaces the configuration. Requests in flight keep the one that decided them; clients of
    /// a listener that is gone are asked to leave.
    pub fn configure(&mut self, snapshot: &Snapshot, now: Instant) {
        self.at(now);
        let gone = self.tables.update(
            snapshot,
            &self.telemetry,
            (self.random.random(), now, self.elapsed),
        );
        self.warm_up();
        self.observe_services(snapshot);
        self.withdraw_hosts(&gone);
        for key in self.tables.topologies.keys().collect::<Vec<_>>() {
            self.poll_topology(key);
        }
        let homeless: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| !self.tables.serves(&client.listener, client.service))
            .map(|(key, _)| key)
            .collect();
        for key in homeless {
            self.ask_to_leave(key);
        }
        for key in self.clients.keys().collect::<Vec<_>>() {
            self.limit_age(key);
        }
        self.judge_clients();
        self.review_tunnels();
    }

    /// Replaces the set of ejected endpoints of a cluster.
    pub fn set_ejected(&mut self, cluster: &str, ejected: &[Address], now: Instant) {
        self.at(now);
        self.tables.set_ejected(cluster, ejected);
        self.hold_clients_of_ejected();
        self.warm_up();
    }

    /// Endpoints that are new get more of their weight step by step.
    fn warm_up(&mut self) {
        if let Some(before) = self.warming.take() {
            self.timers.cancel(before);
        }
        let pause = self.tables.warm_up(self.now);
        let next = pause.map(|pause| self.timers.set(self.now + pause, Timer::WarmUp));
        self.warming = next;
    }

    /// A connection that was asked for, or that of a client, can be used.
    pub fn connected(&mut self, id: ConnectionId, now: Instant) {
        self.at(now);
        match id {
            ConnectionId::Client(_) => {}
            ConnectionId::Server(key) => self.server_connected(key),
            ConnectionId::Tunnel(key) => self.tunnel_connected(key),
        }
    }

    /// A connection that was asked for cannot be made, or that of a client came to nothing before it
    /// could be used.
    pub fn connect_failed(&mut self, id: ConnectionId, now: Instant) {
        match id {
            ConnectionId::Server(key) => {
                self.at(now);
                self.server_lost(key, lost::Loss::Connect);
            }
            ConnectionId::Client(_) => self.failed(id, now),
            ConnectionId::Tunnel(key) => {
                self.at(now);
                self.tunnel_connect_failed(key);
            }
        }
    }

    /// A rate limit service has said, or will not say, whether a request is within its limit.
    pub fn decided(&mut self, id: QuestionId, verdict: Verdict, now: Instant) {
        self.at(now);
        self.heed(id.0, verdict);
    }

    /// Whether more bytes of this connection are welcome. [`Action::Resume`] says when it is true
    /// again.
    #[must_use]
    pub fn wants_read(&self, id: ConnectionId) -> bool {
        match id {
            ConnectionId::Client(key) => self.clients.get(key).is_some_and(|client| client.reading),
            ConnectionId::Server(key) => self.servers.get(key).is_some_and(|server| server.reading),
            ConnectionId::Tunnel(key) => self.tunnels.wants_read(key),
        }
    }

    /// Bytes arrived.
    pub fn received(&mut self, id: ConnectionId, bytes: &[u8], now: Instant) {
        self.at(now);
        match id {
            ConnectionId::Client(key) => self.client_received(key, bytes),
            ConnectionId::Server(key) => self.server_received(key, bytes),
            ConnectionId::Tunnel(key) => self.tunnel_received(key, bytes, 0),
        }
    }

    /// The peer will send no more.
    pub fn end_of_file(&mut self, id: ConnectionId, now: Instant) {
        self.at(now);
        match id {
            ConnectionId::Client(key) => self.client_ended(key),
            ConnectionId::Server(key) => self.server_lost(key, lost::Loss::Reset),
            ConnectionId::Tunnel(key) => self.tunnel_ended(key),
        }
    }

    /// The connection broke.
    pub fn failed(&mut self, id: ConnectionId, now: Instant) {
        self.at(now);
        match id {
            ConnectionId::Client(key) => self.abandon_client(key),
            ConnectionId::Server(key) => self.server_lost(key, lost::Loss::Reset),
            ConnectionId::Tunnel(key) => self.tunnel_failed(key),
        }
    }

    /// Bytes to write.
    #[must_use]
    pub fn unsent(&self, id: ConnectionId) -> &[u8] {
        match id {
            ConnectionId::Client(key) => self.clients.get(key).map(|client| client.outbox.unsent()),
            ConnectionId::Server(key) => self.servers.get(key).map(|server| server.sendable()),
            ConnectionId::Tunnel(key) => Some(self.tunnels.unsent(key)),
        }
        .unwrap_or_default()
    }

    /// The first `n` of the unsent bytes were written.
    pub fn sent(&mut self, id: ConnectionId, n: usize, now: Instant) {
        self.at(now);
        match id {
            ConnectionId::Client(key) => self.client_sent(key, n),
            ConnectionId::Server(key) => self.server_sent(key, n),
            ConnectionId::Tunnel(key) => self.tunnel_sent(key, n),
        }
    }

    /// What to do next. Call until there is nothing, after each turn.
    #[inline]
    pub fn next_action(&mut self) -> Option<Action> {
        if !(self.answered.is_empty() && self.unparked.is_empty()) {
            self.end_turn();
        }
        self.actions.pop_front()
    }

    /// Whether it has buffers that may be freed if nobody needs them.
    #[must_use]
    pub fn may_shrink(&self) -> bool {
        self.spare.may_shrink()
    }

    /// Frees buffers that nobody has needed since the last call.
    pub fn shrink(&mut self) {
        self.spare.shrink();
    }

    /// When [`Engine::tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Lets deadlines pass.
    pub fn tick(&mut self, now: Instant) {
        self.at(now);
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Deadline(key) => self.deadline_passed(key),
                Timer::Again(key) => self.pause_over(key),
                Timer::InTurn(key) => self.send_in_turn(key),
                Timer::Try(key) => self.try_timed_out(key),
                Timer::Hedge(key) => self.hedge(key),
                Timer::Delayed(key) => self.delay_is_over(key),
                Timer::Undecided(key) => self.undecided(key),
                Timer::ServerFlush(key) => self.server_flush_timer(key),
                Timer::Topology(key) => self.poll_topology(key),
                Timer::Tunnel(key) => self.tunnel_timer(key),
                Timer::WarmUp => {
                    self.warming = None;
                    self.warm_up();
                }
                Timer::Withdraw => self.let_go(),
                Timer::Client(key) => self.client_timer(key),
                Timer::ClientStall(key) => self.abandon_client(key),
                Timer::ClientLeaving(key) => self.client_leaving(key),
                Timer::ClientAge(key) => self.client_aged(key),
                Timer::ClientFinishing(key) => self.client_finishing(key),
                Timer::Server(key) => self.server_timer(key),
                Timer::ServerStall(key) => self.server_lost(key, lost::Loss::Reset),
                Timer::ServerHead(key) => self.server_head_timer(key),
                Timer::ServerReady(key) => self.server_ready_timer(key),
            }
        }
    }

    /// Accepts nothing new, and asks every client to leave in its protocol's words.
    pub fn drain(&mut self, now: Instant) {
        self.at(now);
        self.draining = true;
        for key in self.clients.keys().collect::<Vec<_>>() {
            self.ask_to_leave(key);
        }
    }

    /// Whether no client is left.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.connected_clients() == 0
    }
}
