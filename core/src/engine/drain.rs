//! Clients that are idle, or that are asked to leave.

use std::time::{Duration, Instant};

use meltemi_codec::{Drain, Status};
use rand::Rng;

use super::{
    ClientKey, Engine, Timer,
    client::{Client, Incoming, Phase},
};

impl Engine {
    /// The drain time is over: tells every client that waits for an answer, in its protocol's
    /// words, that there will be none, and closes each connection once that was sent.
    pub fn drain_is_over(&mut self, now: Instant) {
        self.now = now;
        self.draining = true;
        for client in self.clients.values_mut() {
            // Nothing of it has left, and nothing will.
            if let Some(parked) = client.parked.take() {
                self.buffered = self.buffered.saturating_sub(parked.bytes.len());
            }
            client.question = None;
            client.waiting = false;
        }
        self.close_tunnels();
        for key in self.exchanges.keys().collect::<Vec<_>>() {
            self.answer(key, Status::ShuttingDown, "the proxy is shutting down");
        }
        for key in self.clients.keys().collect::<Vec<_>>() {
            self.close_after_flush(key);
        }
    }

    /// Tells a client to go elsewhere, and closes its connection once it has been silent.
    pub(super) fn ask_to_leave(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.leaving || client.phase != Phase::Open {
            return;
        }
        client.leaving = true;
        self.scratch.clear();
        let quiet = match client.codec.drain(&mut self.scratch) {
            Drain::Announced => self.settings.drain_quiet,
            Drain::WhenIdle => Duration::ZERO,
        };
        self.answered_here(key);
        self.timers.set(self.now + quiet, Timer::ClientLeaving(key));
    }

    /// Closes a client that was asked to leave, if it is owed nothing and has been silent.
    pub(super) fn client_leaving(&mut self, key: ClientKey) {
        let mut quiet = self.settings.drain_quiet;
        let Some(client) = self.clients.get(key) else {
            return;
        };
        let last_call = client.last_call.map(|last| last <= self.now);
        if last_call == Some(true) {
            quiet = Duration::ZERO;
        }
        // In the middle of a transaction, for instance, nobody is silent.
        let bound = last_call == Some(false) && client.pin.is_some();
        let silent = self.now.saturating_duration_since(client.last_read) >= quiet;
        let busy = bound || !client.flights.is_empty() || !client.inbox.is_empty();
        if !busy && silent {
            self.close_after_flush(key);
        } else {
            let again = self.now + quiet.max(Duration::from_millis(50));
            self.timers.set(again, Timer::ClientLeaving(key));
        }
    }

    /// Lets a client stay for as long as its service says, less up to a tenth: those that came together
    /// do not leave together.
    pub(super) fn limit_age(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let service = self.tables.service(client.service);
        let longest = service.and_then(|service| service.longest);
        let known = client.age.map(|(longest, _)| longest);
        if longest == known {
            return;
        }
        if let Some((_, timer)) = client.age.take() {
            self.timers.cancel(timer);
        }
        client.age = longest.map(|longest| {
            let jitter: f64 = self.random.random_range(0.9..1.0);
            let due = client.opened + longest.mul_f64(jitter);
            // Where the rule is new, those that are too old leave over a tenth of the time, too.
            let soon = self.now + longest.mul_f64(1.0 - jitter);
            (
                longest,
                self.timers.set(due.max(soon), Timer::ClientAge(key)),
            )
        });
    }

    /// A client is connected for as long as it may.
    pub(super) fn client_aged(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.leaving || client.phase != Phase::Open {
            return;
        }
        client.last_call = Some(self.now + self.settings.leaving);
        client.metrics.connection_aged();
        self.ask_to_leave(key);
    }

    /// How long a client is left alone that sends nothing, and is sent nothing.
    fn client_idle(&self, key: ClientKey) -> Duration {
        let client = self.clients.get(key);
        let service = client.and_then(|client| self.tables.service(client.service));
        let idle = service.and_then(|service| service.idle);
        idle.unwrap_or(self.settings.client_idle)
    }

    /// How long a silent client is left alone.
    pub(super) fn client_period(&self, key: ClientKey) -> Duration {
        let idle = self.client_idle(key);
        let heartbeat = self
            .clients
            .get(key)
            .and_then(|client| client.traits.heartbeat);
        heartbeat.map_or(idle, |heartbeat| heartbeat.min(idle))
    }

    pub(super) fn client_timer(&mut self, key: ClientKey) {
        let period = self.client_period(key);
        let idle_limit = self.client_idle(key);
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        // When it was answered since it was last looked at nobody knows: it is idle from now on.
        if std::mem::replace(&mut client.owed, !client.flights.is_empty()) {
            client.last_told = self.now;
        }
        let last_active = client.last_read.max(client.last_told);
        let idle = self.now.saturating_duration_since(last_active);
        if idle >= idle_limit && !client.owed {
            return self.close_after_flush(key);
        }
        let silent = self.now.saturating_duration_since(client.last_read);
        // One that has said nothing yet may not speak the protocol.
        let is_heard = client.incoming != Incoming::First;
        if silent >= period && client.phase == Phase::Open && is_heard {
            self.scratch.clear();
            if client.codec.heartbeat(&mut self.scratch) {
                self.answered_here(key);
            }
        }
        let due = Some(last_active + period).filter(|due| *due > self.now);
        let due = due.unwrap_or(self.now + period);
        self.timers.set(due, Timer::Client(key));
    }

    /// A connection that a client had for itself goes with it.
    pub(super) fn release_servers_of(&mut self, client: &Client) {
        if let Some(pin) = client.pin {
            self.close_server(pin);
        }
    }
}
