//! The access log's line of an exchange, drawn up only for those that are logged.

use std::time::{Duration, Instant};

use super::{
    Engine, ExchangeKey,
    client::Client,
    exchange::{End, Exchange},
    own::Purpose,
};
use crate::{
    access_log::{Attempt, Entry},
    telemetry::{OutcomeLabel, ResponseFlag},
};

/// Of an attempt of which nothing else is known yet.
const UNDER_WAY: &str = OutcomeLabel::Ok.as_str();

/// What has to be kept for the log while the exchange lasts.
#[derive(Debug, Default)]
pub(super) struct Draft {
    attributes: Vec<(String, String)>,
    attempts: Vec<Attempt>,
    locality: String,
    asked: Option<Instant>,
    /// The attempts are those of its parts, each of which has ended in its own way.
    in_parts: bool,
}

impl Exchange {
    /// Notes what became of an attempt that is not the last, and of the one that was made beside it.
    pub(super) fn note_failure(&mut self, word: &'static str) {
        if let Some(draft) = &mut self.log {
            settle(&mut draft.attempts, word);
        }
    }
}

/// What became of those under way: the last one, and, where the request was hedged, the one before it.
fn settle(attempts: &mut [Attempt], word: &'static str) {
    if let [before @ .., last] = attempts {
        last.result = word;
        let under_way = before.iter_mut().filter(|it| it.result == UNDER_WAY);
        under_way.for_each(|it| it.result = word);
    }
}

impl Engine {
    /// Notes that of two attempts under way one does not count any more: the last, or the one before
    /// it.
    pub(super) fn log_parted(&mut self, key: ExchangeKey, is_last: bool, word: &'static str) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let host = exchange.attempt.map(|sent| sent.host);
        if let (Some(observed), Some(host)) = (&mut exchange.observed, host) {
            observed.asks(host);
        }
        let Some(draft) = &mut exchange.log else {
            return;
        };
        if let [.., before, last] = draft.attempts.as_mut_slice() {
            if is_last {
                std::mem::swap(before, last);
            }
            before.result = word;
        }
        if let Some(host) = host.and_then(|host| self.tables.hosts.get(host)) {
            draft.locality = host.locality.to_string();
        }
    }

    /// Opens the exchange's line if it is to have one, with the protocol's own attributes.
    #[inline(always)]
    pub(super) fn open_log(&mut self, key: ExchangeKey, bytes: &[u8], whole: bool) {
        if !self.logged.take(&mut self.random) {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(client) = self.clients.get(exchange.client) else {
            return;
        };
        let Some(service) = self.tables.service(client.service) else {
            return;
        };
        let frame = meltemi_codec::Frame {
            bytes,
            whole,
            memo: &exchange.memo,
        };
        let attributes = service
            .known
            .iter()
            .zip(service.protocol.attributes())
            .filter_map(|(key, def)| {
                let value = client.codec.attribute(frame, key)?;
                Some((
                    def.name.to_owned(),
                    String::from_utf8_lossy(&value).into_owned(),
                ))
            })
            .collect();
        exchange.log = Some(Box::new(Draft {
            attributes,
            ..Draft::default()
        }));
    }

    /// Notes an endpoint that is asked.
    pub(super) fn log_attempt(&mut self, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.get_mut(key) else {
            return;
        };
        if let (Some(observed), Some(sent)) = (&mut exchange.observed, exchange.attempt) {
            observed.asks(sent.host);
        }
        let is_hedged = exchange.is_hedged();
        let (Some(draft), Some(sent)) = (&mut exchange.log, exchange.attempt) else {
            return;
        };
        if let Some(host) = self.tables.hosts.get(sent.host) {
            if let Some(last) = draft.attempts.last_mut()
                && last.result == UNDER_WAY
                && !is_hedged
            {
                last.result = ResponseFlag::ConnectFailure.word();
            }
            draft.attempts.push(Attempt {
                endpoint: host.address.to_string(),
                result: UNDER_WAY,
            });
            draft.locality = host.locality.to_string();
            draft.asked = Some(self.now);
        }
    }

    /// What is kept of a part of an exchange, where that is to have a line.
    pub(super) fn open_log_of_part(&mut self, key: ExchangeKey, of: ExchangeKey) {
        let is_logged = |exchange: &Exchange| exchange.log.is_some();
        if self.exchanges.get(of).is_some_and(is_logged)
            && let Some(part) = self.exchanges.get_mut(key)
        {
            part.log = Some(Box::default());
        }
    }

    /// A part has ended: whom it has asked is told with the whole.
    fn log_part(&mut self, of: ExchangeKey, part: Draft, end: End) {
        let whole = self.exchanges.get_mut(of);
        let Some(whole) = whole.and_then(|exchange| exchange.log.as_mut()) else {
            return;
        };
        let mut attempts = part.attempts;
        settle(&mut attempts, word(end));
        whole.in_parts = true;
        whole.attempts.append(&mut attempts);
        whole.locality = part.locality;
        whole.asked = whole.asked.or(part.asked);
    }

    /// Hands the finished line over.
    pub(super) fn write_log(&mut self, exchange: Exchange, end: End) {
        let (Some(log), Some(draft)) = (self.telemetry.access_log(), exchange.log) else {
            return;
        };
        if let Some(Purpose::Part { of, .. }) = exchange.own.map(|own| own.purpose) {
            return self.log_part(of, *draft, end);
        }
        let client = self.clients.get(exchange.client);
        let service = client.and_then(|client| self.tables.service(client.service));
        let (peer, principal) = client.map(who).unwrap_or_default();
        let Draft {
            attributes,
            mut attempts,
            locality,
            asked,
            in_parts,
        } = *draft;
        if !in_parts {
            settle(&mut attempts, word(end));
        }
        log.write(Entry {
            start: self.origin + Duration::from_nanos(exchange.started),
            service: service
                .map(|service| service.name.to_string())
                .unwrap_or_default(),
            protocol: service
                .map(|service| service.protocol.id())
                .unwrap_or_default(),
            route: exchange
                .route
                .as_ref()
                .map(|route| route.name.clone())
                .unwrap_or_default(),
            owner: exchange
                .route
                .as_ref()
                .map(|route| route.owner.clone())
                .unwrap_or_default(),
            destination: exchange
                .to
                .map(|to| to.cluster.name.to_string())
                .unwrap_or_default(),
            endpoint: attempts
                .last()
                .map(|last| last.endpoint.clone())
                .unwrap_or_default(),
            locality,
            attempts,
            attributes,
            peer,
            principal,
            duration: Duration::from_nanos(self.elapsed.saturating_sub(exchange.started)),
            upstream: asked.map(|asked| self.now.saturating_duration_since(asked)),
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
            outcome: end.outcome,
            code: end.code,
            flag: end.flag,
            detail: String::new(),
        });
    }
}

fn word(end: End) -> &'static str {
    match end.flag {
        ResponseFlag::None => end.outcome.as_str(),
        flag => flag.word(),
    }
}

/// A client's address and its identity.
fn who(client: &Client) -> (String, String) {
    let peer = client.peer.map(|peer| peer.to_string());
    let principal = client.source.principal.as_deref().unwrap_or_default();
    (peer.unwrap_or_default(), principal.to_owned())
}
