//! Copies of requests, which nobody waits for.

use std::rc::Rc;

use meltemi_codec::{Answers, Constraint, Frame, OwnRequest, Pin, Request};
use rand::Rng;

use super::{
    ClientKey, Engine, ExchangeKey,
    exchange::{End, Exchange},
    own::Purpose,
    tables::{Destination, Route},
};
use crate::{
    config::Share,
    telemetry::{ClusterMetrics, OutcomeLabel},
};

/// A cluster that gets copies.
pub(super) struct Mirror {
    pub(super) to: Rc<Destination>,
    pub(super) share: Share,
    /// Requests that change nothing are not copied.
    pub(super) exclude_idempotent: bool,
}

impl Mirror {
    fn count(&self, event: fn(&ClusterMetrics)) {
        self.to.copies.iter().for_each(event);
    }
}

impl Engine {
    /// Sends a copy of the request to where its route wants one, unless there are too many already.
    /// What becomes of a copy touches nothing else.
    ///
    /// A request that is bound to a connection has no copy, nor has one that is too large to be kept.
    pub(super) fn mirror(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        let Some(route) = self.copied_by(key).filter(|_| whole) else {
            return;
        };
        let mut own = None;
        for mirror in &route.mirrors {
            if !self.is_drawn(key, mirror) {
                continue;
            }
            if self.mirrors >= self.settings.mirrors || self.buffered > self.settings.buffered / 2 {
                mirror.count(ClusterMetrics::copy_left_out);
                continue;
            }
            own = own.or_else(|| self.copy_of(key, bytes));
            if let Some(own) = &own {
                let hash = self.hash_for(key, &mirror.to, bytes, whole);
                self.copy(mirror, own, hash);
            }
        }
    }

    /// The route that wants copies of a request, if it can have any.
    fn copied_by(&self, key: ExchangeKey) -> Option<Rc<Route>> {
        let exchange = self.exchanges.get(key)?;
        let client = self.clients.get(exchange.client)?;
        let is_question = exchange
            .own
            .as_ref()
            .is_some_and(|own| matches!(own.purpose, Purpose::Question));
        let is_passing = matches!(exchange.pin, Pin::None | Pin::UntilReply) && !exchange.waits;
        let route = exchange.route.as_ref()?;
        (client.pin.is_none() && is_passing && !is_question).then(|| Rc::clone(route))
    }

    fn is_drawn(&mut self, key: ExchangeKey, mirror: &Mirror) -> bool {
        let drawn = self.random.random_range(0..1_000_000) < mirror.share.per_million();
        let exchange = self.exchanges.get(key).filter(|_| drawn);
        exchange.is_some_and(|it| !(mirror.exclude_idempotent && it.idempotent))
    }

    fn copy_of(&self, key: ExchangeKey, bytes: &[u8]) -> Option<OwnRequest> {
        let exchange = self.exchanges.get(key)?;
        let client = self.clients.get(exchange.client)?;
        let frame = Frame {
            bytes,
            whole: true,
            memo: &exchange.memo,
        };
        // Of what the copy's client asks nobody knows later whose it was.
        let constraint = match &exchange.constraint {
            Constraint::Key => client.codec.constraint(frame),
            known => Some(known.clone()),
        };
        Some(OwnRequest {
            request: Request {
                answers: exchange.answers,
                pin: exchange.pin,
                constraint: constraint.unwrap_or_default(),
                session: exchange.session.clone(),
                idempotent: exchange.idempotent,
                ..Request::unary(exchange.id, exchange.memo.clone())
            },
            bytes: Box::from(bytes),
        })
    }

    fn copy(&mut self, mirror: &Mirror, own: &OwnRequest, hash: Option<u64>) {
        let key = self.enter_own(ClientKey::default(), own, Purpose::Mirror);
        self.mirrors += 1;
        mirror.count(ClusterMetrics::copied);
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.to = Some(Rc::clone(&mirror.to));
            exchange.hash = hash;
        }
        if own.request.answers != Answers::None {
            let limit = self.settings.stall;
            self.set_deadline(key, Some(limit));
        }
        self.attempt(key, &own.bytes, true);
    }

    /// A request of the proxy's own is over; if it was a copy, there is room for another.
    pub(super) fn copy_is_over(&mut self, exchange: &Exchange, end: End) {
        let own = exchange.own.as_ref();
        if !own.is_some_and(|own| matches!(own.purpose, Purpose::Mirror)) {
            return;
        }
        self.mirrors = self.mirrors.saturating_sub(1);
        let Some(metrics) = exchange.to.as_ref().and_then(|to| to.copies.as_ref()) else {
            return;
        };
        match end.outcome {
            OutcomeLabel::Local => metrics.copy_failed(),
            _ if exchange.answers == Answers::None => {}
            _ => metrics.copy_answered(),
        }
    }
}
