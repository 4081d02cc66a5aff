//! Faults that are injected on purpose: a share of the requests is delayed, or answered with an error.

use std::{borrow::Cow, time::Duration};

use meltemi_codec::{Downstream, Frame, Status};
use rand::Rng;

use super::{Engine, ExchangeKey, Timer, held::Until, tables::Service};
use crate::{
    config::{RouteFault, Share},
    telemetry::ResponseFlag,
};

/// What a route's fault says in the place of an answer.
const INJECTED: &str = "fault injected";

/// What befalls a request.
#[derive(Default)]
struct Drawn {
    delay: Option<Duration>,
    error: Option<Injected>,
}

/// An error in the place of an answer.
pub(super) struct Injected {
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
            (None, Some(error)) => self.answer_injected(key, &error),
            (Some(delay), error) => {
                self.timers.set(self.now + delay, Timer::Delayed(key));
                self.hold(key, (bytes, whole), Until::Delayed(error));
            }
        }
        true
    }

    /// Answers as if something had failed that a fault stands for.
    fn answer_injected(&mut self, key: ExchangeKey, error: &Injected) {
        let told = (error.status, ResponseFlag::FaultInjected);
        self.answer_one(key, told, &error.text);
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
        let Some(held) = self.release(key, |until| matches!(until, Until::Delayed(_))) else {
            return;
        };
        match held.until {
            Until::Delayed(Some(error)) => {
                self.answer_injected(key, &error);
                self.spare.give(held.request);
            }
            _ => self.go_on(key, (held.request, held.whole)),
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
