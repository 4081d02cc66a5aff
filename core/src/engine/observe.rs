//! What is watched of a service's requests beyond their routes: how its operations do, which
//! requests are slow, and which keys are hot.
//!
//! A request's attributes are looked up once, when it arrives and its bytes are at hand; what is
//! needed of them at its end is kept in a box that is used again.

mod slow;

use std::{
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use meltemi_codec::{AttributeKey, Frame, Protocol};
use rand::Rng;
use slotmap::SecondaryMap;

use super::{
    Engine, ExchangeKey,
    allowance::Allowance,
    boxes::Boxes,
    client::Client,
    exchange::{End, Exchange},
    tables::{HostKey, ServiceKey},
};
use crate::{
    config::{self, Snapshot},
    hot_keys::{HotKeys, Summary},
    telemetry::{Operation, Operations},
};
use slow::Excerpt;

/// Bytes of an operation in a line about a slow request.
const OPERATION: usize = 64;
/// Bytes of a key in it.
const KEY: usize = 128;

/// What is watched, by service.
#[derive(Default)]
pub(super) struct Observer {
    services: SecondaryMap<ServiceKey, Watch>,
    spare: Boxes<Observed>,
    slow: Allowance,
}

/// What is watched of one service.
struct Watch {
    name: Rc<str>,
    operation: Option<AttributeKey>,
    key: Option<AttributeKey>,
    operations: Option<Operations>,
    /// From which duration on a request is slow.
    slow: Option<Duration>,
    hot: Option<HotKeys>,
}

/// What is kept of a request until its end.
#[derive(Default)]
pub(super) struct Observed {
    operation: Option<Operation>,
    slow: Option<Duration>,
    service: Rc<str>,
    operation_text: Excerpt,
    key_text: Excerpt,
    peer: Option<SocketAddr>,
    /// The endpoint that was asked last.
    asked: Option<HostKey>,
}

impl Observed {
    /// Notes an endpoint that is asked.
    pub(super) fn asks(&mut self, host: HostKey) {
        self.asked = Some(host);
    }
}

/// The hot keys of one service, as a worker sees them.
#[derive(Clone, Debug)]
pub struct ServiceKeys {
    /// The service's name.
    pub service: String,
    /// Its keys.
    pub summary: Summary,
}

impl Watch {
    /// `None` where there is nothing to watch.
    fn new(
        service: &config::Service,
        protocol: &dyn Protocol,
        operations: impl FnOnce(&str) -> Operations,
        hot: impl FnOnce() -> HotKeys,
    ) -> Option<Self> {
        let schema = protocol.attributes();
        let resolve = |name| AttributeKey::resolve(schema, name);
        let key = protocol.key_attribute().map(resolve);
        let wanted = service.operation_metrics || service.slow_request_threshold.is_some();
        (wanted || key.is_some()).then(|| Self {
            name: Rc::from(service.name.as_str()),
            operation: protocol.operation_attribute().map(resolve),
            operations: service.operation_metrics.then(|| operations(&service.name)),
            slow: service.slow_request_threshold,
            hot: key.is_some().then(hot),
            key,
        })
    }

    /// Whether anything has to be kept until the request's end.
    fn keeps(&self) -> bool {
        self.operations.is_some() || self.slow.is_some()
    }
}

impl Observer {
    /// Whether anything has to be kept of the service's requests until their end.
    pub(super) fn keeps(&self, service: ServiceKey) -> bool {
        self.services.get(service).is_some_and(Watch::keeps)
    }

    /// Counts the key of a client's request, if it is one of those that are counted.
    #[inline(always)]
    pub(super) fn sample(
        &mut self,
        (client, request): (&Client, Frame<'_>),
        now: Instant,
        random: impl FnOnce() -> u32,
    ) {
        let watch = self.services.get_mut(client.service);
        if let Some(Watch {
            hot: Some(hot),
            key: Some(key),
            ..
        }) = watch
            && let Some(requests) = hot.sampled(now, random)
            && let Some(key) = client.codec.attribute(request, key)
        {
            hot.count(&key, requests);
        }
    }
}

impl Engine {
    /// Takes in what a configuration wants to be watched. Counts of keys go on.
    pub(super) fn observe_services(&mut self, snapshot: &Snapshot) {
        let mut before = std::mem::take(&mut self.observer.services);
        for (key, service) in self.tables.services() {
            let Some(config) = snapshot.services.get(&*service.name) else {
                continue;
            };
            let hot = before.remove(key).and_then(|watch| watch.hot);
            let watch = Watch::new(
                config,
                service.protocol.as_ref(),
                |name| self.telemetry.operations(name),
                || hot.unwrap_or_else(|| HotKeys::new(self.now)),
            );
            if let Some(watch) = watch {
                self.observer.services.insert(key, watch);
            }
        }
    }

    /// A client's request has arrived: looks at what it is about.
    #[inline(always)]
    pub(super) fn observe(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(client) = self.clients.get(exchange.client) else {
            return;
        };
        let Some(watch) = self.observer.services.get_mut(client.service) else {
            return;
        };
        let frame = Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        let attribute = |key: &Option<AttributeKey>| {
            let key = key.as_ref()?;
            client.codec.attribute(frame, key)
        };
        let sampled = watch
            .hot
            .as_mut()
            .and_then(|hot| hot.sampled(self.now, || self.random.random()));
        let asked_for = if sampled.is_some() || watch.slow.is_some() {
            attribute(&watch.key)
        } else {
            None
        };
        if let (Some(requests), Some(key), Some(hot)) = (sampled, &asked_for, &mut watch.hot) {
            hot.count(key, requests);
        }
        if !watch.keeps() {
            return;
        }
        let operation = attribute(&watch.operation);
        let mut observed = self.observer.spare.used().unwrap_or_default();
        let operations = watch.operations.as_ref();
        observed.operation = operations.map(|all| all.resolve(operation.as_deref()));
        observed.asked = None;
        observed.slow = watch.slow;
        if watch.slow.is_some() {
            observed.service = Rc::clone(&watch.name);
            observed
                .operation_text
                .take(operation.as_deref(), OPERATION);
            observed.key_text.take(asked_for.as_deref(), KEY);
            observed.peer = client.peer;
        }
        exchange.observed = Some(observed);
    }

    /// Counts a request that is over by its operation, and logs it if it was slow.
    #[inline]
    pub(super) fn observed(&mut self, exchange: &mut Exchange, end: End, duration: Duration) {
        let Some(mut observed) = exchange.observed.take() else {
            return;
        };
        if let Some(operation) = observed.operation.take() {
            operation.record(end.outcome, duration);
        }
        if observed.slow.is_some_and(|slow| duration >= slow)
            && let Some(suppressed) = self.observer.slow.take(self.now)
        {
            self.log_slow(exchange, &observed, (end, duration), suppressed);
        }
        self.observer.spare.give(observed);
    }

    /// Nothing of a request but its key is shown: arguments may be secrets.
    fn log_slow(
        &self,
        exchange: &Exchange,
        observed: &Observed,
        (end, duration): (End, Duration),
        suppressed: u64,
    ) {
        let asked = observed.asked.and_then(|host| self.tables.hosts.get(host));
        tracing::warn!(
            target: "meltemi::slow",
            service = %observed.service,
            route = exchange.route.as_ref().map_or("", |route| route.name.as_str()),
            operation = %observed.operation_text,
            key = %observed.key_text,
            client = %observed.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            endpoint = %asked.map(|host| host.address.to_string()).unwrap_or_default(),
            duration_ms = duration.as_secs_f64() * 1000.0,
            outcome = %end.outcome,
            flag = %end.flag,
            suppressed,
            "slow request"
        );
    }

    /// The keys that are asked for most, for the admin pages.
    pub fn hot_keys(&mut self, now: Instant) -> Vec<ServiceKeys> {
        let watches = self.observer.services.values_mut();
        let hot = watches.filter_map(|watch| {
            Some(ServiceKeys {
                service: watch.name.to_string(),
                summary: watch.hot.as_mut()?.summary(now),
            })
        });
        hot.collect()
    }
}
