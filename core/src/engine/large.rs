//! Messages that are too large to be stored: cut through under backpressure.

use meltemi_codec::{Body, Request};

use super::{
    Action, ClientKey, ConnectionId, Engine, ExchangeKey, ServerKey,
    client::{self, Client, Phase},
    server,
};

/// How much of `input` the next piece takes, and what is left of the message after it.
/// `None`: it ends with this piece.
fn piece(
    left: Option<u64>,
    input: &[u8],
    body: impl FnOnce(&[u8]) -> Result<Body, meltemi_codec::Malformed>,
) -> Result<(usize, Option<Option<u64>>), meltemi_codec::Malformed> {
    if let Some(left) = left {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let left = left - taken as u64;
        return Ok((taken, (left > 0).then_some(Some(left))));
    }
    Ok(match body(input)? {
        Body::More(taken) => (taken.min(input.len()), Some(None)),
        Body::End(taken) => (taken.min(input.len()), None),
    })
}

impl Engine {
    /// The head of a large request: it goes on a connection of its own, and its body follows.
    pub(super) fn start_large(
        &mut self,
        key: ClientKey,
        request: Request,
        head: &[u8],
        left: Option<u64>,
    ) {
        let exchange = self.start(key, request, head, false).unwrap_or_default();
        if let Some(client) = self.clients.get_mut(key)
            && client.incoming == client::Incoming::Message
        {
            client.incoming = client::Incoming::Body { exchange, left };
        }
        self.reconsider_client(key);
    }

    /// More of a large request. Where its exchange is over, it is swallowed.
    pub(super) fn client_body(&mut self, key: ClientKey, input: &[u8]) -> usize {
        let Some(client) = self.clients.get_mut(key) else {
            return 0;
        };
        let client::Incoming::Body { exchange, left } = client.incoming else {
            return 0;
        };
        let codec = &mut client.codec;
        let (taken, left) = match piece(left, input, |input| codec.body(input)) {
            Ok(piece) => piece,
            Err(malformed) => {
                self.client_malformed(key, malformed.reason);
                return 0;
            }
        };
        client.incoming = match left {
            Some(left) => client::Incoming::Body { exchange, left },
            None => client::Incoming::Message,
        };
        let bytes = input.get(..taken).unwrap_or_default();
        self.body_up(exchange, bytes, left.is_none());
        self.reconsider_client(key);
        taken
    }

    fn body_up(&mut self, key: ExchangeKey, bytes: &[u8], last: bool) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        exchange.request_bytes += bytes.len() as u64;
        let gone = std::mem::take(&mut self.gone);
        let Some(sent) = exchange.attempt else {
            return;
        };
        if let Some(server) = self.servers.get_mut(sent.server) {
            server.outbox.pass(gone);
            let bytes = bytes.get(gone..).unwrap_or_default();
            if !bytes.is_empty() {
                server
                    .outbox
                    .append(&mut self.spare)
                    .extend_from_slice(bytes);
            }
            let end = server.outbox.end();
            if let Some(attempt) = server.attempts.get_mut(sent.attempt) {
                attempt.end = end;
            }
            self.buffered += bytes.len();
            if last {
                server.streaming = false;
                let mut held = std::mem::take(&mut server.held);
                if !held.is_empty() {
                    server.outbox.append(&mut self.spare).append(&mut held);
                }
            }
        }
        if gone > 0 {
            self.server_sent(sent.server, 0);
        }
        self.flush_server(sent.server);
    }

    /// More of a large answer. Where its exchange is over, it is swallowed: a shared connection is
    /// always read.
    pub(super) fn server_body(&mut self, key: ServerKey, input: &[u8]) -> usize {
        let Some(server) = self.servers.get_mut(key) else {
            return 0;
        };
        let incoming = server.incoming;
        let left = match incoming {
            server::Incoming::Message => return 0,
            server::Incoming::Body { left, .. }
            | server::Incoming::Skip { left }
            | server::Incoming::Push { left } => left,
        };
        let codec = &mut server.codec;
        let (taken, left) = match piece(left, input, |input| codec.body(input)) {
            Ok(piece) => piece,
            Err(_) => {
                self.server_lost(key, super::lost::Loss::Malformed);
                return 0;
            }
        };
        server.incoming = incoming.with_left(left);
        if let server::Incoming::Push { .. } = incoming {
            let bytes = input.get(..taken).unwrap_or_default();
            self.more_to_push(key, bytes, left.is_none());
        }
        if let server::Incoming::Body {
            exchange,
            attempt,
            end,
            over,
            is_heard,
            ..
        } = incoming
        {
            let bytes = match is_heard {
                true => input.get(..taken).unwrap_or_default(),
                false => &[],
            };
            match self
                .exchanges
                .get(exchange)
                .is_some_and(|e| e.own.is_some())
            {
                true => self.own_answer(exchange, bytes),
                false => self.body_down(exchange, bytes),
            }
            match left {
                Some(_) => self.flush_answer(exchange),
                None if over => self.answers_end((key, attempt), exchange, end),
                None => self.large_answer_ends(exchange),
            }
        }
        taken
    }

    fn body_down(&mut self, key: ExchangeKey, bytes: &[u8]) {
        let gone = std::mem::take(&mut self.gone);
        if gone == 0 {
            return self.deliver(key, |_, _, out| out.extend_from_slice(bytes));
        }
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        exchange.response_bytes += gone as u64;
        let client_key = exchange.client;
        if let Some(client) = self.clients.get_mut(client_key) {
            client.outbox.pass(gone);
        }
        let bytes = bytes.get(gone..).unwrap_or_default();
        if !bytes.is_empty() {
            self.deliver(key, |_, _, out| out.extend_from_slice(bytes));
        }
        self.client_sent(client_key, 0);
    }

    /// Another answer to the same request follows the large one: those of others need not wait.
    fn large_answer_ends(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let client_key = exchange.client;
        self.large_is_over(client_key, key);
        if let Some(client) = self.clients.get_mut(client_key)
            && client.writing == Some(key)
        {
            client.writing = None;
            self.write_held(client_key);
        }
        self.flush_client(client_key);
    }

    /// From now on the client's connection carries this answer alone; its deadline is met.
    pub(super) fn large_answer_begins(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if let Some(deadline) = exchange.deadline.take() {
            self.deadlines.leave(&mut self.timers, deadline);
        }
        let (client_key, sent) = (exchange.client, exchange.attempt);
        if let Some(client) = self.clients.get_mut(client_key) {
            client.writing.get_or_insert(key);
            if !client.large.contains(&key) {
                client.large.push(key);
            }
        }
        // Nothing new joins the connection, so that it can be paused at the pace of this client once
        // nothing of others is on it.
        if let Some(sent) = sent {
            self.give_to(sent.server, client_key);
        }
    }

    /// The large answer of an in-order client is complete, or given up: what answers nobody may
    /// follow it.
    #[inline]
    pub(super) fn large_is_over(&mut self, client: ClientKey, key: ExchangeKey) {
        let Some(client) = self.clients.get_mut(client) else {
            return;
        };
        let Some(place) = client.large.iter().position(|large| *large == key) else {
            return;
        };
        client.large.swap_remove(place);
        if client.large.is_empty() && client.lineup.is_some() {
            let out = client.outbox.append(&mut self.spare);
            for held in client.held.drain(..) {
                out.extend_from_slice(&held.bytes);
            }
        }
    }

    /// More of a large message of the server's own for its client.
    fn more_to_push(&mut self, key: ServerKey, bytes: &[u8], last: bool) {
        let most = self.settings.client_limit;
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        if server.push.len() + bytes.len() > most {
            // Its client could not take it, and would wait for the rest of it for ever.
            return self.server_lost(key, super::lost::Loss::Cut);
        }
        server.push.extend_from_slice(bytes);
        self.buffered += bytes.len();
        if last {
            let push = std::mem::take(&mut server.push);
            self.buffered = self.buffered.saturating_sub(push.len());
            self.push_to_owner(key, &push);
        }
    }

    /// The head of a large message of the server's own: it is passed on once it is whole.
    pub(super) fn large_push_begins(&mut self, key: ServerKey, head: &[u8], left: Option<u64>) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        server.incoming = match server.owner {
            Some(_) => server::Incoming::Push { left },
            None => server::Incoming::Skip { left },
        };
        if server.owner.is_some() {
            self.more_to_push(key, head, false);
        }
    }

    /// An exchange ends while its request is still arriving: the server has half a message, so its
    /// connection is of no further use.
    pub(super) fn cut_request_short(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let arriving = self.clients.get(exchange.client).is_some_and(|client| {
            matches!(client.incoming, client::Incoming::Body { exchange, .. } if exchange == key)
        });
        if !arriving {
            return;
        }
        if let Some(sent) = exchange.attempt.take() {
            exchange.attempt_over();
            if let Some(host) = self.tables.hosts.get_mut(sent.host) {
                host.active = host.active.saturating_sub(1);
                host.metrics.attempts_finished(1);
            }
            self.server_lost(sent.server, super::lost::Loss::Cut);
        }
    }

    /// Whether the server of the client's arriving request can take more of it.
    #[inline(always)]
    pub(super) fn request_window_open(&self, client: &Client) -> bool {
        let client::Incoming::Body { exchange, .. } = client.incoming else {
            return true;
        };
        self.exchanges
            .get(exchange)
            .and_then(|exchange| exchange.attempt)
            .and_then(|sent| self.servers.get(sent.server))
            .is_none_or(|server| server.outbox.len() <= self.settings.whole)
    }

    /// Stops or resumes reading of the servers whose large answers this client gets, by how much it
    /// has still to read: of the one whose turn it is, by what is to be sent; of others, by all that
    /// waits.
    pub(super) fn reconsider_writers(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let exchanges = &self.exchanges;
        client.large.retain(|large| exchanges.contains_key(*large));
        let most = self.settings.client_pause;
        let (leaving, unsent) = (client.outbox.len(), client.unsent_bytes());
        for large in &client.large {
            let Some(exchange) = exchanges.get(*large) else {
                continue;
            };
            let (Some(sent), turn) = (exchange.attempt, exchange.turn) else {
                continue;
            };
            let is_its_turn = match (&client.lineup, turn) {
                (Some(lineup), Some(turn)) => lineup.is_front(turn),
                _ => client.writing == Some(*large),
            };
            let waits = if is_its_turn { leaving } else { unsent };
            let welcome = waits <= most || client.phase == Phase::Closing;
            if let Some(server) = self.servers.get_mut(sent.server)
                && server.owner == Some(key)
            {
                // What others asked before the answer began is behind it: they do not wait for this
                // client to read.
                let of_another = |other: ExchangeKey| {
                    let other = exchanges.get(other);
                    other.is_some_and(|other| other.client != key)
                };
                let welcome = welcome || server.attempts.exchanges().any(of_another);
                if welcome && !server.reading {
                    self.actions
                        .push_back(Action::Resume(ConnectionId::Server(sent.server)));
                }
                server.reading = welcome;
            }
        }
    }
}
