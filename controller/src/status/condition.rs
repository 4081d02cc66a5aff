//! Conditions of an object at one of its parents: what is wanted, and what is written for it.

use serde::{Deserialize, Serialize};

/// Kubernetes' own `Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: Truth,
    #[serde(default)]
    pub(crate) observed_generation: i64,
    /// When `status` became what it is, in UTC.
    pub(crate) last_transition_time: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Truth {
    True,
    False,
    Unknown,
}

/// What is said, in the order in which it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its newest version is in force.
    Accepted,
    /// Everything that it names is there.
    ResolvedRefs,
    /// The proxies that it concerns have it.
    Programmed,
    /// Another object has what it asks for.
    Conflicted,
    /// Clients of its services do not speak what these are named for.
    ProtocolMismatch,
    /// Sidecars are told to come to it.
    SidecarsLed,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Programmed => "Programmed",
            Self::Conflicted => "Conflicted",
            // Not one of those that the Gateway API knows.
            Self::ProtocolMismatch => "meltemi.io/ProtocolMismatch",
            Self::SidecarsLed => "meltemi.io/SidecarsLed",
        }
    }
}

/// A condition without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) generation: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) status: Truth,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// As the CRDs bound it, and so that 32 parents remain far below what an object may hold.
const LONGEST_MESSAGE: usize = 4096;

impl State {
    pub(crate) fn new(status: Truth, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: shortened(message.into()),
        }
    }
}

impl Wanted {
    /// With the time of what is written where that says the same of its status, else `now`.
    pub(crate) fn timed(&self, written: Option<&Condition>, now: &str) -> Condition {
        let unchanged = written.filter(|written| written.status == self.state.status);
        let since = unchanged.map_or(now, |written| &written.last_transition_time);
        Condition {
            kind: self.kind.as_str().to_owned(),
            status: self.state.status,
            observed_generation: self.generation,
            last_transition_time: since.to_owned(),
            reason: self.state.reason.clone(),
            message: self.state.message.clone(),
        }
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let end = message.floor_char_boundary(LONGEST_MESSAGE - '…'.len_utf8());
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_any_length_fits() {
        for unit in ["a", "ö", "…", "🦀"] {
            let state = State::new(Truth::False, "R", unit.repeat(LONGEST_MESSAGE + 1));
            assert!(state.message.len() <= LONGEST_MESSAGE, "{unit}");
            assert!(state.message.ends_with('…') && state.message.starts_with(unit));
        }
        assert_eq!(State::new(Truth::False, "R", "short").message, "short");
    }

    #[test]
    fn the_time_is_that_of_the_last_change_of_status() {
        let wanted = |status, reason| Wanted {
            kind: Kind::Accepted,
            state: State::new(status, reason, "m"),
            generation: 2,
        };
        let first = wanted(Truth::False, "A").timed(None, "then");
        assert_eq!(first.last_transition_time, "then");
        let other_reason = wanted(Truth::False, "B").timed(Some(&first), "now");
        assert_eq!(other_reason.last_transition_time, "then");
        let other_status = wanted(Truth::True, "B").timed(Some(&first), "now");
        assert_eq!(other_status.last_transition_time, "now");
    }
}
