//! What workers ask a rate limit service, and what comes of it.
//!
//! A worker never waits: it keeps the request, asks by [`Question`], and goes on. Whoever is off the
//! workers asks the service and tells the [`Verdict`].

pub(crate) mod client;
mod rota;
mod told;

use std::sync::Arc;
use std::time::Instant;

use crate::config::GlobalRateLimit;
use crate::engine::QuestionId;

/// Whether a request is within a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What its verdict is told with.
    pub id: QuestionId,
    /// Where it is asked, and the keys of its descriptor.
    pub limit: Arc<GlobalRateLimit>,
    /// The values of the descriptor, one for each of the limit's entries.
    pub values: Vec<String>,
    /// Nobody waits for the verdict any more.
    pub due: Instant,
}

/// What a rate limit service said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request is within its limit, and counted.
    Ok,
    /// It is not.
    OverLimit,
    /// It did not say.
    Failed(Failure),
}

/// Why there is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// None came in time.
    Timeout,
    /// The service has no endpoint, none that can be reached, or it broke the connection.
    Unreachable,
    /// It answered with an error, with what cannot be read, or that it does not know.
    Error,
    /// It was not asked: too many questions are open.
    Overflow,
}

impl Failure {
    fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Error => "error",
            Self::Overflow => "overflow",
        }
    }
}
