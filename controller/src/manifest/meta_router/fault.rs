//! `fault`: delays and errors on purpose, in the shape of Istio's VirtualService.

use std::time::Duration;

use super::super::decode::{Decoder, Fields, PERCENT};
use super::super::shape::{Described, Literal, Shape, Takes};
use crate::yaml::Node;

/// Each draws for itself; a request that has both is answered after the delay.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) delay: Option<Delay>,
    pub(crate) abort: Option<Abort>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delay {
    /// From 0 to 100.
    pub(crate) percentage: f64,
    pub(crate) fixed: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Abort {
    /// From 0 to 100.
    pub(crate) percentage: f64,
    pub(crate) status: AbortStatus,
}

/// What a client is told in the place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AbortStatus {
    FaultInjected,
    NoHealthyUpstream,
    ConnectFailure,
    UpstreamReset,
    Timeout,
    RateLimited,
    Overloaded,
    Denied,
}

impl AbortStatus {
    const ALL: [Self; 8] = [
        Self::FaultInjected,
        Self::NoHealthyUpstream,
        Self::ConnectFailure,
        Self::UpstreamReset,
        Self::Timeout,
        Self::RateLimited,
        Self::Overloaded,
        Self::Denied,
    ];

    const NAMES: [&str; 8] = {
        let [a, b, c, d, e, f, g, h] = Self::ALL;
        [
            a.name(),
            b.name(),
            c.name(),
            d.name(),
            e.name(),
            f.name(),
            g.name(),
            h.name(),
        ]
    };

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FaultInjected => "fault-injected",
            Self::NoHealthyUpstream => "no-healthy-upstream",
            Self::ConnectFailure => "connect-failure",
            Self::UpstreamReset => "upstream-reset",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate-limited",
            Self::Overloaded => "overloaded",
            Self::Denied => "denied",
        }
    }
}

pub(super) static FAULT: Shape = Shape {
    name: "Fault",
    meaning: "In the shape of Istio's VirtualService; at least one of both. Each draws for itself; a \
        request that drew both is answered after the delay. See [faults](manifests.md#faults).",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "delay",
            Takes::Mapping(&DELAY),
            "so many requests are sent on later",
        )
        .absent("none is")
        .example("delay: {percentage: {value: 10}, fixedDelay: 100ms}"),
        Described::new(
            "abort",
            Takes::Mapping(&ABORT),
            "so many are not sent on: the client is told an error",
        )
        .absent("all are")
        .example("abort: {percentage: {value: 0.1}, status: overloaded}"),
    ],
};

static DELAY: Shape = Shape {
    name: "Delay",
    meaning: "Istio's `percent` and `exponentialDelay` are errors.",
    given: "percentage: {value: 10}, fixedDelay: 100ms",
    instead: &[
        ("percent", PERCENT_INSTEAD),
        ("exponentialDelay", "write `fixedDelay`"),
    ],
    fields: &[
        PERCENTAGE,
        Described::new("fixedDelay", Takes::Duration, "how much later")
            .required()
            .example("fixedDelay: 100ms"),
    ],
};

static ABORT: Shape = Shape {
    name: "Abort",
    meaning: "Istio's `httpStatus`, `grpcStatus`, `http2Error` and `percent` are errors.",
    given: "percentage: {value: 10}",
    instead: &[
        ("httpStatus", STATUS_INSTEAD),
        ("grpcStatus", STATUS_INSTEAD),
        ("http2Error", STATUS_INSTEAD),
        ("percent", PERCENT_INSTEAD),
    ],
    fields: &[
        PERCENTAGE,
        Described::new(
            "status",
            Takes::OneOf(&AbortStatus::NAMES),
            "what the client is told, in the words of its protocol",
        )
        .default(Literal::Text(AbortStatus::FaultInjected.name()))
        .example("status: overloaded"),
    ],
};

/// Whoever forgets it hardly means every request.
const PERCENTAGE: Described = Described::new(
    "percentage",
    Takes::Mapping(&PERCENT),
    "of how many requests",
)
.required()
.example("percentage: {value: 0.1}");

const PERCENT_INSTEAD: &str = "write `percentage: {value: …}`";

const STATUS_INSTEAD: &str = "name what the client is told in `status`, such as `overloaded`: it becomes an \
                      error of its own protocol";

/// `None`: something is wrong.
pub(super) fn decode(d: &mut Decoder, node: &Node) -> Option<Fault> {
    let fields = d.fields("fault", node, &FAULT);
    if fields.node("delay").is_none() && fields.node("abort").is_none() {
        let message = "`fault` has neither `delay` nor `abort`";
        d.invalid(fields.at, message, "add one of them, or remove it");
        return None;
    }
    let delay = fields.node("delay").map(|node| delay(d, node));
    let abort = fields.node("abort").map(|node| abort(d, node));
    Some(Fault {
        delay: delay.map_or(Some(None), |delay| delay.map(Some))?,
        abort: abort.map_or(Some(None), |abort| abort.map(Some))?,
    })
}

fn delay(d: &mut Decoder, node: &Node) -> Option<Delay> {
    let fields = d.fields("fault.delay", node, &DELAY);
    if fields.node("fixedDelay").is_none() {
        fields.missing(d, "fixedDelay");
    }
    let fixed = fields.duration(d, "fixedDelay");
    Some(Delay {
        percentage: percentage(d, &fields)?,
        fixed: fixed?,
    })
}

fn abort(d: &mut Decoder, node: &Node) -> Option<Abort> {
    let fields = d.fields("fault.abort", node, &ABORT);
    let status = match fields.string(d, "status") {
        None if fields.node("status").is_some() => None,
        None => Some(AbortStatus::FaultInjected),
        Some(word) => {
            let mut all = AbortStatus::ALL.into_iter();
            let found = all.find(|status| status.name() == word.value);
            if found.is_none() {
                d.not_a_choice("fault.abort.status", &word, &AbortStatus::NAMES);
            }
            found
        }
    };
    Some(Abort {
        percentage: percentage(d, &fields)?,
        status: status?,
    })
}

fn percentage(d: &mut Decoder, fields: &Fields<'_>) -> Option<f64> {
    if fields.node("percentage").is_none() {
        fields.missing(d, "percentage");
    }
    fields.percent(d, "percentage")
}
