//! `retries`: when a route's requests are sent again.

use std::time::Duration;

use meltemi_policy::retry;

use super::super::decode::{Decoder, Fields};
use super::super::shape::{Described, Literal, Shape, Takes};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::{Node, Value};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retries {
    /// Beyond the first sending.
    pub(crate) attempts: u32,
    pub(crate) per_try_timeout: Option<Duration>,
    /// At least one.
    pub(crate) on: Vec<RetryOn>,
    /// The longest pause before the first repetition.
    pub(crate) backoff: Duration,
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

    const NAMES: [&str; 6] = {
        let [a, b, c, d, e] = Self::ALL;
        [a.name(), REFUSED, b.name(), c.name(), d.name(), e.name()]
    };

    fn of(name: &str) -> Option<Self> {
        match name {
            REFUSED => Some(Self::ConnectFailure),
            _ => Self::ALL.into_iter().find(|known| known.name() == name),
        }
    }

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

/// Of a connection that is refused and of one that nobody answers the same is known: no byte of the
/// request has left.
const REFUSED: &str = "refused";

/// Where nothing else is said: after what leaves no doubt that the request was not executed.
const DEFAULT: &str = "connect-failure,overloaded";

/// So many tries a request may take at most, and what a person would write by mistake is more.
const MOST: i64 = 100;

pub(super) static RETRIES: Shape = Shape {
    name: "Retries",
    meaning: "Named as in Istio's VirtualService; which requests are repeated at all \
        [manifests.md](manifests.md#retries) says.",
    given: "attempts: 2",
    instead: &[],
    fields: &[
        Described::new(
            "attempts",
            Takes::Integer {
                least: 0,
                most: MOST,
            },
            "how often a request is sent again at most",
        )
        .required()
        .example("attempts: 2"),
        Described::new(
            "perTryTimeout",
            Takes::Duration,
            "of each attempt, from its sending until its answer begins. Longer than the \
             route's `timeout` is an error",
        )
        .absent("no limit")
        .example("perTryTimeout: 500ms"),
        Described::new(
            "retryOn",
            Takes::Words(&RetryOn::NAMES),
            "what an attempt may come to: no connection can be made (`refused` is another word for \
             it); it ended before its answer began; an error of the endpoint's own, never one of the application; it asks for \
             patience; no answer in the time of an attempt",
        )
        .default(Literal::Text(DEFAULT))
        .example("retryOn: 'connect-failure,timeout', perTryTimeout: 500ms"),
        Described::new(
            "backoff",
            Takes::Duration,
            "the longest pause before the first repetition; it doubles, up to ten times this, and \
             the pause is drawn from what is below",
        )
        .default(Literal::Duration(retry::DEFAULT_BACKOFF))
        .example("backoff: 100ms"),
        Described::new(
            "retryNonIdempotent",
            Takes::Boolean,
            "`true`: also what is not idempotent",
        )
        .default(Literal::Boolean(false))
        .example("retryNonIdempotent: true"),
        Described::no_effect(
            "retryIgnorePreviousHosts",
            Takes::Boolean,
            "no meaning here: another endpoint comes first anyhow",
        )
        .example("retryIgnorePreviousHosts: true"),
        Described::no_effect(
            "retryRemoteLocalities",
            Takes::Boolean,
            "no meaning here: the next endpoint is the balancer's, wherever it is",
        )
        .example("retryRemoteLocalities: true"),
    ],
};

/// `None`: nothing is sent again, or something is wrong.
pub(super) fn decode(
    d: &mut Decoder,
    node: &Node,
    route_timeout: Option<Duration>,
) -> Option<Retries> {
    let fields = d.fields("retries", node, &RETRIES);
    if fields.node("attempts").is_none() {
        fields.missing(d, "attempts");
    }
    let attempts = fields.whole(d, "attempts");
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
    never_in_time(d, &fields, per_try_timeout);
    let attempts = u32::try_from(attempts?.value).ok().filter(|it| *it > 0)?;
    Some(Retries {
        attempts,
        per_try_timeout,
        on: on?,
        backoff: backoff.unwrap_or(retry::DEFAULT_BACKOFF),
        non_idempotent: non_idempotent.unwrap_or(false),
    })
}

/// An attempt without a time of its own has that of the route, after which nothing is sent.
fn never_in_time(d: &mut Decoder, fields: &Fields<'_>, per_try_timeout: Option<Duration>) {
    let written = fields.entry("retryOn").filter(|entry| {
        matches!(&entry.value.value, Value::String(text) if words(text).any(|word| word == "timeout"))
    });
    let (Some(entry), None, None) = (written, per_try_timeout, fields.node("perTryTimeout")) else {
        return;
    };
    let message = "`timeout` in `retries.retryOn` has no effect without `perTryTimeout`";
    let diagnostic = Diagnostic::warning(Code::NotInForce, message);
    let remedy = "say in `perTryTimeout` how long an attempt may take, or leave it out";
    d.report(entry.at, diagnostic.remedy(remedy));
}

/// Names, separated by commas, as in Istio. `None`: one is unknown.
fn conditions(d: &mut Decoder, fields: &Fields<'_>) -> Option<Vec<RetryOn>> {
    let Some(text) = fields.string(d, "retryOn") else {
        let is_absent = fields.node("retryOn").is_none();
        return is_absent.then(|| words(DEFAULT).filter_map(RetryOn::of).collect());
    };
    let mut conditions = vec![];
    let written = words(&text.value).next().map_or(DEFAULT, |_| &text.value);
    for name in words(written) {
        let Some(found) = RetryOn::of(name) else {
            let word = super::Located {
                value: name.to_owned(),
                at: text.at,
            };
            d.not_a_choice("retries.retryOn", &word, &RetryOn::NAMES);
            return None;
        };
        if !conditions.contains(&found) {
            conditions.push(found);
        }
    }
    Some(conditions)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(',').map(str::trim);
    words.filter(|word| !word.is_empty())
}
