//! Connections to an endpoint: as few as the limits allow, shared unless a request needs its own.

use meltemi_codec::{Open, Sharing};

use super::{
    Action, ClientKey, ConnectionId, Engine, ExchangeKey, ServerKey, Timer,
    lost::Loss,
    server::{Line, Server},
    tables::{HostKey, Limit},
};
use crate::circuit::Permit;

/// A connection to send a request on.
pub(super) enum Checkout {
    Use(ServerKey),
    /// Every connection that the limits allow is full.
    Full,
    /// As many requests are under way, or wait for a connection, as may.
    Refused(Limit),
}

/// Why there is no further connection to an endpoint.
pub(super) enum NoMore {
    /// It has as many of this worker's as it may have.
    Enough,
    /// A bound that workers share: of its cluster's connections, or of those to it that are not the first of their worker.
    Overflow,
}

impl Engine {
    pub(super) fn checkout(&mut self, host: HostKey, key: ExchangeKey) -> Checkout {
        let Some(exchange) = self.exchanges.get(key) else {
            return Checkout::Full;
        };
        let Some(to) = &exchange.to else {
            return Checkout::Full;
        };
        let client = exchange.client;
        let sharing = to.dialect.traits.sharing;
        let own =
            exchange.needs_its_own() || matches!(sharing, Sharing::PerClient | Sharing::Exclusive);
        let found = self.ready(host, (own, sharing), |line| line.carries(exchange));
        let line = match found {
            Some(_) => None,
            None => match self.refuses_new(key) {
                Some(limit) => return Checkout::Refused(limit),
                None => Line::of(exchange),
            },
        };
        let server_key = match (found, line) {
            (Some(found), _) => found,
            (None, Some(line)) => match self.open(host, own, line) {
                Ok(opened) => opened,
                Err(why) => return self.full(host, &why),
            },
            (None, None) => return Checkout::Full,
        };
        if own {
            self.give_to(server_key, client);
        }
        Checkout::Use(server_key)
    }

    fn full(&self, host: HostKey, why: &NoMore) -> Checkout {
        if let (NoMore::Overflow, Some(host)) = (why, self.tables.hosts.get(host)) {
            host.metrics.connection_overflowed();
        }
        Checkout::Full
    }

    /// A connection to the endpoint that may take a request more: one that nobody uses where the
    /// request needs its own.
    #[inline(always)]
    pub(super) fn ready(
        &self,
        host: HostKey,
        (own, sharing): (bool, Sharing),
        carries: impl Fn(&Line) -> bool,
    ) -> Option<ServerKey> {
        let depth = match sharing {
            Sharing::Pipeline { depth } => usize::from(depth),
            _ => self.settings.in_flight_per_connection,
        };
        let host = self.tables.hosts.get(host)?;
        host.shared.iter().copied().find(|server| {
            self.servers.get(*server).is_some_and(|server| {
                if !carries(&server.line) {
                    false
                } else if own {
                    server.is_free()
                } else {
                    server.takes_more(depth, self.settings.unsent_per_connection)
                }
            })
        })
    }

    /// From now on the connection serves this client alone: nothing of others joins it.
    pub(super) fn give_to(&mut self, key: ServerKey, client: ClientKey) {
        if let Some(server) = self.servers.get_mut(key) {
            server.owner = Some(client);
            if let Some(host) = self.tables.hosts.get_mut(server.host) {
                host.shared.retain(|other| *other != key);
            }
        }
    }

    /// Opens another connection, if the limits allow one.
    pub(super) fn open(
        &mut self,
        host_key: HostKey,
        own: bool,
        line: Line,
    ) -> Result<ServerKey, NoMore> {
        let host = self.tables.hosts.get(host_key).ok_or(NoMore::Enough)?;
        let (open, most) = if own {
            let owned = host.connections.len() - host.shared.len();
            (owned, self.settings.own_connections_per_endpoint)
        } else {
            let same = |key: &&ServerKey| {
                let server = self.servers.get(**key);
                server.is_some_and(|s| s.line == line && !s.retiring)
            };
            let same = host.shared.iter().filter(same).count();
            (same, self.settings.connections_per_endpoint)
        };
        if open >= most {
            return Err(NoMore::Enough);
        }
        let further = match own || open == 0 {
            true => None,
            false => {
                let further = host.further(self.settings.further_connections_per_endpoint);
                Some(further.ok_or(NoMore::Overflow)?)
            }
        };
        let permit = self.permit(host_key).ok_or(NoMore::Overflow)?;
        let host = self.tables.hosts.get_mut(host_key);
        let host = host.ok_or(NoMore::Enough)?;
        let at = (host_key, host.metrics.clone(), permit);
        let mut server = Server::new(line, self.settings.whole, at, self.now);
        server.further = further;
        let before = server.outbox.len();
        if server.codec.open(server.outbox.append(&mut self.spare)) == Open::Await {
            server.handshake = Some(server.outbox.end());
        }
        self.buffered += server.outbox.len() - before;
        let protocol = server.line.dialect.protocol.id();
        let key = self.servers.insert(server);
        host.connections.push(key);
        host.shared.push(key);
        self.actions.push_back(Action::Connect {
            id: ConnectionId::Server(key),
            address: host.address.clone(),
            protocol,
            keepalive: host.dial.keepalive,
            tls: host.dial.tls.clone(),
            timeout: host.dial.timeout,
        });
        Ok(key)
    }

    /// A place among the connections of the cluster. One that nobody uses, and that is of no use to
    /// whoever asks, makes room.
    fn permit(&mut self, key: HostKey) -> Option<Permit> {
        let host = self.tables.hosts.get(key)?;
        if let Some(permit) = host.permit() {
            return Some(permit);
        }
        let mut shared = host.shared.iter();
        let idle = shared.find(|key| self.servers.get(**key).is_some_and(Server::is_free));
        if let Some(idle) = idle.copied() {
            self.close_server(idle);
        }
        self.tables.hosts.get(key)?.permit()
    }

    pub(super) fn server_connected(&mut self, key: ServerKey) {
        let period = self.server_period(key);
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        server.connected = true;
        server.last_read = self.now;
        server.last_used = self.now;
        server.metrics.connection_opened();
        if server.is_ready() {
            server.permit.ready();
        }
        let host = self.tables.hosts.get(server.host);
        if server.handshake.is_some()
            && let Some(host) = host
        {
            let due = self.now + host.dial.timeout;
            self.timers.set(due, Timer::ServerReady(key));
        }
        self.timers.set(self.now + period, Timer::Server(key));
        self.flush_server(key);
    }

    /// The handshake is done: what waits behind it leaves.
    pub(super) fn server_ready(&mut self, key: ServerKey) {
        if let Some(server) = self.servers.get_mut(key) {
            server.handshake = None;
            server.permit.ready();
        }
        self.flush_server(key);
    }

    /// A handshake that takes longer than a connection may take is a failed connection attempt.
    pub(super) fn server_ready_timer(&mut self, key: ServerKey) {
        let server = self.servers.get(key);
        if server.is_some_and(|server| server.handshake.is_some()) {
            self.server_lost(key, Loss::Handshake);
        }
    }

    /// Takes no new requests; closes when the last answer is in.
    pub(super) fn retire_server(&mut self, key: ServerKey) {
        if let Some(server) = self.servers.get_mut(key) {
            server.retiring = true;
            let over = server.attempts.is_empty() && server.outbox.is_empty();
            if over && server.owner.is_none() {
                self.close_server(key);
            }
        }
    }

    /// Drops a connection that owes nothing.
    pub(super) fn close_server(&mut self, key: ServerKey) {
        let Some(server) = self.servers.remove(key) else {
            return;
        };
        if server.connected {
            server.metrics.connection_closed();
        }
        for timer in [server.stall, server.head, server.gathering]
            .into_iter()
            .flatten()
        {
            self.timers.cancel(timer);
        }
        self.buffered = self.buffered.saturating_sub(server.buffered());
        if let Some(host) = self.tables.hosts.get_mut(server.host) {
            host.forget(key);
        }
        self.tables.drop_host_if_unused(server.host);
        self.actions
            .push_back(Action::Close(ConnectionId::Server(key)));
    }
}
