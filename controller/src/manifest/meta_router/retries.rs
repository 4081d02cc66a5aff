//! `retries`: when a route's requests are sent again.

use std::time::Duration;

use super::super::decode::{Decoder, Field, Fields};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retries {
    /// Beyond the first sending.
    pub(crate) attempts: u32,
    pub(crate) per_try_timeout: Option<Duration>,
    /// At least one.
    pub(crate) on: Vec<RetryOn>,
    pub(crate) backoff: Option<Duration>,
    pub(crate) non_idempotent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryOn {
    ConnectFailure,
    ResetBeforeBytes,
    SystemError,
    Overloaded,
    Timeout,
}

impl RetryOn {
    const ALL: [Self; 5] = [
        Self::ConnectFailure,
        Self::ResetBeforeBytes,
        Self::SystemError,
        Self::Overloaded,
        Self::Timeout,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ConnectFailure => "connect-failure",
            Self::ResetBeforeBytes => "reset-before-bytes",
            Self::SystemError => "system-error",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
        }
    }
}

/// Where nothing else is said: after what leaves no doubt that the request was not executed.
const DEFAULT: [RetryOn; 2] = [RetryOn::ConnectFailure, RetryOn::Overloaded];

/// So many tries a request may take at most, and what a person would write by mistake is more.
const MOST: i64 = 100;

const RETRIES: &[Field] = &[
    Field::InForce("attempts"),
    Field::InForce("perTryTimeout"),
    Field::InForce("retryOn"),
    Field::InForce("backoff"),
    Field::InForce("retryNonIdempotent"),
    // Another endpoint comes first anyhow, wherever it is.
    Field::NoEffect("retryIgnorePreviousHosts"),
    Field::NoEffect("retryRemoteLocalities"),
];

/// `None`: nothing is sent again, or something is wrong.
pub(super) fn decode(
    d: &mut Decoder,
    node: &Node,
    route_timeout: Option<Duration>,
) -> Option<Retries> {
    let fields = d.fields("retries", node, RETRIES);
    if fields.node("attempts").is_none() {
        fields.missing(d, "attempts");
    }
    let attempts = fields.integer(d, "attempts", 0..=MOST);
    let per_try_timeout = fields.duration(d, "perTryTimeout");
    let on = conditions(d, &fields);
    let backoff = fields.duration(d, "backoff");
    let non_idempotent = fields.boolean(d, "retryNonIdempotent");
    if let (Some(try_), Some(route), Some(entry)) = (
        per_try_timeout,
        route_timeout,
        fields.entry("perTryTimeout"),
    ) && try_ > route
    {
        d.invalid(
            entry.at,
            "`retries.perTryTimeout` is longer than the route's `timeout`, so that it never ends a try",
            "make it shorter than `timeout`, or leave it out",
        );
    }
    let attempts = u32::try_from(attempts?.value).ok().filter(|it| *it > 0)?;
    Some(Retries {
        attempts,
        per_try_timeout,
        on: on?,
        backoff,
        non_idempotent: non_idempotent.unwrap_or(false),
    })
}

/// Names, separated by commas, as in Istio. `None`: one is unknown.
fn conditions(d: &mut Decoder, fields: &Fields<'_>) -> Option<Vec<RetryOn>> {
    let Some(text) = fields.string(d, "retryOn") else {
        return fields.node("retryOn").is_none().then(|| DEFAULT.to_vec());
    };
    let mut conditions = vec![];
    let names = text.value.split(',').map(str::trim);
    for name in names.filter(|name| !name.is_empty()) {
        let found = RetryOn::ALL.into_iter().find(|known| known.name() == name);
        let Some(found) = found else {
            let word = super::Located {
                value: name.to_owned(),
                at: text.at,
            };
            d.not_a_choice("retries.retryOn", &word, &RetryOn::ALL.map(RetryOn::name));
            return None;
        };
        if !conditions.contains(&found) {
            conditions.push(found);
        }
    }
    if conditions.is_empty() {
        conditions.extend(DEFAULT);
    }
    Some(conditions)
}
