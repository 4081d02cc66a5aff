//! What a route does with a request besides sending it somewhere.

mod text;

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use super::{Asked, Concurrency, GloballyLimited, Limited, WorstCase, seconds};
use crate::Template;
use crate::retry::Bounds;

/// Nothing of it is there unless a rule asks for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Treatment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_prefix: Option<Removed>,
    /// The object and the number of its route that say so, where another object says where the request
    /// goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_of: Option<String>,
    /// How long an answer is waited for, such as `1.5s`; less, where the message says a shorter time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge: Option<Hedged>,
    /// There wherever a route is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_case: Option<WorstCase>,
    /// The bucket that the request takes a token from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Limited>,
    /// How many requests of the route may be unanswered at a time, of all workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u32>,
    /// How many of them are, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<u32>,
    /// How long its client may stay, and may be silent, such as `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connection_duration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_idle_timeout: Option<String>,
    /// What a rate limit service is asked about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_rate_limit: Option<GloballyLimited>,
    /// How many requests may be under way with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_concurrency: Option<Concurrency>,
    /// Those that are for this request, as far as its attributes tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultShare>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<MirrorShare>,
    /// What is changed in the request before it is sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_mutation: Vec<Mutated>,
    /// What is changed in its answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_mutation: Vec<Mutated>,
}

/// When a request is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// Of the first sending and its repetitions.
    pub attempts: u32,
    pub on: Vec<&'static str>,
    /// Whether only requests are repeated of which the protocol says that it does no harm.
    pub idempotent_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<String>,
    /// The longest pause before the first repetition; it doubles, up to tenfold.
    pub backoff: String,
}

impl Retried {
    #[must_use]
    pub fn of(bounds: &Bounds, on: Vec<&'static str>, idempotent_only: bool) -> Self {
        Self {
            attempts: bounds.tries(),
            on,
            idempotent_only,
            per_try_timeout: bounds.per_try_timeout.map(seconds),
            backoff: seconds(bounds.backoff),
        }
    }
}

/// When another endpoint is asked, although the first may still answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hedged {
    /// How long the first is asked alone, such as `50ms`.
    pub delay: String,
    /// Whether it happens only to requests of which the protocol says that it does no harm.
    pub idempotent_only: bool,
}

/// A prefix that is taken off an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    pub attribute: String,
    pub prefix: String,
    /// What is left of the value that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
}

impl Removed {
    #[must_use]
    pub fn of(attribute: &str, prefix: &str, asked: &Asked<'_>) -> Self {
        let value = (asked.attribute)(attribute);
        let sent = value.and_then(|value| Self::sent(prefix, value));
        Self {
            attribute: attribute.to_owned(),
            prefix: prefix.to_owned(),
            sent: sent.map(|sent| String::from_utf8_lossy(sent).into_owned()),
        }
    }

    /// What is left of a value: the route's conditions say that it begins with the prefix, perhaps in
    /// another case.
    #[must_use]
    pub fn sent<'v>(prefix: &str, value: &'v [u8]) -> Option<&'v [u8]> {
        value.get(prefix.len()..)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FaultShare {
    /// Percent of these requests.
    pub percentage: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl FaultShare {
    #[must_use]
    pub fn of(percentage: f64, delay: Option<Duration>, error: Option<&str>) -> Self {
        Self {
            percentage,
            delay: delay.map(seconds),
            error: error.map(str::to_owned),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MirrorShare {
    pub cluster: String,
    /// Percent of the requests.
    pub percentage: f64,
    pub exclude_idempotent: bool,
    /// Whether there is such a cluster; otherwise nothing is copied.
    pub exists: bool,
}

/// A change of one key of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mutated {
    pub key: String,
    /// What its value becomes; none: it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Nothing happens, since what the value is made of is empty or absent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

impl Mutated {
    /// Without a value it is removed.
    #[must_use]
    pub fn of(key: &str, value: Option<&Template>, asked: &Asked<'_>) -> Self {
        let attribute = |name: &String| (asked.attribute)(name).map(Cow::Borrowed);
        let value = value.map(|value| value.render(attribute));
        Self {
            key: key.to_owned(),
            skipped: value.as_ref().is_some_and(String::is_empty),
            value,
        }
    }
}
