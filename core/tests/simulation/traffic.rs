//! What moves: bytes, connections that come to be or end, time.

use std::time::{Duration, Instant};

use meltemi_core::config::Address;
use meltemi_core::engine::{ConnectionId, Relay};
use rand::Rng;

use super::World;
use crate::server::ServerConnection;

impl World {
    pub(super) fn client_writes(&mut self) {
        if let Some(key) = self.some_client() {
            let most = self.random.random_range(1..3000);
            self.client_writes_up_to(key, most);
        }
    }

    pub(super) fn client_writes_up_to(&mut self, key: u64, most: usize) -> bool {
        let Some(client) = self.clients.get_mut(&key) else {
            return false;
        };
        if client.closed || client.to_engine.is_empty() || !self.engine.wants_read(client.id) {
            return false;
        }
        let n = most.min(client.to_engine.len());
        let bytes: Vec<u8> = client.to_engine.drain(..n).collect();
        let id = client.id;
        self.arrives(id, &bytes);
        true
    }

    /// Bytes arrive at the engine. Of a large body some may have left already when it hears of them.
    fn arrives(&mut self, id: ConnectionId, bytes: &[u8]) {
        let now = self.instant();
        let relay = self.engine.relay(id).filter(|_| self.random.random());
        let Some(Relay { to, most }) = relay else {
            return self.engine.received(id, bytes, now);
        };
        assert!(self.engine.unsent(to).is_empty(), "others go first");
        let most = self.random.random_range(0..=bytes.len().min(most));
        let (gone, arrived) = self.writes_at_once(to, &bytes[..most]);
        self.totals.relayed += gone as u64;
        self.engine.relayed(id, bytes, gone, now);
        for (nonce, address) in arrived {
            self.delivered(nonce, &address);
        }
    }

    /// Writes to a peer what is not the engine's: how much it took, and the requests that became whole with it.
    fn writes_at_once(&mut self, to: ConnectionId, bytes: &[u8]) -> (usize, Vec<(u64, Address)>) {
        let client = self.clients.values_mut().find(|client| client.id == to);
        if let Some(client) = client.filter(|client| !client.closed && !client.frozen) {
            client.read(bytes);
            return (bytes.len(), Vec::new());
        }
        let server = self.servers.iter_mut().find(|server| server.id == to);
        let Some(server) = server.filter(|server| !server.frozen && !server.broken) else {
            return (0, Vec::new());
        };
        let arrived = server.read(bytes, self.now, self.manners, &mut self.random);
        let address = server.address.clone();
        let arrived = arrived.into_iter().map(|nonce| (nonce, address.clone()));
        (bytes.len(), arrived.collect())
    }

    pub(super) fn client_reads(&mut self) {
        if let Some(key) = self.some_client() {
            let most = self.random.random_range(1..3000);
            self.client_reads_up_to(key, most);
        }
    }

    pub(super) fn client_reads_up_to(&mut self, key: u64, most: usize) -> bool {
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

    pub(super) fn server_reads(&mut self) {
        let index = self.random.random_range(0..self.servers.len().max(1));
        let most = self.random.random_range(1..3000);
        self.server_reads_up_to(index, most);
    }

    pub(super) fn server_reads_up_to(&mut self, index: usize, most: usize) -> bool {
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

    pub(super) fn server_writes(&mut self) {
        let index = self.random.random_range(0..self.servers.len().max(1));
        let most = self.random.random_range(1..5000);
        self.server_writes_up_to(index, most);
    }

    pub(super) fn server_writes_up_to(&mut self, index: usize, most: usize) -> bool {
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
        let id = server.id;
        self.arrives(id, &bytes);
        true
    }

    /// Time passes: connections come to be or not, deadlines pass.
    pub(super) fn pass(&mut self, time: Duration) {
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
    pub(super) fn decide(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.verdicts)
            .into_iter()
            .partition(|(at, ..)| *at <= self.now);
        self.verdicts = later;
        for (_, id, verdict, until) in due {
            self.totals.late_verdicts += u64::from(until <= now);
            self.engine.decided(id, verdict, now);
        }
    }

    pub(super) fn client_leaves(&mut self) {
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

    pub(super) fn server_breaks(&mut self) {
        let index = self.random.random_range(0..self.servers.len().max(1));
        if self.manners.breaks > 0 && index < self.servers.len() {
            let server = self.servers.remove(index);
            self.totals.broken_connections += 1;
            let now = self.instant();
            self.engine.failed(server.id, now);
        }
    }

    pub(super) fn freeze(&mut self) {
        if let Some(key) = self.some_client() {
            let client = self.clients.get_mut(&key).unwrap();
            client.frozen = !client.frozen;
        }
        let index = self.random.random_range(0..self.servers.len().max(1));
        if let Some(server) = self.servers.get_mut(index) {
            server.frozen = !server.frozen;
        }
    }

    pub(super) fn move_everything(&mut self) {
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
