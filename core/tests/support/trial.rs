//! The engine under whatever a fuzzer makes up: each byte of the input is a choice, and after each
//! step the engine's promises to its driver and its peers are held against it.

mod client;
mod input;
mod leg;
mod promises;
mod server;
mod settings;
mod speech;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use meltemi_codec::Limits;
use meltemi_core::engine::{ConnectionId, Engine, Settings};
use meltemi_core::protocols::Protocols;
use meltemi_core::telemetry::Telemetry;

use client::Client;
use input::Input;
use server::Server;
use settings::{CLUSTER, LISTENER, addresses, snapshot, tight};
use speech::Mark;
pub(crate) use speech::{PLAIN, REPLY, Say, Speech};

/// Bytes that the engine may hold, whatever happens.
const BUFFERED: usize = 16 * 1024 * 1024;
const CLIENTS: usize = 6;
/// Rounds after which nothing may move any more.
const ROUNDS: usize = 1_000;

/// Runs one schedule to its end.
///
/// # Panics
/// Where the engine breaks a promise.
pub(crate) fn run(speeches: &[Speech], data: &[u8]) {
    let mut input = Input::new(data);
    let mut trial = Trial::new(speeches, &mut input);
    while !input.is_empty() {
        trial.step(&mut input);
        trial.check();
    }
    trial.end();
}

struct Trial<'a> {
    speeches: &'a [Speech],
    /// Which of them the service speaks now.
    current: usize,
    settings: Settings,
    engine: Engine,
    now: Instant,
    clients: Vec<Client>,
    connecting: Vec<(ConnectionId, Speech)>,
    servers: Vec<Server>,
    /// A server said what is not an answer to what it was asked: from then on answers prove nothing.
    rude: bool,
    /// Requests so far.
    requests: u64,
    /// Requests that arrived at a server.
    arrived: HashSet<Mark>,
    /// Connections that the engine let go of, or was told to.
    gone: HashSet<ConnectionId>,
    /// Connections whose unsent bytes the driver was told of.
    flushing: HashSet<ConnectionId>,
    /// What [`Engine::wants_read`] said of each connection when the driver last looked.
    reading: HashMap<ConnectionId, bool>,
}

impl<'a> Trial<'a> {
    fn new(speeches: &'a [Speech], input: &mut Input<'_>) -> Self {
        let settings = tight(input.byte());
        let protocols = Protocols::new(speeches.iter().map(|s| Arc::clone(&s.protocol)));
        let now = Instant::now();
        let telemetry = Telemetry::new().worker();
        let seed = u64::from(input.byte());
        let mut trial = Self {
            speeches,
            current: 0,
            engine: Engine::new(settings, Arc::new(protocols), telemetry, seed, now),
            settings,
            now,
            clients: Vec::new(),
            connecting: Vec::new(),
            servers: Vec::new(),
            rude: false,
            requests: 0,
            arrived: HashSet::new(),
            gone: HashSet::new(),
            flushing: HashSet::new(),
            reading: HashMap::new(),
        };
        trial.configure(input);
        trial.perform();
        trial
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 18 {
            0 => self.accept(),
            1..=3 => self.ask(input),
            4 => self.client_raves(input),
            5 => self.client_writes(input),
            6 => self.client_reads(input),
            7 => self.server_reads(input),
            8 | 9 => self.answer(input),
            10 => self.server_raves(input),
            11 => self.server_writes(input),
            12 => self.connect(input),
            13 => self.pass(input),
            14 => self.client_leaves(input),
            15 => self.server_leaves(input),
            16 => self.configure(input),
            _ => self.rare(input),
        }
        self.perform();
    }

    fn limits(&self, speech: &Speech) -> Limits {
        Limits {
            whole: self.settings.whole,
            frame: speech.protocol.traits().frame_limit,
        }
    }

    fn accept(&mut self) {
        if self.clients.len() >= CLIENTS {
            return;
        }
        if let Some(id) = self.engine.accept(LISTENER, None, self.now) {
            let speech = self.speeches[self.current].clone();
            let limits = self.limits(&speech);
            self.clients.push(Client::new(id, speech, limits));
        }
    }

    /// A request, or another thing that a client may say.
    fn ask(&mut self, input: &mut Input<'_>) {
        if self.clients.is_empty() {
            self.accept();
        }
        let Some(client) = chosen(&mut self.clients, input) else {
            return;
        };
        let kind = input.byte();
        let size = input.size();
        let mark = Mark::new(self.requests).text();
        self.requests += 1;
        let (kind, id) = match client.calls.pop_front() {
            Some(call) if kind & 1 == 1 => (REPLY, call),
            Some(call) => {
                client.calls.push_front(call);
                (kind, client.next_id)
            }
            None => (kind, client.next_id),
        };
        client.next_id += u64::from(kind != REPLY);
        let say = Say {
            kind,
            id,
            mark: &mark,
            size,
        };
        let bytes = (client.speech.client)(say);
        if !client.ended {
            client.to_engine.extend(bytes);
        }
        // Half of the time at once.
        if kind & 0x80 == 0 {
            let id = client.id;
            self.hear_client(id, usize::MAX);
        }
    }

    fn client_raves(&mut self, input: &mut Input<'_>) {
        let Some(client) = chosen(&mut self.clients, input) else {
            return;
        };
        let bytes = input.bytes();
        if !client.ended {
            client.to_engine.extend(bytes);
        }
        let id = client.id;
        self.hear_client(id, usize::MAX);
    }

    fn client_writes(&mut self, input: &mut Input<'_>) {
        if let Some(client) = chosen(&mut self.clients, input) {
            let (id, most) = (client.id, input.part(client.to_engine.len()));
            self.hear_client(id, most);
        }
    }

    /// The engine reads what this client wrote. False: nothing, or it does not want to.
    fn hear_client(&mut self, id: ConnectionId, most: usize) -> bool {
        let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else {
            return false;
        };
        let n = most.min(client.to_engine.len());
        if n == 0 || !self.engine.wants_read(id) {
            return false;
        }
        let rest = client.to_engine.split_off(n);
        let bytes = std::mem::replace(&mut client.to_engine, rest);
        client.said(&bytes);
        self.engine.received(id, &bytes, self.now);
        true
    }

    fn client_reads(&mut self, input: &mut Input<'_>) {
        if let Some(client) = chosen(&mut self.clients, input) {
            let id = client.id;
            let most = input.part(self.engine.unsent(id).len());
            self.tell_client(id, most);
        }
    }

    fn tell_client(&mut self, id: ConnectionId, most: usize) -> bool {
        let Some(client) = self.clients.iter_mut().find(|client| client.id == id) else {
            return false;
        };
        let unsent = self.engine.unsent(id);
        let n = most.min(unsent.len());
        if n == 0 {
            return false;
        }
        client.hears(&unsent[..n], !self.rude);
        self.engine.sent(id, n, self.now);
        true
    }

    fn server_reads(&mut self, input: &mut Input<'_>) {
        if let Some(server) = chosen(&mut self.servers, input) {
            let id = server.id;
            let most = input.part(self.engine.unsent(id).len());
            self.tell_server(id, most);
        }
    }

    fn tell_server(&mut self, id: ConnectionId, most: usize) -> bool {
        let Some(server) = self.servers.iter_mut().find(|server| server.id == id) else {
            return false;
        };
        let unsent = self.engine.unsent(id);
        let n = most.min(unsent.len());
        if n == 0 {
            return false;
        }
        for mark in server.hears(&unsent[..n]) {
            assert!(self.arrived.insert(mark), "a request arrives twice");
        }
        self.engine.sent(id, n, self.now);
        true
    }

    /// An answer to what a server was asked, or another thing that a server may say.
    fn answer(&mut self, input: &mut Input<'_>) {
        let Some(server) = chosen(&mut self.servers, input) else {
            return;
        };
        let (kind, which, size) = (input.byte(), input.byte(), input.size());
        let speech = server.speech.server;
        let asked = match kind % 4 {
            3 => None,
            _ => server.take(which),
        };
        let bytes = match asked {
            Some(asked) if !asked.reply.is_empty() => asked.reply,
            Some(asked) => {
                let mark = asked.mark.filter(|_| !self.rude).map(Mark::text);
                speech(Say {
                    kind: kind % 4,
                    id: asked.id,
                    mark: &mark.unwrap_or_default(),
                    size,
                })
            }
            None => {
                server.next_call += 1;
                speech(Say {
                    kind: 3 + (kind / 4) % 16,
                    id: server.next_call,
                    mark: "",
                    size,
                })
            }
        };
        server.to_engine.extend(bytes);
        if kind & 0x80 == 0 {
            let id = server.id;
            self.hear_server(id, usize::MAX);
        }
    }

    fn server_raves(&mut self, input: &mut Input<'_>) {
        let Some(server) = chosen(&mut self.servers, input) else {
            return;
        };
        self.rude = true;
        server.to_engine.extend(input.bytes());
        let id = server.id;
        self.hear_server(id, usize::MAX);
    }

    fn server_writes(&mut self, input: &mut Input<'_>) {
        if let Some(server) = chosen(&mut self.servers, input) {
            let (id, most) = (server.id, input.part(server.to_engine.len()));
            self.hear_server(id, most);
        }
    }

    fn hear_server(&mut self, id: ConnectionId, most: usize) -> bool {
        let Some(server) = self.servers.iter_mut().find(|server| server.id == id) else {
            return false;
        };
        let n = most.min(server.to_engine.len());
        if n == 0 || !self.engine.wants_read(id) {
            return false;
        }
        let rest = server.to_engine.split_off(n);
        let bytes = std::mem::replace(&mut server.to_engine, rest);
        self.engine.received(id, &bytes, self.now);
        true
    }

    /// A connection that was asked for is there, or is not to be had.
    fn connect(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        if self.connecting.is_empty() {
            return;
        }
        let index = usize::from(choice >> 2) % self.connecting.len();
        let (id, speech) = self.connecting.remove(index);
        if choice & 3 == 3 {
            self.gone.insert(id);
            return self.engine.connect_failed(id, self.now);
        }
        let limits = self.limits(&speech);
        self.servers.push(Server::new(id, speech, limits));
        self.engine.connected(id, self.now);
    }

    fn pass(&mut self, input: &mut Input<'_>) {
        const MILLIS: [u64; 12] = [
            1, 9, 50, 100, 301, 1_000, 2_001, 9_000, 30_001, 60_000, 301_000, 3_700_000,
        ];
        let millis = input.among(&MILLIS).unwrap_or(1);
        self.tick(Duration::from_millis(millis));
    }

    fn tick(&mut self, time: Duration) {
        self.now += time;
        self.engine.tick(self.now);
        let due = self.engine.deadline();
        assert!(
            due.is_none_or(|due| due > self.now),
            "a deadline is left behind: the driver would tick without end"
        );
    }

    fn client_leaves(&mut self, input: &mut Input<'_>) {
        let Some(client) = chosen(&mut self.clients, input) else {
            return;
        };
        let id = client.id;
        if input.byte() & 1 == 0 {
            self.engine.failed(id, self.now);
        } else if self.engine.wants_read(id) && !client.ended && client.to_engine.is_empty() {
            client.ended = true;
            self.engine.end_of_file(id, self.now);
        }
    }

    fn server_leaves(&mut self, input: &mut Input<'_>) {
        let Some(server) = chosen(&mut self.servers, input) else {
            return;
        };
        if input.byte() & 1 == 0 {
            self.engine.failed(server.id, self.now);
        } else if self.engine.wants_read(server.id) {
            self.engine.end_of_file(server.id, self.now);
        }
    }

    fn configure(&mut self, input: &mut Input<'_>) {
        let (shape, endpoints) = (input.byte(), input.byte());
        self.current = usize::from(shape >> 6) % self.speeches.len();
        let protocol = self.speeches[self.current].protocol.id();
        let snapshot = snapshot(protocol, shape, endpoints);
        self.engine.configure(&snapshot, self.now);
    }

    fn rare(&mut self, input: &mut Input<'_>) {
        match input.byte() {
            0..=7 => self.engine.drain(self.now),
            choice @ 8..=63 => self
                .engine
                .set_ejected(CLUSTER, &addresses(choice), self.now),
            64..=127 => self.move_everything(true),
            _ => {
                while let Some((id, speech)) = self.connecting.pop() {
                    let limits = self.limits(&speech);
                    self.servers.push(Server::new(id, speech, limits));
                    self.engine.connected(id, self.now);
                }
                self.perform();
                self.move_everything(false);
            }
        }
    }
}

/// One of them, if there is one.
fn chosen<'a, T>(among: &'a mut [T], input: &mut Input<'_>) -> Option<&'a mut T> {
    let index = usize::from(input.byte()).checked_rem(among.len())?;
    among.get_mut(index)
}
