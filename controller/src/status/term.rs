//! One term of a leader: what is to be written next, and what became of what was written. Without I/O and clock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::condition::Condition;
use super::desired::{Change, Desired, Spoken, Transition, desired, written_programmed};
use super::expected::{Expected, Place};
use super::gateways::News;
use super::ledger::{Judged, Ledger, Resolved};
use super::mismatches;
use super::parent::ParentRef;
use super::programmed::{Answer, Judge};
use super::record::Record;
use super::replicas::{Live, Peers};
use crate::ads::Clients;
use crate::manifest::ObjectRef;

/// After a failure; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Term {
    judge: Judge,
    peers: Peers,
    /// What was written and is not heard of yet.
    written: HashMap<ObjectRef, Written>,
    pauses: HashMap<ObjectRef, Pause>,
    /// So that most objects, of which nothing changes, cost next to nothing.
    known: HashMap<ObjectRef, Known>,
}

/// What was read in a status.
#[derive(Debug, Default)]
struct Known {
    /// The version that it is of.
    version: String,
    programmed: Vec<(ParentRef, Option<Condition>)>,
    /// It says this; none: not looked at yet.
    says: Option<Desired>,
}

#[derive(Debug)]
struct Written {
    /// The version that it replaced.
    over: String,
    version: String,
    status: Value,
}

#[derive(Debug)]
struct Pause {
    length: Duration,
    until: Instant,
    /// Over as soon as another version than this is heard of.
    version: Option<String>,
}

/// A status to be written.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) record: Arc<Record>,
    /// The version that it replaces, and no other.
    pub(super) over: String,
    pub(super) patch: Value,
    pub(super) transitions: Vec<Transition>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Written {
        version: String,
        status: Value,
    },
    /// The object is another by now, or gone: it will be heard of.
    Outdated,
    Failed,
}

/// What is due at one moment.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) writes: Vec<Write>,
    /// When something may be due although nothing happens.
    pub(super) wakes: Option<Instant>,
    /// None: nothing is known yet.
    pub(super) gateways: Option<News>,
}

impl Term {
    pub(super) fn new(now: Instant, peers: Peers) -> Self {
        Self {
            judge: Judge::new(now),
            peers,
            written: HashMap::new(),
            pauses: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// These are the other replicas, and what they say.
    pub(super) fn heard(&mut self, live: Live) {
        self.peers.heard(live);
    }

    /// `text`: now, as conditions have it.
    pub(super) fn turn(
        &mut self,
        ledger: &Ledger,
        clients: &Clients,
        (now, text): (Instant, &str),
    ) -> Turn {
        let Some((resolved, judged)) = ledger.read() else {
            return Turn::default();
        };
        let expected = Expected::of(&resolved, &judged);
        let mut answers = self.judge.ask(&expected, clients, now);
        self.peers.add(&expected, &mut answers, now);
        let mut mismatches = mismatches::of(clients);
        self.peers.add_mismatches(&mut mismatches);
        let settling = self.peers.settling();
        let spoken = Spoken::of(&resolved);
        let mut writes = vec![];
        for judged in &judged {
            let answer = |place: &_| answers.get(place).unwrap_or(&Answer::Nowhere);
            writes.extend(self.due(judged, (&resolved, &spoken), answer, (now, settling, text)));
        }
        let there: HashSet<_> = judged.iter().map(|judged| &judged.record.id).collect();
        self.written.retain(|id, _| there.contains(id));
        self.pauses.retain(|id, _| there.contains(id));
        self.known.retain(|id, _| there.contains(id));
        let pauses = self.pauses.values().map(|pause| pause.until);
        let wakes = pauses.filter(|&until| until > now);
        Turn {
            gateways: Some(News::of(
                &resolved,
                &answers,
                &mismatches,
                self.judge.is_new(now),
            )),
            writes,
            wakes: wakes
                .chain(self.judge.wakes((now, settling)))
                .chain(self.peers.wakes(now))
                .min(),
        }
    }

    fn due<'a>(
        &mut self,
        judged: &Judged,
        resolved: (&Resolved, &Spoken<'_>),
        answer: impl Fn(&Place) -> &'a Answer,
        (now, settling, text): (Instant, Duration, &str),
    ) -> Option<Write> {
        let record = &judged.record;
        if self.is_paused(record, now) {
            return None;
        }
        self.forget_heard(record);
        let written = self.written.get(&record.id);
        let (over, status) = written.map_or((&record.resource_version, &record.status), |it| {
            (&it.version, &it.status)
        });
        let known = self.known.entry(record.id.clone()).or_default();
        known.renew(over);
        let judge = &mut self.judge;
        let desired = desired(judged, resolved, |parent| {
            let place = (record.id.clone(), parent.clone());
            let before = known.programmed(status, parent);
            let written = (before, judged.generation);
            judge.settled(&place, answer(&place), written, (now, settling))
        });
        if known.says.as_ref() == Some(&desired) {
            return None;
        }
        let Some(Change { patch, transitions }) = desired.change(status, text) else {
            known.says = Some(desired);
            return None;
        };
        Some(Write {
            over: over.clone(),
            record: record.clone(),
            patch,
            transitions,
        })
    }

    /// Between a write and the word of it the version that it replaced is all that is heard: a write replaces the version
    /// that it was meant for, so that whatever else is heard came after it.
    fn forget_heard(&mut self, record: &Record) {
        let written = self.written.get(&record.id);
        if written.is_some_and(|written| written.over != record.resource_version) {
            self.written.remove(&record.id);
        }
    }

    fn is_paused(&self, record: &Record, now: Instant) -> bool {
        self.pauses.get(&record.id).is_some_and(|pause| {
            let version = pause.version.as_ref();
            now < pause.until && version.is_none_or(|it| *it == record.resource_version)
        })
    }

    pub(super) fn wrote(&mut self, write: &Write, outcome: Outcome, now: Instant) {
        let record = &write.record;
        match outcome {
            Outcome::Written { version, status } => {
                self.pauses.remove(&record.id);
                let over = record.resource_version.clone();
                let written = Written {
                    over,
                    version,
                    status,
                };
                self.written.insert(record.id.clone(), written);
            }
            Outcome::Outdated => {
                self.written.remove(&record.id);
                self.pause(record, Some(record.resource_version.clone()), now);
            }
            Outcome::Failed => self.pause(record, None, now),
        }
    }

    fn pause(&mut self, record: &Record, version: Option<String>, now: Instant) {
        let earlier = self.pauses.get(&record.id).map(|pause| pause.length * 2);
        let length = earlier.unwrap_or(FIRST_PAUSE).min(LONGEST_PAUSE);
        let until = now + length;
        self.pauses.insert(
            record.id.clone(),
            Pause {
                length,
                until,
                version,
            },
        );
    }
}

impl Known {
    /// What was read in another version is forgotten.
    fn renew(&mut self, version: &str) {
        if self.version != version {
            *self = Self {
                version: version.to_owned(),
                ..Self::default()
            };
        }
    }

    /// The `Programmed` of a parent, as it is written.
    fn programmed(&mut self, status: &Value, parent: &ParentRef) -> Option<&Condition> {
        let place = self
            .programmed
            .iter()
            .position(|(known, _)| known == parent);
        let place = place.unwrap_or_else(|| {
            let read = written_programmed(status, parent);
            self.programmed.push((parent.clone(), read));
            self.programmed.len() - 1
        });
        self.programmed.get(place)?.1.as_ref()
    }
}

#[cfg(test)]
mod tests;
