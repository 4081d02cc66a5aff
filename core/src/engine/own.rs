//! Requests that the proxy makes itself: a question of a codec, a part of a client's request, a
//! probe of a cluster's topology. They go the way of a client's; their answers do not.

use std::rc::Rc;

use meltemi_codec::{Frame, LocalReply, OwnRequest, Status};

use super::{
    ClientKey, Engine, ExchangeKey, TopologyKey,
    exchange::{End, Exchange},
    tables::{Destination, HostKey},
};
use crate::telemetry::ResponseFlag;

/// Where the answer to a request of the proxy's own goes.
pub(super) struct Own {
    pub(super) purpose: Purpose,
    /// What there is of the answer.
    pub(super) answer: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// The codec of its client has to know before it can go on.
    Question,
    /// It serves a part of another exchange.
    Part { of: ExchangeKey, n: usize },
    /// It tells how the endpoints of a cluster divide the keys.
    Probe(TopologyKey),
    /// It is the copy of a request: nobody reads its answer.
    Mirror,
}

impl Engine {
    /// A client's codec asks something of the server. Nothing more of the client is decoded before
    /// it has learned the answer; and since its requests keep their order, it asks only once its
    /// client is owed nothing.
    pub(super) fn ask(&mut self, key: ClientKey, own: OwnRequest) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        client.waiting = true;
        if client.keeps_order() && !client.flights.is_empty() {
            client.question = Some(Box::new(own));
            return;
        }
        let limit = self.settings.stall;
        let exchange = self.enter_own(key, &own, Purpose::Question);
        if !self.authorized(exchange, &own.bytes, true) {
            return;
        }
        if let Err(status) = self.route(exchange, &own.bytes, true) {
            return self.fail(exchange, status);
        }
        self.set_deadline(exchange, Some(limit));
        self.dispatch(exchange, &own.bytes, true);
    }

    pub(super) fn enter_own(
        &mut self,
        client: ClientKey,
        own: &OwnRequest,
        purpose: Purpose,
    ) -> ExchangeKey {
        let mut exchange = Exchange::new(client, own.request.clone(), self.elapsed);
        exchange.own = Some(Box::new(Own {
            purpose,
            answer: self.spare.take(),
        }));
        self.enter(exchange)
    }

    /// Asks an endpoint of the cluster, for nobody.
    pub(super) fn probe(
        &mut self,
        topology: TopologyKey,
        (to, aim): (Rc<Destination>, Option<HostKey>),
        own: &OwnRequest,
    ) {
        let key = self.enter_own(ClientKey::default(), own, Purpose::Probe(topology));
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.to = Some(to);
            exchange.aim = aim;
        }
        let limit = self.settings.probe;
        self.set_deadline(key, Some(limit));
        self.attempt(key, &own.bytes, true);
    }

    /// More of an answer to a request of the proxy's own; it is kept as a whole.
    pub(super) fn own_answer(&mut self, key: ExchangeKey, bytes: &[u8]) {
        let most = self.settings.client_limit;
        let Some(own) = self
            .exchanges
            .get_mut(key)
            .and_then(|exchange| exchange.own.as_mut())
        else {
            return;
        };
        if matches!(own.purpose, Purpose::Mirror) {
            return;
        }
        if own.answer.len() + bytes.len() > most {
            self.buffered = self.buffered.saturating_sub(own.answer.len());
            own.answer = Vec::new();
            return self.answer(key, Status::TooLarge, "the answer is too large to be kept");
        }
        own.answer.extend_from_slice(bytes);
        self.buffered += bytes.len();
    }

    /// The answer is complete.
    pub(super) fn own_ends(&mut self, key: ExchangeKey, end: End) {
        self.settle_own(key, Some(()), end);
    }

    /// There is no answer: whoever asked has to live without.
    pub(super) fn own_failed(&mut self, key: ExchangeKey, status: Status, message: &str) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(own) = exchange.own.as_mut() else {
            return;
        };
        self.buffered = self.buffered.saturating_sub(own.answer.len());
        own.answer.clear();
        let mut answered = None;
        let mut end = End::local(ResponseFlag::from(status));
        if let Purpose::Part { .. } = own.purpose
            && let Some(client) = self.clients.get_mut(exchange.client)
        {
            let reply = LocalReply { status, message };
            let told =
                client
                    .codec
                    .local_reply(exchange.id, &exchange.memo, reply, &mut own.answer);
            self.buffered += own.answer.len();
            answered = told.map(|code| end.code = code);
        }
        self.settle_own(key, answered, end);
    }

    fn settle_own(&mut self, key: ExchangeKey, answered: Option<()>, end: End) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let client = exchange.client;
        let memo = std::mem::take(&mut exchange.memo);
        let asked = exchange.attempt.map(|sent| sent.host);
        let Some(own) = exchange.own.as_mut() else {
            return;
        };
        let (purpose, bytes) = (own.purpose, std::mem::take(&mut own.answer));
        self.buffered = self.buffered.saturating_sub(bytes.len());
        self.finish(key, end);
        match purpose {
            Purpose::Question => {
                let frame = Frame {
                    bytes: &bytes,
                    whole: true,
                    memo: &memo,
                };
                if let Some(asking) = self.clients.get_mut(client) {
                    asking.codec.learn(answered.map(|()| frame));
                    self.unparked.push(client);
                }
                self.spare.give(bytes);
            }
            Purpose::Part { of, n } => {
                self.part_answered(of, n, bytes, answered.map(|()| end));
            }
            Purpose::Mirror => self.spare.give(bytes),
            Purpose::Probe(topology) => {
                self.probe_answered(topology, asked, answered.map(|()| bytes.as_slice()));
                self.spare.give(bytes);
            }
        }
    }
}
