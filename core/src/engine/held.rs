//! Requests that are kept as they came, until a time has come or somebody has decided.

use std::rc::Rc;

use slotmap::SlotMap;

use super::{
    Engine, ExchangeKey, exchange::Exchange, faults::Injected, tables::GlobalLimit,
    timers::TimerKey,
};

/// A request that is kept.
pub(super) struct Held {
    pub(super) request: Vec<u8>,
    /// Else it is the head of a large one, whose body is not read before it goes on.
    pub(super) whole: bool,
    pub(super) until: Until,
}

/// What it is kept for.
pub(super) enum Until {
    /// A delay is over. Then it is answered with this, instead of being served.
    Delayed(Option<Injected>),
    /// A service has said whether it is within a limit, or this timer has.
    Decided(Rc<GlobalLimit>, TimerKey),
}

pub(super) fn is_held(exchanges: &SlotMap<ExchangeKey, Exchange>, key: ExchangeKey) -> bool {
    let exchange = exchanges.get(key);
    exchange.is_some_and(|exchange| exchange.held.is_some())
}

impl Engine {
    pub(super) fn hold(&mut self, key: ExchangeKey, (bytes, whole): (&[u8], bool), until: Until) {
        let mut request = self.spare.take();
        request.extend_from_slice(bytes);
        self.buffered += request.len();
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.held = Some(Box::new(Held {
                request,
                whole,
                until,
            }));
            self.let_nothing_follow(key);
        }
    }

    /// Takes what is kept of a request, if it is kept for that.
    pub(super) fn release(
        &mut self,
        key: ExchangeKey,
        is_it: impl FnOnce(&Until) -> bool,
    ) -> Option<Held> {
        let exchange = self.exchanges.get_mut(key)?;
        let held = exchange.held.take_if(|held| is_it(&held.until))?;
        self.buffered = self.buffered.saturating_sub(held.request.len());
        Some(*held)
    }

    /// An exchange ends while it is kept.
    pub(super) fn drop_held(&mut self, key: ExchangeKey) {
        let Some(held) = self.release(key, |_| true) else {
            return;
        };
        if let Until::Decided(_, timer) = held.until {
            self.timers.cancel(timer);
            self.questions = self.questions.saturating_sub(1);
        }
        self.spare.give(held.request);
    }

    /// A request that was kept is served.
    pub(super) fn go_on(&mut self, key: ExchangeKey, (request, whole): (Vec<u8>, bool)) {
        let client = self.exchanges.get(key).map(|exchange| exchange.client);
        self.serve(key, &request, whole);
        self.spare.give(request);
        if let Some(client) = client.filter(|_| !whole) {
            self.client_received(client, &[]);
        }
    }
}
