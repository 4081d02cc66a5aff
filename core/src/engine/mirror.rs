//! Copies of requests, which nobody waits for.

use std::rc::Rc;

use meltemi_codec::{Answers, Constraint, Frame, OwnRequest, Pin, Request};
use rand::Rng;

use super::{ClientKey, Engine, ExchangeKey, own::Purpose, tables::Destination};
use crate::config::Share;

/// A cluster that gets copies.
pub(super) struct Mirror {
    pub(super) to: Rc<Destination>,
    pub(super) share: Share,
    /// Requests that change nothing are not copied.
    pub(super) exclude_idempotent: bool,
}

impl Engine {
    /// Sends a copy of the request to where its route wants one, unless there are too many already.
    /// What becomes of a copy touches nothing else.
    ///
    /// A request that is bound to a connection has no copy, nor has one that is too large to be kept.
    pub(super) fn mirror(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        let Some(exchange) = self.exchanges.get(key) else {
            return;
        };
        let Some(route) = exchange.route.as_ref() else {
            return;
        };
        let client = self.clients.get(exchange.client);
        let Some(client) = client.filter(|client| client.pin.is_none()) else {
            return;
        };
        let passing = matches!(exchange.pin, Pin::None | Pin::UntilReply) && !exchange.waits;
        if !whole || !passing {
            return;
        }
        if exchange
            .own
            .as_ref()
            .is_some_and(|own| matches!(own.purpose, Purpose::Question))
        {
            return;
        }
        let route = Rc::clone(route);
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        // Of what the copy's client asks nobody knows later whose it was.
        let constraint = match &exchange.constraint {
            Constraint::Key => client.codec.constraint(frame),
            known => Some(known.clone()),
        };
        let own = OwnRequest {
            request: Request {
                answers: exchange.answers,
                pin: exchange.pin,
                constraint: constraint.unwrap_or_default(),
                session: exchange.session.clone(),
                idempotent: exchange.idempotent,
                ..Request::unary(exchange.id, exchange.memo.clone())
            },
            bytes: Box::from(bytes),
        };
        for mirror in &route.mirrors {
            self.copy(mirror, &own);
        }
    }

    fn copy(&mut self, mirror: &Mirror, own: &OwnRequest) {
        let drawn = self.random.random_range(0..1_000_000) < mirror.share.per_million();
        let spared = mirror.exclude_idempotent && own.request.idempotent;
        if !drawn || spared || self.mirrors >= self.settings.mirrors {
            return;
        }
        if self.buffered > self.settings.buffered / 2 {
            return;
        }
        let key = self.enter_own(ClientKey::default(), own, Purpose::Mirror);
        self.mirrors += 1;
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.to = Some(Rc::clone(&mirror.to));
        }
        if own.request.answers != Answers::None {
            let limit = self.settings.stall;
            self.set_deadline(key, Some(limit));
        }
        self.attempt(key, &own.bytes, true);
    }
}
