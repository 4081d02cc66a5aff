//! How the answers of several shards become one.
//!
//! The values in them pass as the bytes that they are. An answer that is missing or of another
//! kind than its command's makes the whole an error: half an answer would be taken for a whole one.

mod arrays;
mod info;
mod numbers;

use meltemi_codec::{Frame, Merge, Outcome};

use super::scan;
use crate::resp::{Reply, write};

/// What a client hears where the answers of the shards cannot become one.
const BROKEN: &[u8] = b"ERR proxy: the answers of the shards do not fit together";

/// How answers become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// One of them; the first error where there is one.
    AllSucceeded,
    /// The first that is no error.
    OneSucceeded,
    Sum,
    Min,
    Max,
    And,
    Or,
    /// The elements of all.
    Concat,
    /// The elements of all, each once.
    Union,
    /// Names and numbers in turn: the numbers are sums.
    Counts,
    /// One that is not null, the first after so many.
    Random(u32),
    /// The first in which a script runs (`FUNCTION STATS`).
    Running,
    /// `INFO`.
    Info,
    /// Texts under the names of their nodes, one a line.
    Text(String),
    /// The elements in the order of the keys: which part each key went to.
    Keyed(Vec<u32>),
    /// The cursor of the next `SCAN`.
    Scan {
        shard: u64,
        next: Option<u64>,
    },
}

impl How {
    pub(super) fn seal(&self) -> Merge {
        let words = |kind: u8, words: &[u32]| {
            let bytes = words.iter().flat_map(|word| word.to_le_bytes());
            std::iter::once(kind).chain(bytes).collect()
        };
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Merge(match self {
            Self::Text(names) => std::iter::once(13).chain(names.bytes()).collect(),
            Self::Keyed(owners) => words(14, owners),
            Self::Random(turn) => words(12, &[*turn]),
            Self::Scan { shard, next: None } => words(15, &[small(*shard)]),
            Self::Scan {
                shard,
                next: Some(next),
            } => words(15, &[small(*shard), small(*next)]),
            plain => PLAIN
                .iter()
                .zip(0..)
                .find(|(how, _)| *how == plain)
                .map_or_else(Default::default, |(_, kind)| words(kind, &[])),
        })
    }

    fn open(merge: &Merge) -> Option<Self> {
        let (kind, rest) = merge.0.split_first()?;
        let (words, _) = rest.as_chunks::<4>();
        let mut words = words.iter().copied().map(u32::from_le_bytes);
        Some(match kind {
            12 => Self::Random(words.next()?),
            13 => Self::Text(String::from_utf8(rest.to_vec()).ok()?),
            14 => Self::Keyed(words.collect()),
            15 => Self::Scan {
                shard: words.next()?.into(),
                next: words.next().map(u64::from),
            },
            kind => PLAIN.get(usize::from(*kind))?.clone(),
        })
    }
}

/// Those that are the same for each request; their places are their bytes in a [`Merge`].
static PLAIN: [How; 12] = [
    How::AllSucceeded,
    How::OneSucceeded,
    How::Sum,
    How::Min,
    How::Max,
    How::And,
    How::Or,
    How::Concat,
    How::Union,
    How::Counts,
    How::Running,
    How::Info,
];

/// See [`meltemi_codec::Scatter::merge`].
pub(super) fn merge(how: &Merge, parts: &[Frame<'_>], out: &mut Vec<u8>) -> Outcome {
    let start = out.len();
    let replies: Option<Vec<Reply<'_>>> =
        parts.iter().map(|part| Reply::parse(part.bytes)).collect();
    if let (Some(how), Some(replies)) = (How::open(how), replies) {
        let parts = Parts {
            replies,
            frames: parts,
        };
        if let Some(refusal) = parts.refusal(&how) {
            out.extend_from_slice(refusal.bytes);
            // Never that another time may serve the request: other shards may have done their part
            // of it.
            return match crate::server::outcome::of(refusal.bytes, false) {
                Outcome::TryLater { code } => Outcome::ApplicationError { code },
                outcome => outcome,
            };
        }
        if parts.merge(&how, out) {
            return Outcome::Ok { code: 0 };
        }
    }
    out.truncate(start);
    write::error(BROKEN, out);
    Outcome::SystemError { code: 0 }
}

/// The answers to be merged, and what was read of them.
struct Parts<'a> {
    replies: Vec<Reply<'a>>,
    frames: &'a [Frame<'a>],
}

impl<'a> Parts<'a> {
    /// The answer that makes the whole an error.
    fn refusal(&self, how: &How) -> Option<&'a Frame<'a>> {
        let mut errors = self
            .replies
            .iter()
            .zip(self.frames)
            .filter(|(reply, _)| reply.is_error());
        let (_, first) = errors.next()?;
        if *how != How::OneSucceeded {
            return Some(first);
        }
        if self.replies.iter().any(|reply| !reply.is_error()) {
            return None;
        }
        // `SCRIPT KILL`: that other shards run no script says less than why one cannot be killed.
        let says_more = |frame: &&Frame<'_>| !frame.bytes.starts_with(b"-NOTBUSY");
        Some(self.frames.iter().find(says_more).unwrap_or(first))
    }

    /// Writes the one answer. False where the answers are not such as `how` expects.
    fn merge(&self, how: &How, out: &mut Vec<u8>) -> bool {
        match how {
            How::AllSucceeded => self.one(|_| true, out),
            How::OneSucceeded => self.one(|reply| !reply.is_error(), out),
            How::Running => {
                let runs = |reply: &Reply<'_>| {
                    let script = reply.field(b"running_script");
                    script.is_some_and(|script| !script.is_null())
                };
                self.one(runs, out) || self.one(|_| true, out)
            }
            How::Random(turn) => self.random(*turn, out),
            How::Sum => numbers::fold(&self.replies, i64::saturating_add, out),
            How::Min => numbers::fold(&self.replies, i64::min, out),
            How::Max => numbers::fold(&self.replies, i64::max, out),
            How::And => {
                let and = |a, b| i64::from(a != 0 && b != 0);
                numbers::fold(&self.replies, and, out)
            }
            How::Or => {
                let or = |a, b| i64::from(a != 0 || b != 0);
                numbers::fold(&self.replies, or, out)
            }
            How::Concat if self.replies.iter().all(|reply| reply.elements().is_none()) => {
                // The tips leave it to the client: only nested replies can be put together.
                self.one(|_| true, out)
            }
            How::Concat => arrays::concat(&self.replies, out),
            How::Union => arrays::union(&self.replies, out),
            How::Counts => arrays::counts(&self.replies, out),
            How::Keyed(owners) => arrays::keyed(&self.replies, owners, out),
            How::Info => info::merge(&self.replies, out),
            How::Text(names) => info::texts(&self.replies, names, out),
            How::Scan { shard, next } => match self.frames {
                [only] => scan::merge(*shard, *next, only.bytes, out),
                _ => false,
            },
        }
    }

    /// The first of a kind, as it is.
    fn one(&self, is: impl Fn(&Reply<'_>) -> bool, out: &mut Vec<u8>) -> bool {
        let mut all = self.replies.iter().zip(self.frames);
        let found = all.find(|(reply, _)| is(reply));
        if let Some((_, frame)) = found {
            out.extend_from_slice(frame.bytes);
        }
        found.is_some()
    }

    /// A key of a shard that has one, of each shard in its turn; null where none has.
    fn random(&self, turn: u32, out: &mut Vec<u8>) -> bool {
        let all = self.replies.iter().zip(self.frames);
        let keys: Vec<_> = all.filter(|(reply, _)| !reply.is_null()).collect();
        let turn = usize::try_from(turn).unwrap_or(0).checked_rem(keys.len());
        match turn.and_then(|turn| keys.get(turn)) {
            Some((_, frame)) => out.extend_from_slice(frame.bytes),
            None => return self.one(|_| true, out),
        }
        true
    }
}

#[cfg(test)]
mod tests;
