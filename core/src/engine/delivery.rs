//! Bytes towards a client: in its turn, under its limits.

use std::num::NonZeroU64;

use meltemi_codec::{Downstream, Memo};

use super::{
    Action, ClientKey, ConnectionId, Engine, ExchangeKey, Timer,
    client::{Client, Held, Phase},
    exchange::End,
    exchange::Exchange,
    outbox::Spare,
};
use crate::telemetry::ResponseFlag;

/// The request that an answer is for, as its client's codec knows it.
#[derive(Clone, Copy)]
pub(super) struct Owed<'a> {
    pub(super) id: u64,
    pub(super) memo: &'a Memo,
}

/// The buffer that an answer with this turn is written to.
#[inline(always)]
pub(super) fn place<'a>(
    client: &'a mut Client,
    spare: &mut Spare,
    key: ExchangeKey,
    turn: Option<NonZeroU64>,
) -> (&'a mut dyn Downstream, &'a mut Vec<u8>) {
    let codec = client.codec.as_mut();
    let waiting = match (&mut client.lineup, turn) {
        (Some(lineup), Some(turn)) => lineup.place(turn),
        _ if client.writing.is_some_and(|other| other != key) => hold(&mut client.held, key),
        _ => None,
    };
    match waiting {
        Some(buffer) => (codec, buffer),
        None => (codec, client.outbox.append(spare)),
    }
}

/// The buffer of an answer that has to wait behind a large one.
fn hold(held: &mut Vec<Held>, exchange: ExchangeKey) -> Option<&mut Vec<u8>> {
    let index = held
        .iter()
        .position(|held| held.exchange == exchange && !held.done);
    let index = index.unwrap_or_else(|| {
        held.push(Held {
            exchange,
            bytes: Vec::new(),
            done: false,
        });
        held.len() - 1
    });
    held.get_mut(index).map(|held| &mut held.bytes)
}

impl Engine {
    /// Lets the client's codec write an answer, or a part of one, into its place. A flush is up to
    /// the caller, unless the exchange ends now.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        key: ExchangeKey,
        write: impl FnOnce(&mut dyn Downstream, Owed<'_>, &mut Vec<u8>),
    ) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(client) = self.clients.get_mut(exchange.client) else {
            return;
        };
        let (codec, out) = place(client, &mut self.spare, key, exchange.turn);
        let before = out.len();
        let request = Owed {
            id: exchange.id,
            memo: &exchange.memo,
        };
        write(codec, request, out);
        let grown = out.len() - before;
        exchange.response_bytes += grown as u64;
        self.buffered += grown;
        if let (Some(lineup), Some(turn)) = (&mut client.lineup, exchange.turn) {
            lineup.waits(turn, grown);
        }
    }

    /// Sends on what there is of an answer that goes on.
    pub(super) fn flush_answer(&mut self, key: ExchangeKey) {
        if let Some(exchange) = self.exchanges.get(key) {
            self.flush_client(exchange.client);
        }
    }

    /// The answer is complete: whatever waited for it may follow.
    #[inline(always)]
    pub(super) fn answer_ends(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        exchange.answered = true;
        let turn = exchange.turn.take();
        let client_key = exchange.client;
        self.large_is_over(client_key, key);
        let Some(client) = self.clients.get_mut(client_key) else {
            return;
        };
        if let (Some(lineup), Some(turn)) = (&mut client.lineup, turn) {
            let exchange = || self.exchanges.get(key);
            if !lineup.is_front(turn) && exchange().is_some_and(Exchange::is_hashed) {
                client.outrun = client.outrun.max(NonZeroU64::new(turn.get() - 1));
            }
            lineup.leave(turn, client.outbox.append(&mut self.spare));
        }
        if client.writing == Some(key) {
            client.writing = None;
            self.write_held(client_key);
        } else if let Some(held) = client.held.iter_mut().find(|held| held.exchange == key) {
            held.done = true;
        }
    }

    /// A large answer is complete: what is whole behind it follows, then the next large one.
    pub(super) fn write_held(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let out = client.outbox.append(&mut self.spare);
        client.held.retain_mut(|held| {
            if held.done {
                out.append(&mut held.bytes);
            }
            !held.done
        });
        if !client.held.is_empty() {
            let mut next = client.held.remove(0);
            out.append(&mut next.bytes);
            client.writing = Some(next.exchange);
        }
    }

    /// Forgets what waits of an answer that will not be complete. False: a part of it has left.
    pub(super) fn take_back(&mut self, key: ExchangeKey) -> bool {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return true;
        };
        let Some(client) = self.clients.get_mut(exchange.client) else {
            return true;
        };
        if exchange.answered || exchange.response_bytes == 0 {
            return true;
        }
        if let (Some(lineup), Some(turn)) = (&mut client.lineup, exchange.turn) {
            let forgotten = lineup.forget(turn);
            self.buffered = self.buffered.saturating_sub(forgotten.unwrap_or(0));
            return forgotten.is_some();
        }
        if client.writing == Some(key) {
            return false;
        }
        let before = client.held_bytes();
        client.held.retain(|held| held.exchange != key || held.done);
        self.buffered = self.buffered.saturating_sub(before - client.held_bytes());
        true
    }

    /// What a codec answered itself, in its turn.
    pub(super) fn answered_here(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if self.scratch.is_empty() {
            return;
        }
        self.buffered += self.scratch.len();
        match &mut client.lineup {
            Some(lineup) => {
                let turn = lineup.join();
                lineup.waits(turn, self.scratch.len());
                match lineup.place(turn) {
                    Some(buffer) => buffer.append(&mut self.scratch),
                    None => client
                        .outbox
                        .append(&mut self.spare)
                        .append(&mut self.scratch),
                }
                lineup.leave(turn, client.outbox.append(&mut self.spare));
            }
            None if client.writing.is_some() => client.held.push(Held {
                exchange: ExchangeKey::default(),
                bytes: std::mem::take(&mut self.scratch),
                done: true,
            }),
            None => client
                .outbox
                .append(&mut self.spare)
                .append(&mut self.scratch),
        }
        self.flush_client(key);
    }

    /// Asks for a flush, and enforces the client's limits.
    #[inline]
    pub(super) fn flush_client(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.unsent_bytes() > self.settings.client_limit {
            return self.abandon_client(key);
        }
        if client.take_flush() {
            self.actions
                .push_back(Action::Flush(ConnectionId::Client(key)));
        }
        self.reconsider_client(key);
    }

    pub(super) fn client_sent(&mut self, key: ClientKey, n: usize) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let n = n.min(client.outbox.len());
        client.outbox.consume(n, &mut self.spare);
        self.buffered = self.buffered.saturating_sub(n);
        if let Some(timer) = client.stall.take() {
            self.timers.cancel(timer);
        }
        if client.outbox.is_empty() {
            if client.phase == Phase::Closing {
                return self.close_client(key);
            }
        } else {
            let due = self.now + self.settings.stall;
            client.stall = Some(self.timers.set(due, Timer::ClientStall(key)));
        }
        self.reconsider_client(key);
    }

    /// Stops or resumes reading of a client, and of the server whose large answer it is reading.
    #[inline(always)]
    pub(super) fn reconsider_client(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        let welcome = self.request_window_open(client)
            && client.outbox.len() <= self.settings.client_pause
            && client.flights.len() < self.settings.in_flight_per_client
            && client.phase == Phase::Open;
        let is_paced = !client.large.is_empty();
        if welcome != client.reading {
            if welcome {
                self.actions
                    .push_back(Action::Resume(ConnectionId::Client(key)));
            }
            if let Some(client) = self.clients.get_mut(key) {
                client.reading = welcome;
            }
        }
        if is_paced {
            self.reconsider_writers(key);
        }
    }

    /// What one event has brought about is complete: answers leave, and clients that only waited for
    /// them may go.
    #[inline(never)]
    pub(super) fn end_turn(&mut self) {
        loop {
            if !self.answered.is_empty() {
                let mut answered = std::mem::take(&mut self.answered);
                for client in answered.drain(..) {
                    self.send_off(client);
                }
                if self.answered.is_empty() {
                    self.answered = answered;
                }
            } else if let Some(client) = self.unparked.pop() {
                self.unpark(client);
            } else {
                return;
            }
        }
    }

    /// What a client was answered leaves.
    fn send_off(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.answered = false;
        if client.flights.is_empty() && client.is_busy() {
            self.unparked.push(key);
        }
        if client.phase != Phase::Finishing || client.is_busy() {
            return self.flush_client(key);
        }
        if client.take_flush() {
            self.actions
                .push_back(Action::Flush(ConnectionId::Client(key)));
        }
        self.close_after_flush(key);
    }

    /// Closes once everything has left.
    pub(super) fn close_after_flush(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.phase = Phase::Closing;
        client.reading = false;
        // Whatever its own connection keeps for it (a lock, a subscription), it is not coming back.
        let pin = client.pin.filter(|_| client.flights.is_empty());
        if let Some(pin) = pin {
            client.pin = None;
            self.close_server(pin);
        }
        let Some(client) = self.clients.get(key) else {
            return;
        };
        if client.outbox.is_empty() {
            self.close_client(key);
        }
    }

    /// The client is gone, or is to be: nothing more is sent to it.
    pub(super) fn abandon_client(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key) {
            client.phase = Phase::Closing;
            for exchange in client.flights.all() {
                self.finish(exchange, End::local(ResponseFlag::ClientDisconnected));
            }
            self.close_client(key);
        }
    }

    pub(super) fn close_client(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        for exchange in client.flights.all() {
            self.finish(exchange, End::local(ResponseFlag::ClientDisconnected));
        }
        let Some(client) = self.clients.remove(key) else {
            return;
        };
        let age = client.age.map(|(_, timer)| timer);
        for timer in [client.stall, age].into_iter().flatten() {
            self.timers.cancel(timer);
        }
        self.buffered = self
            .buffered
            .saturating_sub(client.unsent_bytes() + client.inbox.len());
        if let Some(parked) = &client.parked {
            self.buffered = self.buffered.saturating_sub(parked.bytes.len());
        }
        client.metrics.connection_closed();
        self.release_servers_of(&client);
        self.actions
            .push_back(Action::Close(ConnectionId::Client(key)));
    }
}
