//! `fault`: delays and errors on purpose, in the shape of Istio's VirtualService.

use std::time::Duration;

use super::super::decode::{Decoder, Field, Fields};
use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::{Node, Value};

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

const FAULT: &[Field] = &[Field::InForce("delay"), Field::InForce("abort")];

const DELAY: &[Field] = &[Field::InForce("percentage"), Field::InForce("fixedDelay")];

const ABORT: &[Field] = &[Field::InForce("percentage"), Field::InForce("status")];

/// What Istio has and means nothing here, with what to write instead.
const OF_HTTP: [(&str, &str); 5] = [
    ("httpStatus", STATUS),
    ("grpcStatus", STATUS),
    ("http2Error", STATUS),
    ("percent", "write `percentage: {value: …}`"),
    ("exponentialDelay", "write `fixedDelay`"),
];

const STATUS: &str = "name what the client is told in `status`, such as `overloaded`: it becomes an \
                      error of its own protocol";

/// `None`: something is wrong.
pub(super) fn decode(d: &mut Decoder, node: &Node) -> Option<Fault> {
    let fields = d.fields("fault", node, FAULT);
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
    let fields = known(d, "fault.delay", node, DELAY)?;
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
    let fields = known(d, "fault.abort", node, ABORT)?;
    let status = match fields.string(d, "status") {
        None if fields.node("status").is_some() => None,
        None => Some(AbortStatus::FaultInjected),
        Some(word) => {
            let mut all = AbortStatus::ALL.into_iter();
            let found = all.find(|status| status.name() == word.value);
            if found.is_none() {
                let names = AbortStatus::ALL.map(AbortStatus::name);
                d.not_a_choice("fault.abort.status", &word, &names);
            }
            found
        }
    };
    Some(Abort {
        percentage: percentage(d, &fields)?,
        status: status?,
    })
}

/// Whoever forgets it hardly means every request.
fn percentage(d: &mut Decoder, fields: &Fields<'_>) -> Option<f64> {
    if fields.node("percentage").is_none() {
        fields.missing(d, "percentage");
    }
    fields.percent(d, "percentage")
}

/// The fields, unless there is one that only HTTP has.
fn known<'n>(
    d: &mut Decoder,
    path: &str,
    node: &'n Node,
    own: &'static [Field],
) -> Option<Fields<'n>> {
    let mut refused = false;
    if let Value::Map(entries) = &node.value {
        for entry in entries {
            let Some((name, remedy)) = OF_HTTP.iter().find(|(name, _)| entry.key == *name) else {
                continue;
            };
            refused = true;
            let message = format!("`{path}.{name}` means nothing here");
            let diagnostic = Diagnostic::error(Code::UnknownField, message);
            d.report(entry.at, diagnostic.remedy(*remedy));
        }
    }
    (!refused).then(|| d.fields(path, node, own))
}
