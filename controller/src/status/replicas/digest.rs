//! What the proxies of one replica say together, in a form that fits into an annotation.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use meltemi_policy::Mismatches;
use meltemi_policy::foreign::{spoken, words};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::super::expected::{Expected, Item, Place};
use super::super::programmed::Answer;

/// So many answers are told: about 140 KiB in base64, of the 256 KiB that annotations may have.
const MOST: usize = 8192;
/// So many refusals are told with their reasons.
const MOST_REASONS: usize = 16;
/// And so many services whose clients do not speak their protocol.
const MOST_MISMATCHES: usize = 64;
const LONGEST_NAME: usize = 256;
const LONGEST_REASON: usize = 512;

/// Of the first byte: whoever does not know it can read nothing else.
const FORMAT: u8 = 1;
const WHOLE: u8 = 1;
/// Of an answer: the place, the version, and what is said.
const LENGTH: usize = 8 + 4 + 1;

/// An object at one of its parents.
pub(super) type PlaceHash = u64;
/// What proxies need for it, with all versions.
pub(super) type VersionHash = u32;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) told: BTreeMap<PlaceHash, Told>,
    /// Otherwise there was more than fits.
    pub(super) is_whole: bool,
    /// What they say of their clients.
    pub(super) mismatches: Mismatches,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) version: VersionHash,
    pub(super) answer: Answer,
}

/// As it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) answers: String,
    pub(super) reasons: String,
    pub(super) mismatches: String,
}

/// Why a proxy refuses what it refuses.
#[derive(Serialize, Deserialize)]
struct Reason {
    place: PlaceHash,
    what: String,
    reason: String,
}

impl Digest {
    pub(super) fn of(expected: &Expected, answers: &BTreeMap<Place, Answer>) -> Self {
        let fingerprints = Fingerprints::of(expected);
        let told = expected.items.iter().filter_map(|(place, item)| {
            let told = Told {
                version: fingerprints.version(item),
                answer: answers.get(place)?.clone(),
            };
            Some((place_hash(place), told))
        });
        let mut told: BTreeMap<_, _> = told.collect();
        let is_whole = told.len() <= MOST;
        if let Some(&first_left_out) = told.keys().nth(MOST) {
            drop(told.split_off(&first_left_out));
        }
        Self {
            told,
            is_whole,
            mismatches: Mismatches::new(),
        }
    }

    pub(super) fn with_mismatches(self, mismatches: Mismatches) -> Self {
        let told = mismatches.into_iter().take(MOST_MISMATCHES);
        Self {
            mismatches: told.collect(),
            ..self
        }
    }

    /// Whether some proxy is concerned by anything.
    pub(super) fn has_proxies(&self) -> bool {
        let silent = |told: &Told| matches!(told.answer, Answer::NoProxies | Answer::Nowhere);
        !self.is_whole || !self.told.values().all(silent)
    }

    pub(super) fn encode(&self) -> Encoded {
        let mut bytes = vec![FORMAT, if self.is_whole { WHOLE } else { 0 }];
        let mut reasons = vec![];
        for (&place, told) in &self.told {
            bytes.extend(place.to_le_bytes());
            bytes.extend(told.version.to_le_bytes());
            bytes.push(code(&told.answer));
            if let Answer::Refused { what, reason } = &told.answer
                && reasons.len() < MOST_REASONS
            {
                reasons.push(Reason {
                    place,
                    what: cut(what, LONGEST_NAME),
                    reason: cut(reason, LONGEST_REASON),
                });
            }
        }
        Encoded {
            answers: BASE64_STANDARD.encode(bytes),
            reasons: serde_json::to_string(&reasons).unwrap_or_default(),
            mismatches: serde_json::to_string(&self.mismatches()).unwrap_or_default(),
        }
    }

    fn mismatches(&self) -> BTreeMap<&str, String> {
        let all = self.mismatches.iter();
        all.map(|(service, spoken)| (service.as_str(), words(spoken)))
            .collect()
    }

    /// None: it is of another format, or broken.
    pub(super) fn decode(encoded: &Encoded) -> Option<Self> {
        let bytes = BASE64_STANDARD.decode(&encoded.answers).ok()?;
        let ([FORMAT, flags], records) = bytes.split_first_chunk::<2>()? else {
            return None;
        };
        let (records, []) = records.as_chunks::<LENGTH>() else {
            return None;
        };
        let reasons: Vec<Reason> = serde_json::from_str(&encoded.reasons).unwrap_or_default();
        let mismatches: BTreeMap<String, String> =
            serde_json::from_str(&encoded.mismatches).unwrap_or_default();
        let mismatches = mismatches.into_iter();
        let mismatches = mismatches.map(|(service, words)| (service, spoken(&words)));
        let mut reasons: BTreeMap<_, _> = reasons.into_iter().map(|it| (it.place, it)).collect();
        let told = records.iter().map(|record| {
            let (place, rest) = record.split_first_chunk::<8>()?;
            let (version, rest) = rest.split_first_chunk::<4>()?;
            let place = PlaceHash::from_le_bytes(*place);
            let told = Told {
                version: VersionHash::from_le_bytes(*version),
                answer: answer(*rest.first()?, reasons.remove(&place))?,
            };
            Some((place, told))
        });
        Some(Self {
            told: told.collect::<Option<_>>()?,
            is_whole: flags & WHOLE != 0,
            mismatches: mismatches.take(MOST_MISMATCHES).collect(),
        })
    }
}

const fn code(answer: &Answer) -> u8 {
    match answer {
        Answer::NoProxies => 0,
        Answer::Nowhere => 1,
        Answer::NotYet => 2,
        Answer::Everywhere => 3,
        Answer::Refused { .. } => 5,
        // What others say is not told on.
        Answer::Missing | Answer::Behind { .. } | Answer::Unheard => 4,
    }
}

fn answer(code: u8, reason: Option<Reason>) -> Option<Answer> {
    Some(match code {
        0 => Answer::NoProxies,
        1 => Answer::Nowhere,
        2 => Answer::NotYet,
        3 => Answer::Everywhere,
        4 => Answer::Missing,
        5 => match reason {
            Some(Reason { what, reason, .. }) => Answer::Refused { what, reason },
            None => Answer::Refused {
                what: "what it was sent".to_owned(),
                reason: "`meltemi status` says why".to_owned(),
            },
        },
        _ => return None,
    })
}

/// At most so many characters.
fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The same in each replica.
pub(super) fn place_hash((id, parent): &Place) -> PlaceHash {
    let namespace = parent.namespace.as_deref().unwrap_or_default();
    let parts = [
        id.kind.group(),
        id.kind.name(),
        &id.namespace,
        &id.name,
        &parent.group,
        &parent.kind,
        namespace,
        &parent.name,
    ];
    let mut hash = Xxh3::new();
    parts.iter().for_each(|part| add(&mut hash, part));
    hash.digest()
}

/// Of each expected resource a hash of its type, name and version, which is the same in each replica.
pub(super) struct Fingerprints(Vec<u64>);

impl Fingerprints {
    pub(super) fn of(expected: &Expected) -> Self {
        let mut hashes = vec![0; expected.versions.len()];
        for of_type in &expected.types {
            for (name, &place) in &of_type.names {
                let (Some(hash), Some(version)) =
                    (hashes.get_mut(place), expected.versions.get(place))
                else {
                    continue;
                };
                let mut of_resource = Xxh3::new();
                let parts = [of_type.type_url.as_str(), name, version];
                parts.iter().for_each(|part| add(&mut of_resource, part));
                *hash = of_resource.digest();
            }
        }
        Self(hashes)
    }

    pub(super) fn version(&self, item: &Item) -> VersionHash {
        let places = item.resources.iter();
        let mut hashes: Vec<_> = places.filter_map(|&place| self.0.get(place)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let bytes: Vec<_> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        (xxh3_64(&bytes) >> 32) as VersionHash
    }
}

fn add(hash: &mut Xxh3, part: &str) {
    hash.update(&(part.len() as u64).to_le_bytes());
    hash.update(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use meltemi_policy::Foreign;
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn any_answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            Just(Answer::NoProxies),
            Just(Answer::Nowhere),
            Just(Answer::NotYet),
            Just(Answer::Everywhere),
            Just(Answer::Missing),
            ("[a-z/]{1,20}", ".{0,40}").prop_map(|(what, reason)| Answer::Refused { what, reason }),
        ]
    }

    fn digest(told: BTreeMap<PlaceHash, (VersionHash, Answer)>, is_whole: bool) -> Digest {
        let told = told.into_iter();
        Digest {
            told: told
                .map(|(place, (version, answer))| (place, Told { version, answer }))
                .collect(),
            is_whole,
            mismatches: Mismatches::new(),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            told in btree_map(any::<u64>(), (any::<u32>(), any_answer()), 0..MOST_REASONS),
            is_whole: bool,
            service in "[a-z/:.0-9]{0,20}",
            spoken in proptest::sample::subsequence(&Foreign::ALL, 1..=4),
        ) {
            let mismatches = [(service, spoken.into_iter().collect())].into();
            let digest = digest(told, is_whole).with_mismatches(mismatches);
            prop_assert_eq!(Digest::decode(&digest.encode()), Some(digest));
        }

        #[test]
        fn garbage_is_no_digest_and_no_panic(answers: Vec<u8>, reasons: String, mismatches: String) {
            let answers = BASE64_STANDARD.encode(answers);
            drop(Digest::decode(&Encoded { answers, reasons, mismatches }));
        }
    }

    #[test]
    fn what_others_cannot_read_is_nothing() {
        let good = digest([(1, (2, Answer::Everywhere))].into(), true).encode();
        for (byte, value) in [(0, 2), (14, 9)] {
            let mut bytes = BASE64_STANDARD.decode(&good.answers).unwrap();
            bytes[byte] = value;
            let answers = BASE64_STANDARD.encode(bytes);
            let encoded = Encoded {
                answers,
                ..good.clone()
            };
            assert_eq!(Digest::decode(&encoded), None);
        }
    }

    #[test]
    fn it_fits_however_much_there_is_to_say() {
        let refused = Answer::Refused {
            what: "w".repeat(2000),
            reason: "\u{1}".repeat(20_000),
        };
        let told = (0..MOST as u64).map(|place| (place, (0, refused.clone())));
        let encoded = digest(told.collect(), true).encode();
        assert!(encoded.answers.len() + encoded.reasons.len() < 250 << 10);
        let read = Digest::decode(&encoded).unwrap();
        let reasons = |words: &str| {
            let all = read.told.values();
            all.filter(|it| matches!(&it.answer, Answer::Refused { reason, .. } if reason.starts_with(words)))
                .count()
        };
        assert_eq!(reasons("\u{1}"), MOST_REASONS);
        assert_eq!(reasons("`meltemi status`"), MOST - MOST_REASONS);
    }
}
