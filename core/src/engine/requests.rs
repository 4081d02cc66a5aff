//! A client's bytes become requests.

use meltemi_codec::{Decoded, EndOfFile, FromClient, Message, Request, Size};

use super::{
    ClientKey, Engine, Timer,
    client::{Incoming, Phase},
    exchange::End,
    held::is_held,
    receive::extent,
    run::Runs,
    tunnels::First,
};
use crate::telemetry::ResponseFlag;

/// What is next of a client's bytes.
enum Next {
    Message,
    /// So many were no beginning of a message.
    PassedBy(usize),
    /// Nothing, but for so many that were passed by.
    Nothing(usize),
}

impl Engine {
    /// Handles what is whole in `input`; returns how much that was.
    pub(super) fn client_input(&mut self, key: ClientKey, input: &[u8]) -> usize {
        let mut runs = Runs {
            parties: std::mem::take(&mut self.spare_parties),
            ..Runs::default()
        };
        let consumed = self.read_requests(key, input, &mut runs);
        self.end_runs(&mut runs);
        self.spare_parties = runs.parties;
        consumed
    }

    fn read_requests(&mut self, key: ClientKey, input: &[u8], runs: &mut Runs) -> usize {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            match self.comes_next(key, rest) {
                Next::Message => {}
                Next::PassedBy(taken) => {
                    consumed += taken;
                    continue;
                }
                Next::Nothing(taken) => return consumed + taken,
            }
            let Some(client) = self.clients.get_mut(key) else {
                return consumed;
            };
            self.scratch.clear();
            match client.codec.decode(rest, &mut self.scratch) {
                Err(malformed) => {
                    self.end_runs(runs);
                    self.answered_here(key);
                    self.client_malformed(key, malformed.reason);
                    return input.len();
                }
                Ok(Decoded::Incomplete { need }) => {
                    client.need = need;
                    return consumed;
                }
                Ok(Decoded::Skip { len }) => {
                    client.need = 0;
                    consumed += len.max(1);
                }
                Ok(Decoded::Message(message)) => {
                    client.need = 0;
                    if let FromClient::Request(request) = &message.event {
                        client.keep_choice(request.alike);
                    }
                    let (frame, whole) = extent(message.size, rest);
                    consumed += frame.len();
                    match message.event {
                        FromClient::Request(request) if whole => {
                            self.client_request(key, request, frame, runs);
                        }
                        event => {
                            self.end_runs(runs);
                            let size = message.size;
                            self.client_message(key, Message { size, event }, frame, whole);
                        }
                    }
                }
            }
        }
    }

    /// What a client's next bytes are, with those passed by that are no beginning of a message.
    #[inline(always)]
    fn comes_next(&mut self, key: ClientKey, rest: &[u8]) -> Next {
        let Some(client) = self.clients.get_mut(key) else {
            return Next::Nothing(0);
        };
        if client.phase == Phase::Closing || (client.phase == Phase::Finishing && rest.is_empty()) {
            return Next::Nothing(rest.len());
        }
        match client.incoming {
            Incoming::Message if client.waiting || rest.is_empty() || rest.len() < client.need => {
                Next::Nothing(0)
            }
            Incoming::Message => Next::Message,
            Incoming::First if rest.is_empty() => Next::Nothing(0),
            Incoming::First => match self.first_bytes(key, rest) {
                First::Spoken => Next::Message,
                First::Unclear => Next::Nothing(0),
                First::Passed => Next::Nothing(rest.len()),
            },
            Incoming::Parked => Next::Nothing(0),
            Incoming::Skip(left) => {
                let taken = client.skip(left, rest.len());
                match client.incoming {
                    Incoming::Message => Next::PassedBy(taken),
                    _ => Next::Nothing(taken),
                }
            }
            // What is behind its head waits with it.
            Incoming::Body { exchange, .. } if is_held(&self.exchanges, exchange) => {
                Next::Nothing(0)
            }
            Incoming::Body { .. } => match self.client_body(key, rest) {
                0 => Next::Nothing(0),
                taken => Next::PassedBy(taken),
            },
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
            // Of one that is whole see `client_request`.
            FromClient::Request(request) => {
                if self.has_to_wait(key, &request, false) {
                    return self.park(key, request, frame, Some(left));
                }
                self.start_large(key, request, frame, left);
            }
            FromClient::Refused {
                request,
                status,
                message,
            } => {
                self.skip_rest(key, left.unwrap_or(0));
                if let Some(exchange) = self.admit(key, request, frame.len()) {
                    self.open_log(exchange, frame, whole);
                    self.observe(exchange, frame, whole);
                    self.answer(exchange, status, message);
                }
            }
            FromClient::Answered => {
                self.answered_here(key);
                self.skip_rest(key, left.unwrap_or(0));
            }
            FromClient::Goodbye => {
                self.answered_here(key);
                self.client_says_goodbye(key);
            }
            FromClient::Response { id } => self.call_answered(key, id, frame, whole),
            FromClient::Cancel { id } => {
                if let Some(exchange) = self.flight_alone(key, id) {
                    self.finish(exchange, End::local(ResponseFlag::ClientDisconnected));
                }
            }
            FromClient::Ask(own) => self.ask(key, *own),
            FromClient::StreamData { .. } => {
                self.client_malformed(key, "this build of the core does not carry streams");
            }
        }
    }

    /// A whole request joins the one before it, goes behind it, waits, or starts.
    #[inline(always)]
    fn client_request(&mut self, key: ClientKey, request: Request, frame: &[u8], runs: &mut Runs) {
        if runs.parties.is_empty() {
            if self.join(&mut runs.newest, key, &request, frame) {
                return self.logged.pass();
            }
            self.end_joining(runs.newest.take());
        }
        if let Some(way) = self.short_way(key, (&request, frame), &runs.parties) {
            self.logged.pass();
            return self.go(way, key, (request, frame), &mut runs.parties);
        }
        self.end_parties(&mut runs.parties);
        if self.has_to_wait(key, &request, true) {
            return self.park(key, request, frame, None);
        }
        let _ = self.start(key, request, frame, true);
    }

    fn skip_rest(&mut self, key: ClientKey, left: u64) {
        if left > 0
            && let Some(client) = self.clients.get_mut(key)
        {
            client.incoming = Incoming::Skip(left);
        }
    }

    /// No further message can be found in what this client sends: it gets the answers that it is
    /// owed, then its connection closes.
    pub(super) fn client_malformed(&mut self, key: ClientKey, reason: &'static str) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.metrics.decode_error();
        if let Some(suppressed) = self.malformed.requests.take(self.now) {
            let (listener, peer) = (&client.listener, client.peer);
            tracing::info!(%listener, ?peer, reason, suppressed, "malformed request");
        }
        // It is still there: what it waits for is waited for.
        match client.incoming {
            Incoming::Body { .. } => return self.abandon_client(key),
            _ => self.finish_client(key),
        }
        if let Some(client) = self.clients.get_mut(key) {
            client.incoming = Incoming::Skip(u64::MAX);
        }
    }

    /// The client leaves once it has its answers; what it has sent behind its goodbye is not read.
    fn client_says_goodbye(&mut self, key: ClientKey) {
        self.finish_client(key);
        if let Some(client) = self.clients.get_mut(key) {
            client.incoming = Incoming::Skip(u64::MAX);
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
        if matches!(client.incoming, Incoming::Body { .. }) {
            return self.abandon_client(key);
        }
        if client.codec.end_of_file() == EndOfFile::Abandon {
            self.stop_waiting(key);
        }
        self.finish_client(key);
    }

    /// Gives up what a client that is gone waited for, as its server would: what is popped for it
    /// would have no reader. What it sent behind that the server would not have looked at.
    fn stop_waiting(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let exchanges = &self.exchanges;
        let flights = client.flights.iter();
        let flights = flights.filter_map(|key| Some((*key, exchanges.get(*key)?)));
        let flights: Vec<_> = flights
            .map(|(key, flight)| (flight.turn, flight.waits, key))
            .collect();
        let waits = flights.iter().filter(|(_, waits, _)| *waits);
        let first = waits.map(|(turn, ..)| *turn).min();
        let behind = flights.into_iter().filter(|(turn, waits, _)| {
            *waits || turn.is_some() && first.is_some_and(|first| *turn > first)
        });
        let mut waiting: Vec<_> = behind.map(|(turn, _, key)| (turn, key)).collect();
        // The newest first: what goes with its connection has nothing behind it there then.
        waiting.sort_by_key(|(turn, _)| std::cmp::Reverse(*turn));
        if !waiting.is_empty() || client.parked.as_ref().is_some_and(|it| it.request.waits) {
            let parked = client.parked.take();
            let parked = parked.map_or(0, |parked| parked.bytes.len());
            self.buffered = self.buffered.saturating_sub(parked);
            client.question = None;
            client.waiting = false;
            client.incoming = Incoming::Skip(u64::MAX);
        }
        for (_, flight) in waiting {
            self.finish(flight, End::local(ResponseFlag::ClientDisconnected));
        }
    }

    /// It gets the answers that it is owed, then its connection closes.
    pub(super) fn finish_client(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key).filter(|c| c.phase == Phase::Open) else {
            return;
        };
        client.phase = Phase::Finishing;
        client.reading = false;
        if !client.is_busy() {
            return self.close_after_flush(key);
        }
        let due = self.now + self.settings.stall;
        self.timers.set(due, Timer::ClientFinishing(key));
    }

    /// Nobody can tell a client that has only closed its sending side from one that is gone: it is
    /// not waited for without end, and what it asked for holds no place of others.
    pub(super) fn client_finishing(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        if client.outbox.is_empty() && client.writing.is_none() {
            return self.abandon_client(key);
        }
        let due = self.now + self.settings.stall;
        self.timers.set(due, Timer::ClientFinishing(key));
    }
}
