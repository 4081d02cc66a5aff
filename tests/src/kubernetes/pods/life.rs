//! What a kubelet does with one pod, without I/O and clock: what has happened comes in, what is to be done comes out.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::asked::{Asked, Check, Restart};

/// Between the end of a container and its next start; doubles with each.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    /// Asks whether it is ready.
    AskReady,
    /// Asks whether it lives.
    AskAlive,
    /// Says that it is to end.
    Terminate,
    Kill,
    /// Nothing runs any more: the object may go.
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its container is to start then.
    Waiting(Instant),
    Running,
    /// As `preStop` has it, until then.
    Leaving(Instant),
    /// It was told to end.
    Terminating,
    Killed,
    /// For good: whether well.
    Ended(bool),
    Removed,
}

/// One pod.
#[derive(Debug)]
pub(super) struct Life {
    asked: Asked,
    phase: Phase,
    /// When it is killed, once it is deleted.
    deadline: Option<Instant>,
    ready: Poll,
    alive: Poll,
    restarts: u32,
}

/// Of one of its probes.
#[derive(Debug, Default)]
struct Poll {
    /// None: now.
    next: Option<Instant>,
    failures: u32,
    is_good: bool,
}

/// What its status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// As Kubernetes calls it.
    pub(super) phase: &'static str,
    pub(super) is_ready: bool,
    pub(super) restarts: u32,
}

impl Life {
    /// # Errors
    /// When the pod asks for what is not known here: a sentence.
    pub(super) fn new(pod: &Value, now: Instant) -> Result<Self, String> {
        Ok(Self {
            asked: Asked::of(pod)?,
            phase: Phase::Waiting(now),
            deadline: None,
            ready: Poll::default(),
            alive: Poll::default(),
            restarts: 0,
        })
    }

    /// What is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Action> {
        if self.deadline.is_some_and(|at| at <= now) && self.may_be_killed() {
            self.phase = Phase::Killed;
            return Some(Action::Kill);
        }
        match self.phase {
            Phase::Waiting(at) if self.deadline.is_none() && at <= now => {
                self.phase = Phase::Running;
                (self.ready, self.alive) = (Poll::default(), Poll::default());
                Some(Action::Start)
            }
            Phase::Leaving(until) if until <= now => {
                self.phase = Phase::Terminating;
                Some(Action::Terminate)
            }
            Phase::Waiting(_) | Phase::Ended(_) if self.deadline.is_some() => {
                self.phase = Phase::Removed;
                Some(Action::Remove)
            }
            Phase::Running | Phase::Leaving(_) | Phase::Terminating => self.probe(now),
            _ => None,
        }
    }

    const fn may_be_killed(&self) -> bool {
        matches!(
            self.phase,
            Phase::Running | Phase::Leaving(_) | Phase::Terminating
        )
    }

    fn probe(&mut self, now: Instant) -> Option<Action> {
        // One that ends is asked whether it is ready, and no more whether it lives.
        let lives = self
            .asked
            .alive
            .as_ref()
            .filter(|_| self.deadline.is_none());
        if let Some(check) = lives
            && self.alive.is_due(check, now)
        {
            return Some(Action::AskAlive);
        }
        let check = self.asked.ready.as_ref()?;
        self.ready.is_due(check, now).then_some(Action::AskReady)
    }

    /// The answer to [`Action::AskReady`].
    pub(super) fn told_ready(&mut self, is_good: bool) {
        let failures = self.asked.ready.as_ref().map_or(1, |it| it.failures);
        self.ready.told(is_good, failures);
    }

    /// The answer to [`Action::AskAlive`]: what is to be done about it.
    #[must_use]
    pub(super) fn told_alive(&mut self, is_good: bool) -> Option<Action> {
        let failures = self.asked.alive.as_ref().map_or(1, |it| it.failures);
        self.alive.told(is_good, failures);
        (self.alive.failures >= failures).then_some(Action::Kill)
    }

    /// The API server has its deletion, with a time.
    pub(super) fn deleted(&mut self, grace: Duration, now: Instant) {
        let deadline = now + grace;
        if self.deadline.is_none() && self.phase == Phase::Running {
            self.phase = Phase::Leaving(now + self.asked.pre_stop.min(grace));
        }
        // Another deletion may have less patience, never more.
        self.deadline = Some(
            self.deadline
                .map_or(deadline, |before| before.min(deadline)),
        );
    }

    /// Its process has ended.
    pub(super) fn ended(&mut self, is_good: bool, now: Instant) {
        self.ready.is_good = false;
        let again = match self.asked.restart {
            Restart::Always => true,
            Restart::OnFailure => !is_good,
            Restart::Never => false,
        };
        self.phase = match again && self.deadline.is_none() {
            true => {
                let pause = PAUSE * 2_u32.saturating_pow(self.restarts.min(5));
                self.restarts += 1;
                Phase::Waiting(now + pause)
            }
            false => Phase::Ended(is_good),
        };
    }

    pub(super) fn shown(&self) -> Shown {
        let runs = self.may_be_killed();
        let phase = match self.phase {
            Phase::Waiting(_) if self.restarts == 0 => "Pending",
            Phase::Ended(true) => "Succeeded",
            Phase::Ended(false) => "Failed",
            _ => "Running",
        };
        Shown {
            phase,
            is_ready: runs && (self.asked.ready.is_none() || self.ready.is_good),
            restarts: self.restarts,
        }
    }

    /// How it is asked.
    pub(super) fn check(&self, action: Action) -> Option<&Check> {
        match action {
            Action::AskReady => self.asked.ready.as_ref(),
            Action::AskAlive => self.asked.alive.as_ref(),
            _ => None,
        }
    }
}

impl Poll {
    fn is_due(&mut self, check: &Check, now: Instant) -> bool {
        let is_due = self.next.is_none_or(|next| next <= now);
        if is_due {
            self.next = Some(now + check.period);
        }
        is_due
    }

    fn told(&mut self, is_good: bool, failures: u32) {
        self.failures = match is_good {
            true => 0,
            false => self.failures + 1,
        };
        self.is_good = is_good || (self.is_good && self.failures < failures);
    }
}

#[cfg(test)]
mod tests;
