//! How often a request is sent at worst, and how long that takes.

use serde::Serialize;

use super::seconds;
use crate::retry::Bounds;

/// What a request comes to at worst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorstCase {
    /// How often it is sent; endpoints that cannot be reached are not counted, nor what servers
    /// themselves send elsewhere.
    pub attempts: u32,
    /// How long its client waits, such as `3.1s`; none: that is not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest: Option<String>,
    /// The arithmetic.
    pub because: String,
}

impl WorstCase {
    #[must_use]
    pub fn of(bounds: &Bounds) -> Self {
        Self {
            attempts: bounds.sendings(),
            longest: bounds.longest().map(seconds),
            because: format!("{}; {}", sendings(bounds), time(bounds)),
        }
    }
}

fn sendings(bounds: &Bounds) -> String {
    let tries = bounds.tries();
    let tries = match tries {
        1 => "1 try".to_owned(),
        _ => format!("{tries} tries"),
    };
    match (bounds.hedges_after(), bounds.hedge) {
        (Some(_), _) => format!("{tries} and 1 hedge"),
        (None, Some(delay)) => {
            let delay = seconds(delay);
            format!("{tries}, and no hedge, as its delay of {delay} is longer than they last")
        }
        (None, None) => tries,
    }
}

fn time(bounds: &Bounds) -> String {
    let tries = bounds.all_tries().map(|all| {
        let each = bounds.per_try_timeout.map(seconds).unwrap_or_default();
        let mut sum = format!("{} × {each}", bounds.tries());
        let parts = [
            (Some(bounds.pauses()), "of pauses"),
            (bounds.hedges_after(), "before the hedge"),
            (Some(bounds.kept), "before it is sent"),
        ];
        for (part, what) in parts {
            if let Some(part) = part.filter(|part| !part.is_zero()) {
                sum.push_str(&format!(" + {} {what}", seconds(part)));
            }
        }
        format!("{sum} = {}", seconds(all))
    });
    let timeout = bounds.timeout.map(seconds);
    match (tries, timeout) {
        (Some(tries), Some(timeout)) => {
            format!("{tries}, and no longer than the timeout of {timeout}")
        }
        (Some(tries), None) => tries,
        (None, Some(timeout)) => format!("no longer than the timeout of {timeout}"),
        (None, None) => "no limit, as there is neither a timeout nor a perTryTimeout".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_arithmetic_is_shown() {
        let seconds = |n| Some(Duration::from_secs(n));
        let retried = Bounds {
            attempts: 2,
            per_try_timeout: seconds(1),
            backoff: Duration::from_millis(25),
            ..Bounds::default()
        };
        let hedge = Some(Duration::from_millis(200));
        let kept = Duration::from_millis(20);
        for (bounds, attempts, longest, because) in [
            (
                Bounds::default(),
                1,
                None,
                "1 try; no limit, as there is neither a timeout nor a perTryTimeout",
            ),
            (
                Bounds {
                    timeout: seconds(2),
                    ..Bounds::default()
                },
                1,
                Some("2s"),
                "1 try; no longer than the timeout of 2s",
            ),
            (
                retried,
                3,
                Some("3.075s"),
                "3 tries; 3 × 1s + 0.075s of pauses = 3.075s",
            ),
            (
                Bounds {
                    hedge,
                    kept,
                    timeout: seconds(2),
                    ..retried
                },
                4,
                Some("2s"),
                "3 tries and 1 hedge; 3 × 1s + 0.075s of pauses + 0.2s before the hedge + 0.02s \
                 before it is sent = 3.295s, and no longer than the timeout of 2s",
            ),
            (
                Bounds {
                    hedge: seconds(5),
                    ..retried
                },
                3,
                Some("3.075s"),
                "3 tries, and no hedge, as its delay of 5s is longer than they last; 3 × 1s + \
                 0.075s of pauses = 3.075s",
            ),
        ] {
            let worst = WorstCase::of(&bounds);
            assert_eq!(worst.attempts, attempts);
            assert_eq!(worst.longest.as_deref(), longest);
            assert_eq!(worst.because, because);
        }
    }
}
