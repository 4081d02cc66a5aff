//! Clients that come: whether they are let in, and what is known of them before they say anything.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{
    ConnectionId, Engine, Timer,
    client::{self, Client, Home},
    tables::Served,
};

impl Engine {
    /// A client connected to the listener of this name. `None`: it is refused, close the socket.
    pub fn accept(
        &mut self,
        listener: &str,
        peer: Option<SocketAddr>,
        now: Instant,
    ) -> Option<ConnectionId> {
        let served = self.tables.listener(listener)?;
        self.let_in((listener, served), peer, now)
    }

    /// A client connected to the service of this name, through a listener whose connections say
    /// themselves where they were going. `None`: it is refused, close the socket.
    pub fn accept_for(
        &mut self,
        (listener, service): (&str, &str),
        client: Option<SocketAddr>,
        now: Instant,
    ) -> Option<ConnectionId> {
        let served = self.tables.behind(listener, service)?;
        self.let_in((listener, served), client, now)
    }

    /// Whether one more client is let in, beside so many that have not said yet where they were going.
    /// Above the limit one is, to be told so; far above it, nothing is left to tell it.
    #[must_use]
    pub fn has_room(&self, waiting: usize) -> bool {
        let most = self.settings.clients.saturating_mul(2);
        !self.draining && self.connected_clients() + waiting < most
    }

    /// Whether as many clients are connected as may be.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.connected_clients() >= self.settings.clients
    }

    fn let_in(
        &mut self,
        (listener, served): (&str, Served),
        peer: Option<SocketAddr>,
        now: Instant,
    ) -> Option<ConnectionId> {
        self.at(now);
        let over_limit = self.is_full();
        if !self.has_room(0) {
            return None;
        }
        let service_key = match served {
            Served::By(key) => key,
            Served::Passed(passage) => return self.accept_tunnel((listener, passage), peer),
        };
        let service = self.tables.service(service_key)?;
        let traits = service.protocol.traits();
        let codec = service.protocol.downstream(meltemi_codec::Limits {
            whole: self.settings.whole,
            frame: traits.frame_limit,
        });
        service.metrics.connection_opened();
        let home = Home {
            listener: Arc::from(listener),
            service: service_key,
            metrics: service.metrics.clone(),
            unrouted: service.unrouted.clone(),
            peer,
            over_limit,
            answers_in_order: service.protocol.answers_in_order(),
        };
        let may_be_other = service.passage.is_some() && !traits.server_first && !over_limit;
        let mut client = Client::new(codec, traits, home, now);
        if may_be_other {
            client.incoming = client::Incoming::First;
        }
        let key = self.clients.insert(client);
        let due = now + self.client_period(key);
        self.timers.set(due, Timer::Client(key));
        self.limit_age(key);
        self.judge_client(key);
        Some(ConnectionId::Client(key))
    }

    /// Clients of this worker, of whatever kind.
    pub(super) fn connected_clients(&self) -> usize {
        self.clients.len() + self.tunnels.len()
    }

    /// A client has proven who it is, before anything was received of it.
    pub fn identified(&mut self, id: ConnectionId, principal: &str) {
        match id {
            ConnectionId::Client(key) => {
                if let Some(client) = self.clients.get_mut(key) {
                    client.source.principal = Some(principal.into());
                }
                self.judge_client(key);
            }
            ConnectionId::Server(_) => {}
            ConnectionId::Tunnel(key) => self.tunnel_identified(key, principal),
        }
    }

    /// A client dialled this address, before anything was received of it. If it is an endpoint's, bytes
    /// that are passed on go there and nowhere else.
    pub fn dialled(&mut self, id: ConnectionId, address: SocketAddr) {
        match id {
            ConnectionId::Client(key) => {
                if let Some(client) = self.clients.get_mut(key) {
                    client.dialled = Some(address);
                }
            }
            ConnectionId::Server(_) => {}
            ConnectionId::Tunnel(key) => self.tunnel_dialled(key, address),
        }
    }
}
