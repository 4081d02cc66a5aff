//! Bytes become messages, and messages find their exchange.

use meltemi_codec::{
    Answers, At, Decoded, Frame, FromClient, FromServer, Message, Pin, Size, Status,
};

use super::{
    ClientKey, Engine, ExchangeKey, ServerKey,
    client::{self, Call, Phase},
    exchange::End,
    lost::Loss,
    server::{self, Waiting},
};

impl Engine {
    pub(super) fn client_received(&mut self, key: ClientKey, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.last_read = self.now;
        let mut inbox = std::mem::take(&mut client.inbox);
        let before = inbox.len();
        let consumed = if inbox.is_empty() {
            self.client_input(key, bytes)
        } else {
            inbox.extend_from_slice(bytes);
            self.client_input(key, &inbox)
        };
        let Some(client) = self.clients.get_mut(key) else {
            self.buffered = self.buffered.saturating_sub(before);
            return self.spare.give(inbox);
        };
        if before == 0 {
            let rest = bytes.get(consumed..).unwrap_or_default();
            if !rest.is_empty() {
                inbox = self.spare.take();
                inbox.extend_from_slice(rest);
            }
        } else {
            inbox.drain(..consumed.min(inbox.len()));
        }
        self.buffered = (self.buffered + inbox.len()).saturating_sub(before);
        if inbox.is_empty() {
            self.spare.give(inbox);
        } else {
            client.inbox = inbox;
        }
    }

    /// Handles what is whole in `input`; returns how much that was.
    fn client_input(&mut self, key: ClientKey, input: &[u8]) -> usize {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let Some(client) = self.clients.get_mut(key) else {
                return consumed;
            };
            if client.phase == Phase::Closing
                || (client.phase == Phase::Finishing && rest.is_empty())
            {
                return input.len();
            }
            match client.incoming {
                client::Incoming::Message => {}
                client::Incoming::Skip(left) => {
                    let taken = left.min(rest.len() as u64);
                    client.incoming = match left - taken {
                        0 => client::Incoming::Message,
                        left => client::Incoming::Skip(left),
                    };
                    consumed += usize::try_from(taken).unwrap_or(rest.len());
                    if client.incoming != client::Incoming::Message {
                        return consumed;
                    }
                    continue;
                }
                client::Incoming::Body { .. } => {
                    let taken = self.client_body(key, rest);
                    consumed += taken;
                    if taken == 0 {
                        return consumed;
                    }
                    continue;
                }
            }
            if rest.is_empty() || rest.len() < client.need {
                return consumed;
            }
            self.scratch.clear();
            match client.codec.decode(rest, &mut self.scratch) {
                Err(malformed) => {
                    self.answered_here(key);
                    self.client_malformed(key, malformed.reason);
                    return input.len();
                }
                Ok(Decoded::Incomplete { need }) => {
                    client.need = need;
                    return consumed;
                }
                Ok(Decoded::Skip { len }) => consumed += len.max(1),
                Ok(Decoded::Message(message)) => {
                    client.need = 0;
                    let (frame, whole) = extent(message.size, rest);
                    consumed += frame.len();
                    self.client_message(key, message, frame, whole);
                }
            }
        }
    }

    fn client_message(
        &mut self,
        key: ClientKey,
        message: Message<FromClient>,
        frame: &[u8],
        whole: bool,
    ) {
        let left = match message.size {
            Size::Known(size) => Some(size - frame.len() as u64),
            Size::Streamed => None,
        };
        match message.event {
            FromClient::Request(request) => {
                if !whole {
                    return self.start_large(key, request, frame, left);
                }
                let _ = self.start(key, request, frame, true);
            }
            FromClient::Refused {
                request,
                status,
                message,
            } => {
                self.skip_rest(key, left.unwrap_or(0));
                self.refuse(key, request, status, message);
            }
            FromClient::Answered => {
                self.answered_here(key);
                self.skip_rest(key, left.unwrap_or(0));
            }
            FromClient::Goodbye => {
                self.answered_here(key);
                self.client_ended(key);
            }
            FromClient::Response { id } => self.call_answered(key, id, frame, whole),
            FromClient::Cancel { id } => {
                let found = self
                    .clients
                    .get(key)
                    .and_then(|client| client.flights.find(id));
                if let Some(exchange) = found {
                    self.finish(
                        exchange,
                        End::local(crate::telemetry::ResponseFlag::ClientDisconnected),
                    );
                }
            }
            FromClient::StreamData { .. } | FromClient::Ask { .. } => {
                self.client_malformed(key, "this build of the core does not carry streams");
            }
        }
    }

    fn skip_rest(&mut self, key: ClientKey, left: u64) {
        if left > 0
            && let Some(client) = self.clients.get_mut(key)
        {
            client.incoming = client::Incoming::Skip(left);
        }
    }

    /// A request that its own codec refuses.
    fn refuse(
        &mut self,
        key: ClientKey,
        request: meltemi_codec::Request,
        status: Status,
        message: &str,
    ) {
        if let Some(exchange) = self.admit(key, request, 0) {
            self.answer(exchange, status, message);
        }
    }

    /// No further message can be found in what this client sends: it gets the answers that it is
    /// owed, then its connection closes.
    pub(super) fn client_malformed(&mut self, key: ClientKey, reason: &'static str) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.metrics.decode_error();
        tracing::info!(listener = %client.listener, peer = ?client.peer, reason, "malformed request");
        self.client_ended(key);
        if let Some(client) = self.clients.get_mut(key) {
            client.incoming = client::Incoming::Skip(u64::MAX);
        }
    }

    /// The client sends no more.
    pub(super) fn client_ended(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if client.phase != Phase::Open {
            return;
        }
        if matches!(client.incoming, client::Incoming::Body { .. })
            || client.codec.end_of_file() == meltemi_codec::EndOfFile::Abandon
        {
            return self.abandon_client(key);
        }
        client.phase = Phase::Finishing;
        client.reading = false;
        if client.flights.is_empty() {
            self.close_after_flush(key);
        }
    }

    pub(super) fn server_received(&mut self, key: ServerKey, bytes: &[u8]) {
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        server.last_read = self.now;
        let mut inbox = std::mem::take(&mut server.inbox);
        let before = inbox.len();
        let consumed = if inbox.is_empty() {
            self.server_input(key, bytes)
        } else {
            inbox.extend_from_slice(bytes);
            self.server_input(key, &inbox)
        };
        let Some(server) = self.servers.get_mut(key) else {
            self.buffered = self.buffered.saturating_sub(before);
            return self.spare.give(inbox);
        };
        if before == 0 {
            let rest = bytes.get(consumed..).unwrap_or_default();
            if !rest.is_empty() {
                inbox = self.spare.take();
                inbox.extend_from_slice(rest);
            }
        } else {
            inbox.drain(..consumed.min(inbox.len()));
        }
        self.buffered = (self.buffered + inbox.len()).saturating_sub(before);
        if inbox.is_empty() {
            self.spare.give(inbox);
        } else {
            server.inbox = inbox;
        }
        self.server_settled(key);
    }

    fn server_input(&mut self, key: ServerKey, input: &[u8]) -> usize {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let Some(server) = self.servers.get_mut(key) else {
                return consumed;
            };
            if server.incoming != server::Incoming::Message {
                let taken = self.server_body(key, rest);
                consumed += taken;
                if taken == 0 {
                    return consumed;
                }
                continue;
            }
            if rest.is_empty() || rest.len() < server.need {
                return consumed;
            }
            self.scratch.clear();
            let waiting = Waiting {
                fifo: &server.fifo,
                attempts: &server.attempts,
                exchanges: &self.exchanges,
            };
            match server.codec.decode(rest, &waiting, &mut self.scratch) {
                Err(malformed) => {
                    tracing::warn!(reason = malformed.reason, "malformed answer");
                    self.server_lost(key, Loss::Malformed);
                    return input.len();
                }
                Ok(Decoded::Incomplete { need }) => {
                    server.need = need;
                    return consumed;
                }
                Ok(Decoded::Skip { len }) => consumed += len.max(1),
                Ok(Decoded::Message(message)) => {
                    server.need = 0;
                    let (frame, whole) = extent(message.size, rest);
                    consumed += frame.len();
                    self.server_message(key, message, frame, whole);
                }
            }
        }
    }

    fn server_message(
        &mut self,
        key: ServerKey,
        message: Message<FromServer>,
        frame: &[u8],
        whole: bool,
    ) {
        let left = match message.size {
            Size::Known(size) => Some(size - frame.len() as u64),
            Size::Streamed => None,
        };
        let taken = match message.event {
            FromServer::Response(response) => {
                return self.server_answered(
                    key,
                    response,
                    frame,
                    left.filter(|_| whole).is_none().then_some(left),
                );
            }
            FromServer::Answered => {
                self.server_says(key);
                false
            }
            FromServer::Ready | FromServer::ComeBack => {
                self.host_leaving(key, false);
                false
            }
            FromServer::GoAway { host } => {
                self.host_leaving(key, host);
                if !host {
                    self.retire_server(key);
                }
                false
            }
            FromServer::Push => self.push_to_owner(key, frame),
            FromServer::Call(request) => self.call_client(key, &request, frame, whole),
        };
        let _ = taken;
        if !whole && let Some(server) = self.servers.get_mut(key) {
            server.incoming = server::Incoming::Skip { left };
        }
    }

    /// What the codec answers on this leg itself.
    fn server_says(&mut self, key: ServerKey) {
        if let Some(server) = self.servers.get_mut(key) {
            self.buffered += self.scratch.len();
            server
                .outbox
                .append(&mut self.spare)
                .append(&mut self.scratch);
        }
        self.flush_server(key);
    }

    /// An answer finds its exchange. `rest` is `Some` where more of it is to come.
    fn server_answered(
        &mut self,
        key: ServerKey,
        response: meltemi_codec::Response,
        frame: &[u8],
        rest: Option<Option<u64>>,
    ) {
        let found = self.answered_exchange(key, response.at);
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        let Some((attempt, exchange_key)) = found else {
            if let Some(left) = rest {
                server.incoming = server::Incoming::Skip { left };
            }
            return;
        };
        let Some(exchange) = self.exchanges.get_mut(exchange_key) else {
            return;
        };
        let over = match &mut exchange.answers {
            Answers::Counted(left) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            Answers::UntilEnd => response.last,
            Answers::None | Answers::One | Answers::OneOrLater => true,
        };
        let shown = Frame {
            bytes: frame,
            whole: rest.is_none(),
            memo: &exchange.memo,
        };
        let end = End::of(&server.codec.outcome(shown));
        let id = exchange.id;
        let memo = exchange.memo.clone();
        if rest.is_some()
            && let Some(client) = self.clients.get_mut(exchange.client)
            && client.writing.is_none()
            && client.lineup.is_none()
        {
            client.writing = Some(exchange_key);
        }
        self.deliver(exchange_key, |codec, out| {
            let frame = Frame {
                bytes: frame,
                whole: rest.is_none(),
                memo: &memo,
            };
            codec.respond(id, frame, out);
        });
        match rest {
            Some(left) => {
                if let Some(server) = self.servers.get_mut(key) {
                    server.incoming = server::Incoming::Body {
                        exchange: exchange_key,
                        left,
                        end,
                    };
                }
            }
            None if over => {
                self.attempt_over(key, attempt);
                self.release_pin(exchange_key);
                self.answer_ends(exchange_key);
                self.finish(exchange_key, end);
            }
            None => {}
        }
    }

    fn release_pin(&mut self, key: ExchangeKey) {
        if let Some(exchange) = self.exchanges.get(key)
            && exchange.pin == Pin::Release
            && let Some(client) = self.clients.get_mut(exchange.client)
        {
            client.pin = None;
        }
    }

    /// The attempt that an answer is for, and its exchange if that still waits.
    fn answered_exchange(
        &mut self,
        key: ServerKey,
        at: At,
    ) -> Option<(super::wire_ids::AttemptKey, ExchangeKey)> {
        let server = self.servers.get_mut(key)?;
        let attempt = match at {
            At::Id(id) => server.attempts.find(id)?,
            At::InOrder { skip } => {
                for _ in 0..skip {
                    self.pass_over(key)?;
                }
                let server = self.servers.get(key)?;
                *server.fifo.front()?
            }
        };
        let server = self.servers.get_mut(key)?;
        let exchange = server.attempts.get(attempt)?.exchange;
        let waits = self
            .exchanges
            .get(exchange)
            .and_then(|exchange| exchange.attempt)
            .is_some_and(|sent| sent.server == key && sent.attempt == attempt);
        if !waits {
            // A tombstone: it swallows this answer.
            self.attempt_over(key, attempt);
            return None;
        }
        Some((attempt, exchange))
    }

    /// The oldest request wanted an answer only if there was something to say, and there was not.
    fn pass_over(&mut self, key: ServerKey) -> Option<()> {
        let server = self.servers.get_mut(key)?;
        let quiet = server.fifo.pop_front()?;
        let attempt = server.attempts.remove(quiet)?;
        self.answer_ends(attempt.exchange);
        self.finish(attempt.exchange, End::of(&meltemi_codec::Outcome::Ok));
        Some(())
    }

    /// The server is done with an attempt.
    pub(super) fn attempt_over(&mut self, key: ServerKey, attempt: super::wire_ids::AttemptKey) {
        if let Some(server) = self.servers.get_mut(key) {
            server.attempts.remove(attempt);
            if server.fifo.front() == Some(&attempt) {
                server.fifo.pop_front();
            }
            server.last_used = self.now;
        }
    }

    fn push_to_owner(&mut self, key: ServerKey, frame: &[u8]) -> bool {
        let Some(owner) = self.servers.get(key).and_then(|server| server.owner) else {
            return false;
        };
        let Some(client) = self.clients.get_mut(owner) else {
            return false;
        };
        let out = client.outbox.append(&mut self.spare);
        let before = out.len();
        client.codec.push(frame, out);
        self.buffered += out.len() - before;
        self.flush_client(owner);
        true
    }

    /// A request of the server's: to the client that its connection belongs to, or refused.
    fn call_client(
        &mut self,
        key: ServerKey,
        request: &meltemi_codec::Request,
        frame: &[u8],
        whole: bool,
    ) -> bool {
        let Some(server) = self.servers.get_mut(key) else {
            return false;
        };
        let owner = server
            .owner
            .filter(|_| whole)
            .and_then(|owner| self.clients.get_mut(owner).map(|client| (owner, client)))
            .filter(|(_, client)| client.pin == Some(key) && client.writing.is_none());
        let Some((owner, client)) = owner else {
            if request.answers != Answers::None {
                let before = server.outbox.len();
                server
                    .codec
                    .refuse(request, server.outbox.append(&mut self.spare));
                self.buffered += server.outbox.len() - before;
            }
            self.flush_server(key);
            return false;
        };
        let id = if request.answers == Answers::None {
            0
        } else {
            let call = client.calls.insert(Call {
                server: key,
                id: request.id,
            });
            slotmap::Key::data(&call).as_ffi()
        };
        let out = client.outbox.append(&mut self.spare);
        let before = out.len();
        client.codec.call(
            id,
            Frame {
                bytes: frame,
                whole,
                memo: &request.memo,
            },
            out,
        );
        self.buffered += out.len() - before;
        self.flush_client(owner);
        true
    }

    /// The client's answer to a server's request goes back to that server.
    fn call_answered(&mut self, key: ClientKey, id: u64, frame: &[u8], whole: bool) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let call = client
            .calls
            .remove(client::CallKey::from(slotmap::KeyData::from_ffi(id)));
        let Some((call, server)) = call.filter(|_| whole).and_then(|call| {
            self.servers
                .get_mut(call.server)
                .map(|server| (call, server))
        }) else {
            client.metrics.answers_dropped(1);
            return;
        };
        let memo = meltemi_codec::Memo::default();
        let before = server.outbox.len();
        let out = server.outbox.append(&mut self.spare);
        server.codec.respond(
            call.id,
            Frame {
                bytes: frame,
                whole,
                memo: &memo,
            },
            out,
        );
        self.buffered += server.outbox.len() - before;
        self.flush_server(call.server);
    }
}

/// The part of `input` that a message takes, and whether that is all of it.
fn extent(size: Size, input: &[u8]) -> (&[u8], bool) {
    match size {
        Size::Known(size) => match usize::try_from(size)
            .ok()
            .and_then(|size| input.get(..size))
        {
            Some(frame) => (frame, true),
            None => (input, false),
        },
        Size::Streamed => (input, false),
    }
}
