//! Faults that are injected on purpose.

use std::time::Duration;

use meltemi_codec::Status;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha::{
    RouteFault as WireFault, route_fault, route_fault::Status as Wire,
};
use meltemi_proto::meltemi::config::v1 as proto;

use super::duration::duration;
use super::invalid::Invalid;
use super::share::Share;

/// A fault of a share of the requests: a delay, an error, or an error after a delay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Drawn among the requests with one of the operations.
    pub share: Share,
    /// In lower case, to be compared with the operation of a request without regard to the case of
    /// ASCII letters; empty: every request.
    pub operations: Vec<String>,
    /// Passes before the request is sent, or before the error is answered; `None` is no delay.
    pub delay: Option<Duration>,
    /// Answered in the place of a server, as text for the client; `None`: the request is sent.
    pub error: Option<String>,
}

impl Fault {
    pub(super) fn parse(fault: proto::Fault) -> Result<Self, Invalid> {
        let delay = fault.delay.map(|delay| duration("delay", delay));
        let delay = delay.transpose()?;
        let error = fault.error.map(|error| error.text);
        if delay.is_none() && error.is_none() {
            return Err(Invalid::new("", "has neither delay nor error"));
        }
        if fault.operations.iter().any(String::is_empty) {
            return Err(Invalid::new("operations", "one of them is empty"));
        }
        let operations = fault.operations.into_iter();
        Ok(Self {
            share: Share::parse("percentage", fault.percentage, Share::NONE)?,
            operations: operations.map(|o| o.to_ascii_lowercase()).collect(),
            delay,
            error,
        })
    }
}

/// What an abort may answer: on the wire, to the client's codec, and in a MetaRouter.
const STATUSES: [(Wire, Status, &str); 8] = [
    (Wire::FaultInjected, Status::FaultInjected, "fault-injected"),
    (
        Wire::NoHealthyUpstream,
        Status::NoHealthyUpstream,
        "no-healthy-upstream",
    ),
    (
        Wire::ConnectFailure,
        Status::ConnectFailure,
        "connect-failure",
    ),
    (Wire::UpstreamReset, Status::UpstreamReset, "upstream-reset"),
    (Wire::Timeout, Status::Timeout, "timeout"),
    (Wire::RateLimited, Status::RateLimited, "rate-limited"),
    (Wire::Overloaded, Status::Overloaded, "overloaded"),
    (Wire::Denied, Status::Denied, "denied"),
];

/// What befalls a share of a route's requests. Delay and abort draw each for itself; a request that
/// drew both is answered after the delay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFault {
    /// Passes before the request is sent, or before it is answered.
    pub delay: Option<(Share, Duration)>,
    /// What is answered in the place of a server.
    pub abort: Option<(Share, Status)>,
}

impl RouteFault {
    pub(super) fn parse(fault: WireFault) -> Result<Self, Invalid> {
        let delay = fault.delay.map(delay).transpose();
        let abort = fault.abort.map(abort).transpose();
        let (delay, abort) = (
            delay.map_err(|e| e.within("delay"))?,
            abort.map_err(|e| e.within("abort"))?,
        );
        if delay.is_none() && abort.is_none() {
            return Err(Invalid::new("", "has neither delay nor abort"));
        }
        Ok(Self { delay, abort })
    }

    /// What its abort answers, as a MetaRouter writes it.
    #[must_use]
    pub fn abort_word(&self) -> Option<&'static str> {
        let (_, answered) = self.abort?;
        let known = STATUSES.iter().find(|(_, status, _)| *status == answered);
        known.map(|(_, _, word)| *word)
    }

    /// Whether some request has it.
    #[must_use]
    pub fn acts(&self) -> bool {
        let delays = self.delay.is_some_and(|(share, _)| share > Share::NONE);
        delays || self.abort.is_some_and(|(share, _)| share > Share::NONE)
    }
}

fn delay(delay: route_fault::Delay) -> Result<(Share, Duration), Invalid> {
    let fixed = delay
        .fixed_delay
        .ok_or_else(|| Invalid::new("fixed_delay", "is missing"))?;
    let share = Share::parse("percentage", delay.percentage, Share::NONE)?;
    Ok((share, duration("fixed_delay", fixed)?))
}

fn abort(abort: route_fault::Abort) -> Result<(Share, Status), Invalid> {
    let known = STATUSES
        .iter()
        .find(|(wire, _, _)| *wire as i32 == abort.status);
    let (_, status, _) = known.ok_or_else(|| Invalid::new("status", "is unknown"))?;
    let share = Share::parse("percentage", abort.percentage, Share::NONE)?;
    Ok((share, *status))
}
