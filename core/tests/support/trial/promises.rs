//! What the engine promises, and what the driver does for it.

use std::collections::HashSet;
use std::time::Duration;

use meltemi_core::engine::{Action, ConnectionId};

use super::{BUFFERED, ROUNDS, Trial};

impl Trial<'_> {
    /// Does what the engine asks the driver to do.
    pub(super) fn perform(&mut self) {
        let mut resumed = HashSet::new();
        while let Some(action) = self.engine.next_action() {
            match action {
                Action::Connect { id, protocol, .. } => {
                    assert!(!self.gone.contains(&id), "{id:?} is used again");
                    let mut speeches = self.speeches.iter();
                    let speech = speeches.find(|speech| speech.protocol.id() == protocol);
                    let speech = speech.expect("a protocol that nobody configured").clone();
                    self.connecting.push((id, speech));
                }
                Action::Flush(id) => {
                    assert!(!self.gone.contains(&id), "{id:?} is gone, and flushed");
                    self.flushing.insert(id);
                }
                Action::Resume(id) => {
                    resumed.insert(id);
                }
                Action::Close(id) => self.close(id),
                Action::Report(_) | Action::Ask(_) => {}
                Action::Reset(_) | Action::Shutdown(_) | Action::Rename { .. } => {}
            }
        }
        self.look_at_reading(&resumed);
    }

    fn close(&mut self, id: ConnectionId) {
        assert!(self.gone.insert(id), "{id:?} is closed twice");
        self.clients.retain(|client| client.id != id);
        self.servers.retain(|server| server.id != id);
        self.connecting.retain(|(other, _)| *other != id);
        self.flushing.remove(&id);
        assert!(self.engine.unsent(id).is_empty(), "{id:?} has more to say");
        assert!(!self.engine.wants_read(id), "{id:?} has more to hear");
    }

    fn connected(&self) -> Vec<ConnectionId> {
        let clients = self.clients.iter().map(|client| client.id);
        let servers = self.servers.iter().map(|server| server.id);
        clients.chain(servers).collect()
    }

    /// A driver that waits looks again only when it is told to.
    fn look_at_reading(&mut self, resumed: &HashSet<ConnectionId>) {
        for id in self.connected() {
            let reading = self.engine.wants_read(id);
            let before = self.reading.insert(id, reading);
            assert!(
                !reading || before != Some(false) || resumed.contains(&id),
                "{id:?} is to be read again, and nobody says so"
            );
        }
    }

    pub(super) fn check(&mut self) {
        for id in self.connected() {
            if self.engine.unsent(id).is_empty() {
                self.flushing.remove(&id);
            } else {
                assert!(
                    self.flushing.contains(&id),
                    "{id:?} has something to say, and nobody says so"
                );
            }
        }
        let status = self.engine.status();
        assert_eq!(status.clients, self.clients.len(), "clients");
        let servers = self.servers.len() + self.connecting.len();
        assert_eq!(status.servers, servers, "connections to servers");
        assert!(status.buffered < BUFFERED, "{} bytes", status.buffered);
    }

    /// Moves all bytes until none is left. Where connections are refused, none is made from now on.
    pub(super) fn move_everything(&mut self, refuse: bool) {
        for _ in 0..ROUNDS {
            let mut moved = false;
            for id in self.connected() {
                moved |= self.hear_client(id, usize::MAX) | self.tell_client(id, usize::MAX);
                moved |= self.tell_server(id, usize::MAX) | self.hear_server(id, usize::MAX);
                self.perform();
            }
            while refuse && let Some((id, _)) = self.connecting.pop() {
                moved = true;
                self.gone.insert(id);
                self.engine.connect_failed(id, self.now);
                self.perform();
            }
            self.check();
            if !moved {
                return;
            }
        }
        panic!("bytes move without end");
    }

    /// No server is left, nobody keeps bytes to itself, and time passes: whatever is owed is
    /// answered now, and when the clients leave nothing may be left.
    pub(super) fn end(&mut self) {
        self.move_everything(true);
        while let Some(server) = self.servers.last() {
            let id = server.id;
            self.engine.failed(id, self.now);
            self.perform();
            self.check();
            self.move_everything(true);
        }
        for millis in [101, 201, 301, 2_001, 2_001] {
            self.tick(Duration::from_millis(millis));
            self.perform();
            self.check();
            self.move_everything(true);
        }
        for client in &self.clients {
            let owed = client.unanswered();
            assert!(owed.is_none(), "{:?} waits for ever: {owed:?}", client.id);
        }
        while let Some(client) = self.clients.last() {
            let id = client.id;
            self.engine.failed(id, self.now);
            self.perform();
            self.check();
        }
        let status = self.engine.status();
        assert_eq!(status.clients, 0);
        assert_eq!(status.in_flight, 0, "exchanges leak");
        let active: u32 = status.hosts.iter().map(|host| host.active).sum();
        assert_eq!(active, 0, "endpoints keep requests that are over");
        assert_eq!(status.buffered, 0, "buffered bytes leak");
    }
}
