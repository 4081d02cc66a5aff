//! Faults that are injected on purpose: a share of the requests is delayed, or answered with an error.

use std::borrow::Cow;

use meltemi_codec::{Frame, Status};
use rand::Rng;

use super::{Engine, ExchangeKey, Timer};

/// A request whose time has not come.
pub(super) struct Delayed {
    request: Vec<u8>,
    /// Then it is answered with this, instead of being served.
    error: Option<String>,
}

impl Engine {
    /// Whether a fault keeps the request from being served now. One that is too large to be kept
    /// has none.
    pub(super) fn faulted(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        let Some((delay, error)) = self.drawn_fault(key, bytes, whole) else {
            return false;
        };
        let Some(delay) = delay else {
            let error = error.unwrap_or_default();
            self.answer(key, Status::FaultInjected, &error);
            return true;
        };
        let mut request = self.spare.take();
        request.extend_from_slice(bytes);
        self.buffered += request.len();
        let due = self.now + delay;
        self.timers.set(due, Timer::Delayed(key));
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.delayed = Some(Box::new(Delayed { request, error }));
            // What its client sends from now on must not overtake it.
            if let Some(client) = self.clients.get_mut(exchange.client)
                && client.keeps_order()
            {
                client.waiting = true;
            }
        }
        true
    }

    fn drawn_fault(
        &mut self,
        key: ExchangeKey,
        bytes: &[u8],
        whole: bool,
    ) -> Option<(Option<std::time::Duration>, Option<String>)> {
        let exchange = self.exchanges.get(key)?;
        let client = self.clients.get(exchange.client)?;
        let service = self.tables.service(client.service)?;
        if service.faults.is_empty() || !whole {
            return None;
        }
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        let operation = service
            .operation_attribute
            .as_ref()
            .and_then(|attribute| client.codec.attribute(frame, attribute))
            .unwrap_or(Cow::Borrowed(b""));
        let concerned = |operations: &[String]| {
            operations.is_empty()
                || operations
                    .iter()
                    .any(|name| operation.eq_ignore_ascii_case(name.as_bytes()))
        };
        let drawn = service.faults.iter().find(|fault| {
            concerned(&fault.operations)
                && self.random.random_range(0..1_000_000) < fault.share.per_million()
        })?;
        Some((drawn.delay, drawn.error.clone()))
    }

    pub(super) fn delay_is_over(&mut self, key: ExchangeKey) {
        let Some(delayed) = self
            .exchanges
            .get_mut(key)
            .and_then(|exchange| exchange.delayed.take())
        else {
            return;
        };
        let Delayed { request, error } = *delayed;
        self.buffered = self.buffered.saturating_sub(request.len());
        match error {
            Some(error) => self.answer(key, Status::FaultInjected, &error),
            None => self.serve(key, &request, true),
        }
        self.spare.give(request);
    }

    /// An exchange ends before its time has come.
    pub(super) fn drop_delayed(&mut self, key: ExchangeKey) {
        let delayed = self.exchanges.get_mut(key).and_then(|e| e.delayed.take());
        if let Some(delayed) = delayed {
            self.buffered = self.buffered.saturating_sub(delayed.request.len());
        }
    }
}

impl Delayed {
    pub(super) fn len(&self) -> usize {
        self.request.len()
    }
}
