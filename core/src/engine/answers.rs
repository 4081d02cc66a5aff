//! A server's bytes become answers.

use meltemi_codec::{
    Answers, At, Decoded, Frame, FromServer, Message, Outcome, Pin, Response, Size,
};

use super::{
    Engine, ExchangeKey, ServerKey,
    exchange::End,
    lost::Loss,
    receive::extent,
    server::{Incoming, Waiting},
    settle::Settling,
    tables::HostKey,
    wire_ids::AttemptKey,
};

impl Engine {
    /// Handles what is whole in `input`; returns how much that was.
    pub(super) fn server_input(&mut self, key: ServerKey, input: &[u8]) -> usize {
        let mut settling = None;
        let consumed = self.read_answers(key, input, &mut settling);
        self.end_settling(settling);
        consumed
    }

    fn read_answers(
        &mut self,
        key: ServerKey,
        input: &[u8],
        settling: &mut Option<Settling>,
    ) -> usize {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let Some(server) = self.servers.get_mut(key) else {
                return consumed;
            };
            if server.incoming != Incoming::Message {
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
                attempts: &server.attempts,
                exchanges: &self.exchanges,
            };
            match server.codec.decode(rest, &waiting, &mut self.scratch) {
                Err(malformed) => {
                    self.end_settling(settling.take());
                    self.server_malformed(key, malformed.reason);
                    return input.len();
                }
                Ok(Decoded::Incomplete { need }) => {
                    server.need = need;
                    return consumed;
                }
                Ok(Decoded::Skip { len }) => {
                    server.need = 0;
                    consumed += len.max(1);
                }
                Ok(Decoded::Message(message)) => {
                    server.need = 0;
                    let (frame, whole) = extent(message.size, rest);
                    consumed += frame.len();
                    if !(whole && self.settles(settling, key, &message.event, frame)) {
                        self.end_settling(settling.take());
                        self.server_message(key, message, frame, whole);
                    }
                }
            }
        }
    }

    fn server_malformed(&mut self, key: ServerKey, reason: &'static str) {
        let Some(server) = self.servers.get(key) else {
            return;
        };
        server.metrics.decode_error();
        if let Some(suppressed) = self.malformed.answers.take(self.now) {
            let host = self.tables.hosts.get(server.host);
            tracing::warn!(
                cluster = host.map(|host| tracing::field::display(&host.cluster)),
                endpoint = host.map(|host| tracing::field::display(&host.address)),
                reason,
                suppressed,
                "malformed answer"
            );
        }
        let loss = match server.handshake {
            Some(_) => Loss::Handshake,
            None => Loss::Malformed,
        };
        self.server_lost(key, loss);
    }

    #[inline]
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
        match message.event {
            FromServer::Response(response) => {
                return self.server_answered(key, response, frame, (!whole).then_some(left));
            }
            FromServer::Answered => self.server_says(key),
            FromServer::Ready => self.server_ready(key),
            FromServer::ComeBack => self.host_leaving(key, false),
            FromServer::GoAway { host: true } => self.host_leaving(key, true),
            FromServer::GoAway { host: false } => self.retire_server(key),
            FromServer::Refused => return self.server_refuses(key, frame),
            FromServer::Push if !whole => {
                return self.large_push_begins(key, frame, left);
            }
            FromServer::Push => self.push_to_owner(key, frame),
            FromServer::Call(request) => self.call_client(key, &request, frame, whole),
        }
        if !whole && let Some(server) = self.servers.get_mut(key) {
            server.incoming = Incoming::Skip { left };
        }
    }

    /// What the codec has left in `scratch` to say on this leg.
    pub(super) fn server_says(&mut self, key: ServerKey) {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.say_to_server(key, |_, out| out.append(&mut scratch));
        self.scratch = scratch;
    }

    /// An answer finds its exchange. `rest` is `Some` where more of it is to come.
    #[inline]
    fn server_answered(
        &mut self,
        key: ServerKey,
        response: Response,
        frame: &[u8],
        rest: Option<Option<u64>>,
    ) {
        let found = self.answered_exchange(key, response);
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        let Some((attempt, exchange_key, over)) = found else {
            server.metrics.answer_unclaimed();
            if let Some(left) = rest {
                server.incoming = Incoming::Skip { left };
            }
            return;
        };
        let Some(exchange) = self.exchanges.get(exchange_key) else {
            return;
        };
        let whole = rest.is_none();
        let is_own = exchange.own.is_some();
        let shown = Frame {
            bytes: frame,
            whole,
            memo: &exchange.memo,
        };
        let outcome = server.codec.outcome(shown);
        if exchange.is_hedged()
            && !self.outruns(exchange_key, (key, attempt), &outcome, whole && over)
        {
            return;
        }
        if whole
            && over
            && (self.is_repeated(exchange_key, (key, attempt), &outcome)
                || self.answer_is_retried(exchange_key, (key, attempt), &outcome))
        {
            return;
        }
        let end = End::of(&outcome);
        let mut is_heard = true;
        match outcome {
            Outcome::Redirect { once, .. } if whole && self.is_of_learned(exchange_key) => {
                self.refuse_redirect(exchange_key, key, once);
            }
            _ if is_own => self.own_answer(exchange_key, frame),
            _ => is_heard = self.pass_edited(exchange_key, key, (frame, whole)),
        }
        match rest {
            Some(left) => {
                self.flush_answer(exchange_key);
                if let Some(server) = self.servers.get_mut(key) {
                    server.incoming = Incoming::Body {
                        exchange: exchange_key,
                        attempt,
                        left,
                        end,
                        over,
                        is_heard,
                    };
                }
            }
            None if over => self.answers_end((key, attempt), exchange_key, end),
            None => self.flush_answer(exchange_key),
        }
    }

    /// An answer, or its head, goes to its client as its route wants it. False: as below.
    #[inline(always)]
    fn pass_edited(
        &mut self,
        key: ExchangeKey,
        server: ServerKey,
        (frame, whole): (&[u8], bool),
    ) -> bool {
        let Some(edited) = self.edited_answer(key, server, (frame, whole)) else {
            return self.pass_down(key, frame, whole);
        };
        let is_heard = self.pass_down(key, &edited, whole);
        self.spare.give(edited);
        is_heard
    }

    /// An answer, or its head, goes to its client. False: the client is not to hear it.
    #[inline(always)]
    fn pass_down(&mut self, key: ExchangeKey, frame: &[u8], whole: bool) -> bool {
        if !whole {
            self.large_answer_begins(key);
        }
        let mut is_heard = true;
        self.deliver(key, |codec, request, out| {
            let before = out.len();
            let frame = Frame {
                bytes: frame,
                whole,
                memo: request.memo,
            };
            codec.respond(request.id, frame, out);
            is_heard = out.len() > before;
        });
        is_heard
    }

    /// The server refuses what the connection was opened for: all that wait for it are told so.
    fn server_refuses(&mut self, key: ServerKey, frame: &[u8]) {
        self.dissolve_runs(key);
        let Some(server) = self.servers.get(key) else {
            return;
        };
        for (attempt, entry) in server.attempts.in_order() {
            let exchange = entry.exchange;
            let waiting = self.exchanges.get(exchange);
            let waits = waiting.is_some_and(|it| it.waits_for(key, attempt));
            if !waits || self.has_rival(exchange, key, attempt) {
                continue;
            }
            let own = self
                .exchanges
                .get(exchange)
                .is_some_and(|e| e.own.is_some());
            match own {
                true => self.own_answer(exchange, frame),
                false => {
                    self.pass_down(exchange, frame, true);
                }
            }
            let end = End::of(&Outcome::RequestError { code: 0 });
            self.attempt_over(key, attempt);
            self.exchange_answered(exchange, end);
        }
        self.server_lost(key, Loss::Refused);
    }

    /// The last answer is complete.
    #[inline(always)]
    pub(super) fn answers_end(
        &mut self,
        (server, attempt): (ServerKey, AttemptKey),
        exchange: ExchangeKey,
        end: End,
    ) {
        let host = self.attempt_over(server, attempt);
        if let Some(host) = host {
            self.judge(host, end.outcome);
        }
        let Some(answered) = self.exchanges.get(exchange) else {
            return;
        };
        let (releases, sent) = (answered.pin == Pin::Release, answered.attempt);
        if let Some(sent) = sent.filter(|_| !answered.waits) {
            self.measure(sent);
        }
        if releases {
            self.release_pin(exchange);
        }
        self.exchange_answered(exchange, end);
    }

    #[inline(always)]
    fn exchange_answered(&mut self, key: ExchangeKey, end: End) {
        if self.exchanges.get(key).is_some_and(|e| e.own.is_some()) {
            return self.own_ends(key, end);
        }
        self.answer_ends(key);
        self.finish(key, end);
    }

    /// The attempt that an answer is for, its exchange if that still waits, and whether no other
    /// answer follows.
    #[inline]
    fn answered_exchange(
        &mut self,
        key: ServerKey,
        response: Response,
    ) -> Option<(AttemptKey, ExchangeKey, bool)> {
        let server = self.servers.get(key)?;
        let attempt = match response.at {
            At::Id(id) => {
                let (attempt, entry) = server.attempts.find(id)?;
                let (exchange, rider) = (entry.exchange, entry.rider);
                self.peel_from(exchange, rider);
                attempt
            }
            At::InOrder => {
                let (attempt, entry) = server.attempts.oldest()?;
                self.peel(entry.exchange);
                attempt
            }
        };
        let server = self.servers.get_mut(key)?;
        let entry = server.attempts.get_mut(attempt)?;
        if entry.answers == Answers::None {
            // Nobody asked for it.
            return None;
        }
        let over = entry.answered(response.last);
        let exchange = entry.exchange;
        let waits = self
            .exchanges
            .get(exchange)
            .is_some_and(|exchange| exchange.waits_for(key, attempt));
        if !waits {
            // A tombstone: it swallows its answers.
            if over {
                self.attempt_over(key, attempt);
            }
            return None;
        }
        Some((attempt, exchange, over))
    }

    /// The server is done with an attempt. Returns which endpoint that is.
    #[inline(always)]
    pub(super) fn attempt_over(&mut self, key: ServerKey, attempt: AttemptKey) -> Option<HostKey> {
        let server = self.servers.get_mut(key)?;
        server.over(attempt, self.now);
        Some(server.host)
    }
}
