//! Faults that are injected on purpose: a share of the requests is delayed, or answered with an error.

use std::{borrow::Cow, time::Duration};

use meltemi_codec::{Downstream, Frame, Status};
use rand::Rng;

use super::{Engine, ExchangeKey, Timer, tables::Service};
use crate::config::{RouteFault, Share};

/// What a route's fault says in the place of an answer.
const INJECTED: &str = "fault injected";

/// A request whose time has not come.
pub(super) struct Delayed {
    request: Vec<u8>,
    /// Then it is answered with this, instead of being served.
    error: Option<Injected>,
}

/// What befalls a request.
#[derive(Default)]
struct Drawn {
    delay: Option<Duration>,
    error: Option<Injected>,
}

/// An error in the place of an answer.
struct Injected {
    status: Status,
    text: Cow<'static, str>,
}

impl Engine {
    /// Whether a fault keeps the request from being served now. One that is too large to be kept
    /// has none.
    pub(super) fn faulted(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> bool {
        let Drawn { delay, error } = self.drawn_fault(key, bytes, whole);
        match (delay, error) {
            (None, None) => return false,
            (None, Some(error)) => self.answer_injected(key, error.status, &error.text),
            (Some(delay), error) => self.hold(key, bytes, (delay, error)),
        }
        true
    }

    fn hold(
        &mut self,
        key: ExchangeKey,
        bytes: &[u8],
        (delay, error): (Duration, Option<Injected>),
    ) {
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
    }

    /// That of its service, else that of its route.
    fn drawn_fault(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> Drawn {
        let drawn = self.of_service(key, bytes, whole);
        drawn
            .or_else(|| self.of_route(key).filter(|_| whole))
            .unwrap_or_default()
    }

    /// The first of its service's faults that the request draws.
    fn of_service(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) -> Option<Drawn> {
        let exchange = self.exchanges.get(key)?;
        let client = self.clients.get(exchange.client)?;
        let service = self.tables.service(client.service)?;
        if service.faults.is_empty() || !whole {
            return None;
        }
        let memo = &exchange.memo;
        let operation = operation(service, client.codec.as_ref(), Frame { bytes, whole, memo });
        let concerned = |operations: &[String]| {
            operations.is_empty()
                || operations
                    .iter()
                    .any(|name| operation.eq_ignore_ascii_case(name.as_bytes()))
        };
        let random = &mut self.random;
        let drawn = service
            .faults
            .iter()
            .find(|fault| concerned(&fault.operations) && draws(random, fault.share))?;
        Some(Drawn {
            delay: drawn.delay,
            error: drawn.error.clone().map(|text| Injected {
                status: Status::FaultInjected,
                text: Cow::Owned(text),
            }),
        })
    }

    /// What the request draws of its route's delay and abort, each for itself.
    ///
    /// Who has bound a connection is let be: that connection would wait for what was not sent.
    fn of_route(&mut self, key: ExchangeKey) -> Option<Drawn> {
        let exchange = self.exchanges.get(key)?;
        let client = self.clients.get(exchange.client)?;
        let RouteFault { delay, abort } = exchange.route.as_ref()?.fault.as_ref()?;
        if client.pin.is_some() {
            return None;
        }
        let random = &mut self.random;
        let delay = delay.filter(|(share, _)| draws(random, *share));
        let abort = abort.filter(|(share, _)| draws(random, *share));
        Some(Drawn {
            delay: delay.map(|(_, delay)| delay),
            error: abort.map(|(_, status)| Injected {
                status,
                text: Cow::Borrowed(INJECTED),
            }),
        })
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
            Some(error) => self.answer_injected(key, error.status, &error.text),
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

fn operation<'m>(service: &Service, codec: &'m dyn Downstream, frame: Frame<'m>) -> Cow<'m, [u8]> {
    let attribute = service.operation_attribute.as_ref();
    let value = attribute.and_then(|attribute| codec.attribute(frame, attribute));
    value.unwrap_or(Cow::Borrowed(b""))
}

fn draws(random: &mut impl Rng, share: Share) -> bool {
    random.random_range(0..1_000_000) < share.per_million()
}

impl Delayed {
    pub(super) fn len(&self) -> usize {
        self.request.len()
    }
}
