//! Faults that are injected on purpose.

use std::time::Duration;

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
