//! Connections to an endpoint: as few as the limits allow, shared unless a request needs its own.

use meltemi_codec::{Limits, Pin, Sharing};

use super::{
    Action, ConnectionId, Engine, ExchangeKey, ServerKey, Timer, server::Server, tables::HostKey,
};

/// A connection to send a request on.
pub(super) enum Checkout {
    Use(ServerKey),
    /// Every connection that the limits allow is full.
    Full,
}

impl Engine {
    pub(super) fn checkout(&mut self, host: HostKey, key: ExchangeKey) -> Checkout {
        let Some(exchange) = self.exchanges.get(key) else {
            return Checkout::Full;
        };
        let client = exchange.client;
        let asks = self.clients.get(client);
        let protocol = asks.map(|client| client.protocol);
        let sharing = asks.map(|client| client.traits.sharing);
        let own = exchange.exclusive
            || exchange.pin != Pin::None
            || matches!(sharing, Some(Sharing::PerClient | Sharing::Exclusive));
        let depth = match sharing {
            Some(Sharing::Pipeline { depth }) => usize::from(depth),
            _ => self.settings.in_flight_per_connection,
        };
        let found = self.tables.hosts.get(host).and_then(|host| {
            host.connections.iter().copied().find(|server| {
                self.servers.get(*server).is_some_and(|server| {
                    if Some(server.protocol) != protocol {
                        false
                    } else if own {
                        server.is_free()
                    } else {
                        server.takes_more(depth, self.settings.unsent_per_connection)
                    }
                })
            })
        });
        let found = found.or_else(|| self.open(host, own, key));
        let Some(server_key) = found else {
            return Checkout::Full;
        };
        if own && let Some(server) = self.servers.get_mut(server_key) {
            server.owner = Some(client);
        }
        Checkout::Use(server_key)
    }

    /// Opens another connection, if the limits allow one.
    fn open(&mut self, host_key: HostKey, own: bool, key: ExchangeKey) -> Option<ServerKey> {
        let client = self.exchanges.get(key)?.client;
        let service = self.clients.get(client)?.service;
        let protocol = self.tables.service(service)?.protocol.clone();
        let host = self.tables.hosts.get_mut(host_key)?;
        let owned = |key: &ServerKey| self.servers.get(*key).is_some_and(|s| s.owner.is_some());
        let same = host
            .connections
            .iter()
            .filter(|key| owned(key) == own)
            .count();
        let most = if own {
            self.settings.own_connections_per_endpoint
        } else {
            self.settings.connections_per_endpoint
        };
        if same >= most {
            return None;
        }
        let limits = Limits {
            whole: self.settings.whole,
            frame: protocol.traits().frame_limit,
        };
        let metrics = host.metrics.clone();
        let mut server = Server::new(&*protocol, limits, host_key, metrics, self.now);
        server.codec.open(server.outbox.append(&mut self.spare));
        let key = self.servers.insert(server);
        host.connections.push(key);
        self.actions.push_back(Action::Connect {
            id: ConnectionId::Server(key),
            address: host.address.clone(),
            timeout: host.connect_timeout,
        });
        Some(key)
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
        self.timers.set(self.now + period, Timer::Server(key));
        self.flush_server(key);
    }

    /// Endpoints that the configuration no longer has: their connections close once they are idle.
    pub(super) fn withdraw_hosts(&mut self, hosts: &[HostKey]) {
        for host in hosts {
            let connections = self
                .tables
                .hosts
                .get(*host)
                .map(|host| host.connections.clone())
                .unwrap_or_default();
            for key in connections {
                self.retire_server(key);
            }
            self.tables.drop_host_if_unused(*host);
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
        for timer in [server.stall, server.head].into_iter().flatten() {
            self.timers.cancel(timer);
        }
        self.buffered = self
            .buffered
            .saturating_sub(server.outbox.len() + server.held.len() + server.inbox.len());
        if let Some(host) = self.tables.hosts.get_mut(server.host) {
            host.connections.retain(|other| *other != key);
        }
        self.tables.drop_host_if_unused(server.host);
        self.actions
            .push_back(Action::Close(ConnectionId::Server(key)));
    }
}
