//! One candidate of an election, without I/O and clock: what to ask the API server next, and what its answers mean.
//!
//! The rules are those of Kubernetes' own leader election (client-go, `tools/leaderelection`): a lease is over when
//! it was not seen to change for its duration by the clock of whoever waits; times of other machines are not compared.

use std::time::{Duration, Instant};

/// What the API server calls a version of the Lease.
pub(super) type Version = String;

/// The Lease as somebody left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    /// Empty: it was given back.
    pub(super) holder: String,
    pub(super) duration: Duration,
    /// How often the holder was another than before.
    pub(super) transitions: i32,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Read,
    Write(Claim),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) holding: Holding,
    /// The holder was another one before.
    pub(super) is_new: bool,
    /// The version that it replaces, and no other; none: there is no Lease yet.
    pub(super) over: Option<Version>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Found(Holding, Version),
    Absent,
    Written(Version),
    /// Somebody else has written meanwhile.
    Conflict,
    /// Nobody knows what became of it.
    Failed,
}

#[derive(Debug)]
enum Known {
    Nothing,
    Absent,
    Lease {
        holding: Holding,
        version: Version,
        /// When this version was first seen.
        since: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    duration: Duration,
    known: Known,
    /// Until when it leads.
    until: Option<Instant>,
    /// When to ask next.
    due: Instant,
}

impl Election {
    /// `identity` is that of no other candidate.
    pub(super) fn new(identity: String, duration: Duration, now: Instant) -> Self {
        Self {
            identity,
            duration,
            known: Known::Nothing,
            until: None,
            due: now,
        }
    }

    /// Until when it leads, if nothing else is heard.
    pub(super) fn leads_until(&self) -> Option<Instant> {
        self.until
    }

    #[cfg(test)]
    pub(super) fn leads(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When the next question is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// How long an answer may take: what comes later is as if nothing came.
    pub(super) fn patience(&self) -> Duration {
        self.duration / 3
    }

    pub(super) fn ask(&self, now: Instant) -> Ask {
        match &self.known {
            Known::Nothing => Ask::Read,
            Known::Absent => Ask::Write(self.claim(None)),
            Known::Lease {
                holding, version, ..
            } if self.is_free(now) => Ask::Write(self.claim(Some((holding, version)))),
            Known::Lease { .. } => Ask::Read,
        }
    }

    /// Gives the Lease back; none: it is not its own.
    pub(super) fn resign(&mut self) -> Option<Claim> {
        self.until.take()?;
        let Known::Lease {
            holding, version, ..
        } = &self.known
        else {
            return None;
        };
        let claim = self.claim(Some((holding, version)));
        Some(Claim {
            holding: Holding {
                holder: String::new(),
                ..claim.holding
            },
            ..claim
        })
    }

    /// `asked` is when the question was put, from which on the answer may be true.
    pub(super) fn answered(&mut self, ask: &Ask, answer: Answer, asked: Instant, now: Instant) {
        match (answer, ask) {
            (Answer::Found(holding, version), _) => {
                self.found(holding, version, now);
                self.until = None;
                let wait = if self.is_free(now) {
                    Duration::ZERO
                } else {
                    self.duration / 6
                };
                self.due = now + wait;
            }
            (Answer::Absent, _) => {
                (self.known, self.until) = (Known::Absent, None);
                self.due = now;
            }
            (Answer::Written(version), Ask::Write(claim)) => {
                self.known = Known::Lease {
                    holding: claim.holding.clone(),
                    version,
                    since: now,
                };
                self.until = Some(asked + self.duration * 2 / 3);
                self.due = asked + self.duration / 3;
            }
            (Answer::Conflict, _) => {
                (self.known, self.until) = (Known::Nothing, None);
                self.due = now;
            }
            // Whatever was written, the next claim replaces only what is known.
            (Answer::Failed | Answer::Written(_), _) => {
                self.until = None;
                self.due = now + self.duration / 6;
            }
        }
    }

    /// A version that is known keeps the time when it was first seen.
    fn found(&mut self, holding: Holding, found: Version, now: Instant) {
        let since = match &self.known {
            Known::Lease { version, since, .. } if *version == found => *since,
            _ => now,
        };
        self.known = Known::Lease {
            holding,
            version: found,
            since,
        };
    }

    /// Whether it may be claimed.
    fn is_free(&self, now: Instant) -> bool {
        let Known::Lease { holding, since, .. } = &self.known else {
            return false;
        };
        let is_over = now.saturating_duration_since(*since) >= holding.duration;
        holding.holder.is_empty() || holding.holder == self.identity || is_over
    }

    fn claim(&self, over: Option<(&Holding, &Version)>) -> Claim {
        let earlier = over.map(|(holding, _)| holding);
        let is_new = earlier.is_none_or(|earlier| earlier.holder != self.identity);
        let transitions = earlier.map_or(0, |earlier| earlier.transitions + i32::from(is_new));
        Claim {
            holding: Holding {
                holder: self.identity.clone(),
                duration: self.duration,
                transitions,
            },
            is_new,
            over: over.map(|(_, version)| version.clone()),
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
