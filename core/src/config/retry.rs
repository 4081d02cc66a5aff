//! When a request is sent again, and how many may be at a time.

use std::time::Duration;

use meltemi_policy::retry::DEFAULT_BACKOFF;
use meltemi_proto::aeraki::meta_protocol_proxy::config::route::v1alpha as proto;
use meltemi_proto::envoy::config::cluster::v3::circuit_breakers::thresholds;

use super::duration::duration;
use super::invalid::Invalid;
use super::share::Share;

/// How often a route sends a request again, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Beyond the first sending; above 0.
    pub attempts: u32,
    /// From the sending of each attempt to its answer; `None` is no limit but the route's.
    pub per_try_timeout: Option<Duration>,
    /// At least one.
    pub on: Vec<RetryOn>,
    /// The longest pause before the first retry; it doubles with each, up to tenfold.
    pub backoff: Duration,
    /// Also requests whose repetition may do harm.
    pub non_idempotent: bool,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection can be made.
    ConnectFailure,
    /// The connection ended before any of the answer was passed on.
    ResetBeforeBytes,
    /// The endpoint answered with an error of its own system.
    SystemError,
    /// The endpoint asks for patience.
    Overloaded,
    /// No answer within the time of the attempt.
    Timeout,
}

/// How many requests to a cluster may be repetitions at a time. Defaults are Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Of the requests in flight.
    pub share: Share,
    /// So many always may.
    pub min_concurrency: u32,
}

impl RetryPolicy {
    pub(super) fn parse(policy: proto::RetryPolicy) -> Result<Self, Invalid> {
        if policy.attempts == 0 {
            return Err(Invalid::new("attempts", "must be above 0"));
        }
        let time = |field, value: Option<_>| value.map(|time| duration(field, time)).transpose();
        let on: Vec<_> = policy
            .retry_on()
            .map(|condition| {
                RetryOn::parse(condition).ok_or_else(|| Invalid::new("retry_on", "is unknown"))
            })
            .collect::<Result<_, _>>()?;
        if on.is_empty() {
            return Err(Invalid::new("retry_on", "is empty"));
        }
        Ok(Self {
            attempts: policy.attempts,
            per_try_timeout: time("per_try_timeout", policy.per_try_timeout)?,
            on,
            backoff: time("backoff", policy.backoff)?.unwrap_or(DEFAULT_BACKOFF),
            non_idempotent: policy.non_idempotent,
        })
    }
}

impl RetryOn {
    /// As manifests write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFailure => "connect-failure",
            Self::ResetBeforeBytes => "reset-before-bytes",
            Self::SystemError => "system-error",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
        }
    }

    const fn parse(condition: proto::retry_policy::Condition) -> Option<Self> {
        use proto::retry_policy::Condition;
        match condition {
            Condition::Unspecified => None,
            Condition::ConnectFailure => Some(Self::ConnectFailure),
            Condition::ResetBeforeBytes => Some(Self::ResetBeforeBytes),
            Condition::SystemError => Some(Self::SystemError),
            Condition::Overloaded => Some(Self::Overloaded),
            Condition::Timeout => Some(Self::Timeout),
        }
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            share: Share::percent_of(20),
            min_concurrency: 3,
        }
    }
}

impl RetryBudget {
    pub(super) fn parse(budget: Option<thresholds::RetryBudget>) -> Result<Self, Invalid> {
        let default = Self::default();
        let Some(budget) = budget else {
            return Ok(default);
        };
        Ok(Self {
            share: Share::parse("budget_percent", budget.budget_percent, default.share)?,
            min_concurrency: budget
                .min_retry_concurrency
                .unwrap_or(default.min_concurrency),
        })
    }

    /// Whether one more may be under way, of `active` requests of which `retries` are repetitions.
    ///
    /// Source of the rule: Envoy's retry budget.
    #[must_use]
    pub fn allows(&self, retries: u32, active: u32) -> bool {
        let share = u64::from(active) * u64::from(self.share.per_million()) / 1_000_000;
        u64::from(retries) < share.max(self.min_concurrency.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_share_and_never_less_than_its_minimum() {
        let budget = RetryBudget::default();
        for (retries, active, allowed) in [
            (0, 0, true),
            (2, 0, true),
            (3, 0, false),
            (3, 15, false),
            (3, 20, true),
            (4, 20, false),
            (19, 100, true),
            (20, 100, false),
        ] {
            assert_eq!(
                budget.allows(retries, active),
                allowed,
                "{retries} of {active}"
            );
        }
        let none = RetryBudget {
            share: Share::NONE,
            min_concurrency: 0,
        };
        assert!(!none.allows(0, 1_000_000));
    }
}
