//! A connection to a server ends: what it owed goes elsewhere, or is answered.

use std::time::Duration;

use meltemi_codec::Status;

use super::{
    Action, ConnectionId, Engine, ExchangeKey, ServerKey, client,
    exchange::End,
    outbox::Outbox,
    server::Server,
    tables::HostKey,
    wire_ids::{Attempt, AttemptKey},
};
use crate::{config::RetryOn, outlier::Outcome, telemetry::ResponseFlag};

/// For so long other endpoints come first where one ended a connection with requests on it.
///
/// Whoever dies ends its connections one after the other, and what it listens on last: meanwhile it takes
/// requests that are lost. On a busy machine that lasts some tens of milliseconds.
const DOUBT: Duration = Duration::from_millis(100);

/// Why a connection to a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It never came to be.
    Connect,
    /// The server closed it, or it broke.
    Reset,
    /// The server sent what is not of the protocol.
    Malformed,
    /// This proxy had to break it off in the middle of a request.
    Cut,
    /// It is there, but its handshake did not succeed.
    Handshake,
    /// The server refused what the connection was for; whoever waited was told.
    Refused,
}

impl Loss {
    fn status(self) -> Status {
        match self {
            Self::Connect | Self::Handshake => Status::ConnectFailure,
            Self::Reset | Self::Cut | Self::Refused => Status::UpstreamReset,
            Self::Malformed => Status::UpstreamMalformed,
        }
    }
}

/// The request of an attempt, if no byte of it has left.
pub(super) fn unsent<'a>(attempt: &Attempt, outbox: &'a Outbox) -> Option<&'a [u8]> {
    let length = usize::try_from(attempt.end - attempt.start).ok()?;
    outbox.from(attempt.start)?.get(..length)
}

impl Engine {
    pub(super) fn server_lost(&mut self, key: ServerKey, loss: Loss) {
        self.dissolve_runs(key);
        let Some(server) = self.servers.remove(key) else {
            return;
        };
        let blamed = self.forget_connection(key, &server, loss);
        let attempts = server.attempts.in_order();
        let lost = attempts.iter().filter_map(|(attempt_key, attempt)| {
            let waits = self.detach(*attempt_key, attempt, key, server.host);
            waits.then_some(attempt)
        });
        let lost: Vec<_> = lost.collect();
        self.choose_in_turn(&lost, &server.outbox);
        for attempt in lost {
            self.repeat_or_fail(attempt, &server.outbox, loss);
        }
        if let Some(owner) = server.owner
            && let Some(client) = self.clients.get_mut(owner)
            && client.pin == Some(key)
        {
            client.pin = None;
            // What the server knew of this client is gone: it has to start anew. Of one that was
            // never there its codec knows that it knows nothing.
            if !matches!(loss, Loss::Connect | Loss::Handshake) {
                self.close_after_flush(owner);
            }
        }
        if blamed {
            self.suspect(server.host);
        }
        self.tables.drop_host_if_unused(server.host);
    }

    /// Whether its loss counts against its endpoint.
    fn forget_connection(&mut self, key: ServerKey, server: &Server, loss: Loss) -> bool {
        self.buffered = self.buffered.saturating_sub(server.buffered());
        for timer in [server.stall, server.head, server.gathering]
            .into_iter()
            .flatten()
        {
            self.timers.cancel(timer);
        }
        if server.connected {
            server.metrics.connection_closed();
        }
        if loss == Loss::Connect {
            // The driver said so itself: it has no socket to drop.
            server.metrics.connect_failed();
        } else {
            self.actions
                .push_back(Action::Close(ConnectionId::Server(key)));
        }
        let Some(host) = self.tables.hosts.get_mut(server.host) else {
            return false;
        };
        host.forget(key);
        if host.connections.is_empty() {
            host.leaving = false;
        }
        let blame = match loss {
            Loss::Connect | Loss::Malformed | Loss::Handshake => true,
            Loss::Reset => !server.attempts.is_empty() || server.handshake.is_some(),
            Loss::Cut | Loss::Refused => false,
        };
        if blame {
            if loss == Loss::Reset {
                host.doubt(self.elapsed, DOUBT);
            }
            self.report(
                server.host,
                match loss {
                    Loss::Malformed => Outcome::SystemError,
                    _ => Outcome::Unreachable,
                },
            );
        }
        blame
    }

    /// Whether an exchange still waited for this attempt; from now on it does not.
    fn detach(
        &mut self,
        attempt_key: AttemptKey,
        attempt: &Attempt,
        server: ServerKey,
        host: HostKey,
    ) -> bool {
        if self.has_rival(attempt.exchange, server, attempt_key) {
            return false;
        }
        let Some(exchange) = self.exchanges.get_mut(attempt.exchange) else {
            return false;
        };
        let sent = exchange.attempt;
        let waits = sent.is_some_and(|sent| sent.is(server, attempt_key));
        if waits {
            exchange.attempt = None;
            exchange.attempt_over();
            if let Some(host) = self.tables.hosts.get_mut(host) {
                host.active = host.active.saturating_sub(1);
                host.metrics.attempts_finished(1);
            }
        }
        waits
    }

    /// A request of which no byte has left goes to the next candidate; nothing else is repeated, and
    /// nothing of a client that is gone.
    fn repeat_or_fail(&mut self, attempt: &Attempt, outbox: &Outbox, loss: Loss) {
        if self.is_for_nobody(attempt.exchange) {
            return self.finish(
                attempt.exchange,
                End::local(ResponseFlag::ClientDisconnected),
            );
        }
        let key = attempt.exchange;
        match unsent(attempt, outbox) {
            // What was kept is as the client sent it; what waited to be sent may not be.
            Some(_) if self.was_passed(key) => self.fail(key, loss.status()),
            Some(_) if self.is_in_turn(key) => {
                if !self.is_behind_another(key) {
                    self.send_now(key);
                }
            }
            Some(_) if self.is_kept(key) => self.send_again(key),
            Some(bytes) => {
                let whole = !self.is_arriving(key);
                self.attempt(key, bytes, whole);
            }
            None if self.is_in_turn(key) => self.retry(key, RetryOn::ResetBeforeBytes),
            None if self.keeps_turn(key) => self.fail(key, loss.status()),
            None => {
                if !self.is_retried(key, RetryOn::ResetBeforeBytes) {
                    self.fail(key, loss.status());
                }
            }
        }
    }

    pub(super) fn is_for_nobody(&self, key: ExchangeKey) -> bool {
        let client = self.exchanges.get(key).map(|exchange| exchange.client);
        let client = client.and_then(|client| self.clients.get(client));
        client.is_some_and(|client| client.phase == client::Phase::Closing)
    }

    fn is_kept(&self, key: ExchangeKey) -> bool {
        self.exchanges.get(key).is_some_and(|e| e.repeat.is_some())
    }

    fn is_arriving(&self, key: ExchangeKey) -> bool {
        self.exchanges
            .get(key)
            .and_then(|exchange| self.clients.get(exchange.client))
            .is_some_and(|client| {
                matches!(client.incoming, client::Incoming::Body { exchange, .. } if exchange == key)
            })
    }

    /// The server wants no new requests, or wants them again.
    pub(super) fn host_leaving(&mut self, key: ServerKey, leaving: bool) {
        let host = self.servers.get(key).map(|server| server.host);
        if let Some(host) = host.and_then(|host| self.tables.hosts.get_mut(host)) {
            host.leaving = leaving;
        }
    }
}
