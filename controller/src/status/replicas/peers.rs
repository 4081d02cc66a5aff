//! What the proxies of other replicas say, beside one's own. Without I/O and clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use meltemi_policy::Mismatches;

use super::digest::{Digest, Fingerprints, PlaceHash, VersionHash, place_hash};
use super::roll::{Live, Says};
use crate::status::expected::{Expected, Place};
use crate::status::mismatches;
use crate::status::programmed::{Answer, SETTLING};

/// How long a replica has time to hear of what the leader has heard of, and to tell what its proxies say of it. Until then
/// nothing is said.
pub(in crate::status) const PATIENCE: Duration = Duration::from_secs(10);

/// How much longer an answer has to be the same where there are others: in this time what a proxy of theirs does not take
/// is told and heard.
const TELLING: Duration = Duration::from_secs(4);

/// The others, as they were heard last.
#[derive(Debug, Default)]
pub(in crate::status) struct Peers {
    /// None: nobody has said yet which there are.
    live: Option<Live>,
    /// What a replica has said nothing of, in the version that is expected, since when.
    behind: HashMap<(String, PlaceHash), Behind>,
}

#[derive(Debug)]
struct Behind {
    version: VersionHash,
    since: Instant,
}

impl Peers {
    /// There is nobody else.
    #[cfg(test)]
    pub(in crate::status) fn none() -> Self {
        Self {
            live: Some(Live::default()),
            behind: HashMap::new(),
        }
    }

    /// There is another one, whose proxies say this of their clients.
    #[cfg(test)]
    pub(in crate::status) fn of_one_that_says(mismatches: Mismatches) -> Live {
        let digest = Digest::default().with_mismatches(mismatches);
        Live([("other".to_owned(), Says::Digest(digest.into()))].into())
    }

    pub(in crate::status) fn heard(&mut self, live: Live) {
        self.live = Some(live);
    }

    /// How long an answer has to be the same before it is written.
    pub(in crate::status) fn settling(&self) -> Duration {
        match &self.live {
            Some(Live(live)) if live.is_empty() => SETTLING,
            _ => SETTLING + TELLING,
        }
    }

    /// When there may be something else to say although nothing is heard.
    pub(in crate::status) fn wakes(&self, now: Instant) -> Option<Instant> {
        let due = self.behind.values().map(|behind| behind.since + PATIENCE);
        due.filter(|&due| due > now).min()
    }

    /// Adds what their proxies say of their clients.
    pub(in crate::status) fn add_mismatches(&self, all: &mut Mismatches) {
        let live = self.live.iter().flat_map(|Live(live)| live.values());
        for says in live {
            if let Says::Digest(digest) = says {
                mismatches::add(&digest.mismatches, all);
            }
        }
    }

    /// Adds what they say to what one's own proxies say.
    pub(in crate::status) fn add(
        &mut self,
        expected: &Expected,
        answers: &mut BTreeMap<Place, Answer>,
        now: Instant,
    ) {
        let Some(Live(live)) = &self.live else {
            answers.values_mut().for_each(|it| it.add(Answer::Unheard));
            return;
        };
        if live.is_empty() {
            self.behind.clear();
            return;
        }
        let fingerprints = Fingerprints::of(expected);
        let mut still_behind = BTreeSet::new();
        for (place, answer) in answers {
            let Some(item) = expected.items.get(place) else {
                continue;
            };
            let (place, version) = (place_hash(place), fingerprints.version(item));
            for (name, says) in live {
                let said = match says {
                    Says::Nothing => continue,
                    Says::Unreadable => Answer::Unheard,
                    Says::Digest(digest) => said(digest, place, version).unwrap_or_else(|| {
                        let key = (name.clone(), place);
                        let behind = self.behind.entry(key.clone()).or_insert(Behind {
                            version,
                            since: now,
                        });
                        still_behind.insert(key);
                        behind.answer(name, version, digest.is_whole, now)
                    }),
                };
                answer.add(said);
            }
        }
        self.behind.retain(|key, _| still_behind.contains(key));
    }
}

/// None: it has not said yet what it will.
fn said(digest: &Digest, place: PlaceHash, version: VersionHash) -> Option<Answer> {
    let told = digest.told.get(&place);
    match told.filter(|told| told.version == version) {
        Some(told) => Some(told.answer.clone()),
        None => (!digest.has_proxies()).then_some(Answer::NoProxies),
    }
}

impl Behind {
    fn answer(
        &mut self,
        replica: &str,
        version: VersionHash,
        is_whole: bool,
        now: Instant,
    ) -> Answer {
        if self.version != version {
            *self = Self {
                version,
                since: now,
            };
        }
        match is_whole && now >= self.since + PATIENCE {
            true => Answer::Behind {
                replica: replica.to_owned(),
            },
            false => Answer::Unheard,
        }
    }
}

impl Answer {
    /// What counts of what two say.
    fn add(&mut self, other: Self) {
        let is_more = match (&*self, &other) {
            // What is not sent to anybody is known here.
            (Self::Nowhere, _) => false,
            (Self::Refused { what, reason }, Self::Refused { what: w, reason: r }) => {
                (w, r) < (what, reason)
            }
            (Self::Behind { replica }, Self::Behind { replica: other }) => other < replica,
            (own, other) => other.weight() > own.weight(),
        };
        if is_more {
            *self = other;
        }
    }

    const fn weight(&self) -> u8 {
        match self {
            Self::Nowhere | Self::NoProxies => 0,
            Self::NotYet => 1,
            Self::Everywhere => 2,
            Self::Unheard => 3,
            Self::Behind { .. } => 4,
            Self::Missing => 5,
            Self::Refused { .. } => 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(what: &str) -> Answer {
        Answer::Refused {
            what: what.to_owned(),
            reason: "r".to_owned(),
        }
    }

    #[test]
    fn the_worst_counts_and_silence_before_good_news() {
        let behind = |replica: &str| Answer::Behind {
            replica: replica.to_owned(),
        };
        use Answer::{Everywhere, Missing, NoProxies, NotYet, Nowhere, Unheard};
        for (one, other, expected) in [
            (NoProxies, NoProxies, NoProxies),
            (NoProxies, Everywhere, Everywhere),
            (NotYet, Everywhere, Everywhere),
            (Everywhere, Unheard, Unheard),
            (NoProxies, Unheard, Unheard),
            (Unheard, behind("b"), behind("b")),
            (behind("a"), behind("b"), behind("a")),
            (behind("a"), Missing, Missing),
            (Missing, refused("x"), refused("x")),
            (refused("x"), refused("w"), refused("w")),
        ] {
            let mut ways = [(one.clone(), other.clone()), (other.clone(), one.clone())];
            for (own, other) in &mut ways {
                own.add(other.clone());
                assert_eq!(*own, expected, "of {own:?} and {other:?}");
            }
        }
        let mut nowhere = Nowhere;
        nowhere.add(Everywhere);
        assert_eq!(nowhere, Nowhere);
    }
}
