//! Adaptive concurrency: what comes when as many requests are under way as the route's endpoints can
//! serve is told to try later.

use meltemi_codec::{Pin, Status};
use rand::Rng;

use super::{
    Engine, ExchangeKey,
    exchange::{End, Exchange},
};
use crate::telemetry::{OutcomeLabel, ResponseFlag};

/// What a client is told.
const CROWDED: &str = "as many requests are under way as can be served";

impl Engine {
    /// Whether the request was refused, since there are enough.
    ///
    /// What waits on purpose and what ends a transaction is not counted.
    pub(super) fn crowded(&mut self, key: ExchangeKey) -> bool {
        let now = self.elapsed;
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return false;
        };
        let concurrency = exchange
            .route
            .as_ref()
            .and_then(|it| it.concurrency.as_ref());
        let Some(concurrency) =
            concurrency.filter(|_| !exchange.waits && exchange.pin != Pin::Release)
        else {
            return false;
        };
        exchange.slot = concurrency.admit(now).map(Box::new);
        if exchange.slot.is_some() {
            return false;
        }
        self.answer(key, Status::Overloaded, CROWDED);
        true
    }

    /// Learns from a request that is over: that it was answered so late, or was not in its time.
    pub(super) fn learn(&mut self, exchange: &mut Exchange, end: End) {
        let Some(slot) = exchange.slot.take() else {
            return;
        };
        if end.outcome != OutcomeLabel::Local || end.flag == ResponseFlag::Timeout {
            slot.answered(self.elapsed, self.random.random());
        }
    }
}
