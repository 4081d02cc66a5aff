//! `Programmed`: whether the proxies that an object concerns have what was made of it.
//!
//! A proxy that is behind for less than [`SETTLING`] says nothing either way, and an answer counts once it has been the
//! same for as long: neither an update on its way nor proxies that are restarted one after the other change a status.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::condition::{Condition, State, Truth};
use super::expected::{Expected, Item, Place};
use crate::ads::{Clients, Held};

/// How long an answer has to be the same before it is written.
pub(super) const SETTLING: Duration = Duration::from_secs(2);
/// Proxies that lose their controller come again after up to 10 s. For so long none that is there is no news.
const RETURN: Duration = Duration::from_secs(30);

/// Who judges, from one moment on.
#[derive(Debug)]
pub(super) struct Judge {
    began: Instant,
    /// Clients that do not have everything, since when.
    behind: HashMap<u64, Instant>,
    /// Answers that are not written yet.
    candidates: BTreeMap<Place, Candidate>,
}

#[derive(Debug)]
struct Candidate {
    state: State,
    /// Of the object.
    generation: i64,
    since: Instant,
}

/// What the proxies together say of an object at one parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Everywhere,
    /// Of several the first by name, so that it does not hang on who is asked first.
    Refused {
        what: String,
        reason: String,
    },
    /// A proxy has been sent it, and says nothing.
    Missing,
    NoProxies,
    /// Nothing that proxies are sent hangs on it.
    Nowhere,
    /// All that it concerns have only begun.
    NotYet,
    /// Another replica has not said it yet.
    Unheard,
    /// It has had the time for it.
    Behind {
        replica: String,
    },
}

/// What one client has of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Absent,
    Taken,
    Behind,
    Refused,
}

/// What the clients so far say of one item.
#[derive(Clone, Debug, Default)]
struct Tally {
    taken: bool,
    only_begun: bool,
    missing: bool,
    refused: BTreeSet<(String, String)>,
}

impl Judge {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            behind: HashMap::new(),
            candidates: BTreeMap::new(),
        }
    }

    /// What is to be said now of a generation, where answers have to be the same for `settling`; none: what is written stays
    /// for now. What was said of an earlier generation is no answer for this one.
    pub(super) fn settled(
        &mut self,
        place: &Place,
        answer: &Answer,
        (written, generation): (Option<&Condition>, i64),
        (now, settling): (Instant, Duration),
    ) -> Option<State> {
        let Some(state) = answer.state() else {
            self.candidates.remove(place);
            return None;
        };
        let is_known = written.is_some_and(|it| it.status != Truth::Unknown);
        if *answer == Answer::NoProxies && is_known && self.is_new(now) {
            return None;
        }
        let is_written = written.is_some_and(|it| {
            (it.status, &it.reason, &it.message) == (state.status, &state.reason, &state.message)
                && it.observed_generation == generation
        });
        if is_written {
            self.candidates.remove(place);
            return Some(state);
        }
        let candidate = self.candidates.entry(place.clone());
        let candidate = candidate.or_insert_with(|| Candidate {
            state: state.clone(),
            generation,
            since: now,
        });
        if candidate.state != state || candidate.generation != generation {
            *candidate = Candidate {
                state,
                generation,
                since: now,
            };
        }
        (now >= candidate.since + settling).then(|| candidate.state.clone())
    }

    /// Whether proxies may still be on their way to this one.
    pub(super) fn is_new(&self, now: Instant) -> bool {
        now < self.began + RETURN
    }

    /// When there may be something else to say although nothing happens.
    pub(super) fn wakes(&self, (now, settling): (Instant, Duration)) -> Option<Instant> {
        let candidates = self.candidates.values();
        let candidates = candidates.map(|candidate| candidate.since + settling);
        let behind = self.behind.values().map(|&since| since + SETTLING);
        let times = behind.chain(candidates);
        let returned = Some(self.began + RETURN);
        times.chain(returned).filter(|&time| time > now).min()
    }

    /// Asks every client once.
    pub(super) fn ask(
        &mut self,
        expected: &Expected,
        clients: &Clients,
        now: Instant,
    ) -> BTreeMap<Place, Answer> {
        let items: Vec<_> = expected.items.values().collect();
        let mut tallies = vec![Tally::default(); items.len()];
        let mut here = BTreeSet::new();
        let mut seen = vec![Seen::Absent; expected.versions.len()];
        clients.each(|client| {
            here.insert(client.number);
            let mut refused = BTreeMap::new();
            seen.fill(Seen::Absent);
            for of_type in &expected.types {
                client.each(&of_type.type_url, |name, held| {
                    let Some(&place) = of_type.names.get(name) else {
                        return;
                    };
                    let is = expected
                        .versions
                        .get(place)
                        .map(|version| look(&held, version));
                    let is = is.unwrap_or(Seen::Absent);
                    if let Some(seen) = seen.get_mut(place) {
                        *seen = is;
                    }
                    if is == Seen::Refused {
                        refused.insert(place, (of_type, name.to_owned()));
                    }
                });
            }
            let reason = |place: &usize| {
                let (of_type, name) = refused.get(place)?;
                let reason = client
                    .reason(&of_type.type_url, name)
                    .unwrap_or("it does not say why");
                Some((format!("{} {name}", of_type.kind), reason.to_owned()))
            };
            let is_settled = self.is_settled(client.number, &items, &seen, now);
            for (item, tally) in items.iter().zip(&mut tallies) {
                tally.add(item, &seen, is_settled, reason);
            }
        });
        self.behind.retain(|number, _| here.contains(number));
        self.candidates
            .retain(|place, _| expected.items.contains_key(place));
        let answers = items
            .iter()
            .zip(tallies)
            .map(|(item, tally)| tally.answer(item));
        expected.items.keys().cloned().zip(answers).collect()
    }

    /// Whether what a client lacks it has lacked for long.
    fn is_settled(&mut self, number: u64, items: &[&Item], seen: &[Seen], now: Instant) -> bool {
        let is_behind = items.iter().any(|item| item.lacks(seen));
        if !is_behind {
            self.behind.remove(&number);
            return true;
        }
        let since = *self.behind.entry(number).or_insert(now);
        now >= since + SETTLING
    }
}

/// What a client has, compared with what it should have.
fn look(held: &Held, version: &std::sync::Arc<str>) -> Seen {
    if held.refused.as_ref() == Some(version) {
        return Seen::Refused;
    }
    match held.acknowledged.as_ref() == Some(version) {
        true => Seen::Taken,
        false => Seen::Behind,
    }
}

impl Item {
    fn all(places: &[usize], seen: &[Seen]) -> impl Iterator<Item = Seen> {
        places.iter().filter_map(|&place| seen.get(place).copied())
    }

    fn concerns(&self, seen: &[Seen]) -> bool {
        Self::all(&self.anchors, seen).any(|seen| seen != Seen::Absent)
    }

    /// Whether something of it is on its way to a client that it concerns.
    fn lacks(&self, seen: &[Seen]) -> bool {
        let lacks = |seen| matches!(seen, Seen::Absent | Seen::Behind);
        self.concerns(seen) && Self::all(&self.resources, seen).any(lacks)
    }
}

impl Tally {
    fn add(
        &mut self,
        item: &Item,
        seen: &[Seen],
        is_settled: bool,
        reason: impl Fn(&usize) -> Option<(String, String)>,
    ) {
        if !item.concerns(seen) {
            return;
        }
        self.refused
            .extend(item.resources.iter().filter_map(reason));
        match item.lacks(seen) {
            true if is_settled => self.missing = true,
            true => self.only_begun = true,
            false => self.taken = true,
        }
    }

    fn answer(self, item: &Item) -> Answer {
        if let Some((what, reason)) = self.refused.into_iter().next() {
            return Answer::Refused { what, reason };
        }
        match (self.missing, self.taken, self.only_begun) {
            _ if item.resources.is_empty() => Answer::Nowhere,
            (true, _, _) => Answer::Missing,
            (_, true, _) => Answer::Everywhere,
            (_, _, true) => Answer::NotYet,
            _ => Answer::NoProxies,
        }
    }
}

impl Answer {
    /// None: what is written stays for now.
    pub(crate) fn state(&self) -> Option<State> {
        Some(match self {
            Self::Everywhere => State::new(
                Truth::True,
                "Programmed",
                "every proxy that it concerns has it",
            ),
            Self::Refused { what, reason } => {
                let message = format!("a proxy rejects {what}: {reason}");
                State::new(Truth::False, "RejectedByProxy", message)
            }
            Self::Missing => {
                let message = "a proxy was sent it and has not taken it yet";
                State::new(Truth::False, "NotAcknowledged", message)
            }
            Self::NoProxies => State::new(
                Truth::Unknown,
                "NoProxies",
                "no proxy is connected that it concerns",
            ),
            Self::Nowhere => {
                let message = "nothing that proxies are sent hangs on it";
                State::new(Truth::Unknown, "NotUsed", message)
            }
            Self::Behind { replica } => {
                let message = format!("the controller {replica} has not served it yet");
                State::new(Truth::False, "NotAcknowledged", message)
            }
            Self::NotYet | Self::Unheard => return None,
        })
    }
}

#[cfg(test)]
mod tests;
