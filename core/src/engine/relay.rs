//! Bytes of large messages that leave from where they were read.

use std::time::Instant;

use super::{
    ClientKey, ConnectionId, Engine, ServerKey,
    client::{self, Phase},
    server,
};

/// Where the next bytes of a connection may be written as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    /// To whom. Nothing is waiting to be sent there.
    pub to: ConnectionId,
    /// How many of them, at most.
    pub most: usize,
}

impl Engine {
    /// Whether what this connection sends next is the rest of a large message that goes on as it is, or passes
    /// through a tunnel, to a peer to which nothing else has to be sent before. Then it may be written there at once, and
    /// [`Engine::relayed`] called in the place of [`Engine::received`]; that saves the copy in between.
    #[must_use]
    pub fn relay(&self, id: ConnectionId) -> Option<Relay> {
        match id {
            ConnectionId::Client(key) => self.relay_of_client(key),
            ConnectionId::Server(key) => self.relay_of_server(key),
            ConnectionId::Tunnel(key) => self.tunnels.relay(key),
        }
    }

    /// Bytes arrived, of which the first `gone` were written already to where [`Engine::relay`] said.
    pub fn relayed(&mut self, id: ConnectionId, bytes: &[u8], gone: usize, now: Instant) {
        if let ConnectionId::Tunnel(key) = id {
            self.at(now);
            return self.tunnel_received(key, bytes, gone);
        }
        let to = self.relay(id).map(|relay| relay.to);
        self.gone = gone;
        self.received(id, bytes, now);
        self.gone = 0;
        // What follows a body may have taken a buffer to follow in, though there is nothing that does.
        let outbox = match to {
            Some(ConnectionId::Client(key)) => self.clients.get_mut(key).map(|it| &mut it.outbox),
            Some(ConnectionId::Server(key)) => self.servers.get_mut(key).map(|it| &mut it.outbox),
            Some(ConnectionId::Tunnel(_)) | None => None,
        };
        if let Some(outbox) = outbox {
            outbox.consume(0, &mut self.spare);
        }
    }

    fn relay_of_client(&self, key: ClientKey) -> Option<Relay> {
        let client = self.clients.get(key)?;
        let client::Incoming::Body { exchange, left } = client.incoming else {
            return None;
        };
        let sent = self.exchanges.get(exchange)?.attempt?;
        let server = self.servers.get(sent.server)?;
        let open = client.inbox.is_empty() && server.is_ready() && server.outbox.is_empty();
        open.then_some(())?;
        Some(Relay {
            to: ConnectionId::Server(sent.server),
            most: most(left)?,
        })
    }

    fn relay_of_server(&self, key: ServerKey) -> Option<Relay> {
        let server = self.servers.get(key)?;
        let server::Incoming::Body {
            exchange,
            left,
            is_heard: true,
            ..
        } = server.incoming
        else {
            return None;
        };
        let exchange_key = exchange;
        let exchange = self.exchanges.get(exchange_key)?;
        let client = self.clients.get(exchange.client)?;
        let is_next = match (&client.lineup, exchange.turn) {
            (Some(lineup), Some(turn)) => lineup.is_front(turn),
            _ => client.writing == Some(exchange_key),
        };
        let open = server.inbox.is_empty()
            && exchange.own.is_none()
            && client.phase != Phase::Closing
            && client.outbox.is_empty();
        (open && is_next).then_some(())?;
        Some(Relay {
            to: ConnectionId::Client(exchange.client),
            most: most(left)?,
        })
    }
}

/// So much of a body whose length is known. Where it is not, its codec has to see it first.
fn most(left: Option<u64>) -> Option<usize> {
    usize::try_from(left?).ok()
}
