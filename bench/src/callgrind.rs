//! What callgrind counted, by the part of Meltemi that the instructions belong to.
//!
//! The format is that of the Valgrind manual, "Callgrind Format Specification": a line is a cost of the
//! function named last (`fn=`), in the file named last (`fl=`, `fi=`, `fe=`: code that was inlined keeps
//! its file); the line behind `calls=` is what a call cost, all that it called included. A name is
//! spelled once, `(12) name`, and `(12)` afterwards.

mod stacks;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use self::stacks::{OPTIONS, Stacks, stacks};

/// What instructions are for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Of the protocol's crate: requests and answers are found and understood.
    Decode,
    /// Of the protocol's crate: what a route, a balancer or a metric asks of a message.
    Attributes,
    /// Of the protocol's crate: requests and answers are written.
    Encode,
    /// The route table.
    Route,
    /// The balancer.
    Pick,
    /// Whose an answer is, and what is under way.
    Engine,
    /// Sockets and polling, but for the kernel, which is not counted.
    Driver,
    /// Metrics and the access log.
    Telemetry,
    /// Copies, the allocator, the C library, what else there is.
    Other,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Decode => "decode",
            Self::Attributes => "attributes",
            Self::Encode => "encode",
            Self::Route => "route",
            Self::Pick => "pick",
            Self::Engine => "engine",
            Self::Driver => "driver",
            Self::Telemetry => "telemetry",
            Self::Other => "other",
        })
    }
}

/// Instructions by part.
pub(crate) type Parts = BTreeMap<Part, u64>;

#[derive(Debug, Error)]
pub(crate) enum ProfileError {
    #[error("line {0}: no cost that callgrind would write: {1}")]
    Cost(usize, String),
    #[error("no function of a protocol's crate is in it: a build without symbols?")]
    NoSymbols,
}

/// Functions of the codec traits (`core/codec`): they are called through a table, so that none is
/// inlined, and a call's cost is all of the protocol's work.
const CODEC: &[(Part, &[&str])] = &[
    (Part::Decode, &["decode", "body"]),
    (
        Part::Attributes,
        &["attribute", "constraint", "outcome", "memo", "id"],
    ),
    (
        Part::Encode,
        &[
            "forward",
            "forward_once",
            "respond",
            "local_reply",
            "edit",
            "pass_deadline",
        ],
    ),
];

/// Where the other parts lie in the repository, the most particular first.
const FILES: &[(&str, Part)] = &[
    ("core/policy/src/route", Part::Route),
    ("core/src/engine/tables/service", Part::Route),
    ("core/src/engine/shards", Part::Pick),
    ("core/src/engine/hashing", Part::Pick),
    ("core/src/engine/observe", Part::Telemetry),
    ("core/src/engine/log", Part::Telemetry),
    ("core/src/engine", Part::Engine),
    ("core/src/balance", Part::Pick),
    ("core/src/outlier", Part::Engine),
    ("core/src/telemetry", Part::Telemetry),
    ("core/src/hot_keys", Part::Telemetry),
    ("core/src/access_log", Part::Telemetry),
    ("core/src/driver", Part::Driver),
    ("core/policy/src", Part::Pick),
    ("/mio-", Part::Driver),
];

/// Instructions of a profile by part.
pub(crate) fn parts(profile: &str) -> Result<Parts, ProfileError> {
    let mut reader = Reader::default();
    for (number, line) in profile.lines().enumerate() {
        let read = reader.line(line);
        read.ok_or_else(|| ProfileError::Cost(number + 1, line.to_owned()))?;
    }
    let named: u64 = reader.parts.values().sum();
    if !reader.parts.contains_key(&Part::Decode) {
        return Err(ProfileError::NoSymbols);
    }
    reader
        .parts
        .insert(Part::Other, reader.total.saturating_sub(named));
    Ok(reader.parts)
}

#[derive(Default)]
struct Reader {
    files: Names,
    functions: Names,
    /// What lines of the function, and of the file that is inlined into it, belong to.
    function: Option<Part>,
    file: Option<Part>,
    /// Whether the function is a codec's: what those call among themselves is counted already.
    is_codec: bool,
    /// The codec's function that the next line is the cost of.
    called: Option<Part>,
    is_call: bool,
    parts: Parts,
    total: u64,
}

/// Parts of what was named, by the number of the name.
type Names = HashMap<String, Option<Part>>;

impl Reader {
    /// Nothing where the line is none that callgrind writes.
    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(name) = line.strip_prefix("fl=") {
            self.file = part_of(&mut self.files, name, file_part);
            self.function = self.file;
        } else if let Some(name) = line
            .strip_prefix("fi=")
            .or_else(|| line.strip_prefix("fe="))
        {
            self.file = part_of(&mut self.files, name, file_part);
        } else if let Some(name) = line
            .strip_prefix("cfi=")
            .or_else(|| line.strip_prefix("cfl="))
        {
            part_of(&mut self.files, name, file_part);
        } else if let Some(name) = line.strip_prefix("fn=") {
            self.is_codec = part_of(&mut self.functions, name, codec_part).is_some();
        } else if let Some(name) = line.strip_prefix("cfn=") {
            self.called = part_of(&mut self.functions, name, codec_part);
        } else if line.starts_with("calls=") {
            self.is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            self.cost(line.rsplit(' ').next()?.parse().ok()?);
        }
        Some(())
    }

    fn cost(&mut self, cost: u64) {
        if std::mem::take(&mut self.is_call) {
            if let Some(part) = self.called.take().filter(|_| !self.is_codec) {
                *self.parts.entry(part).or_default() += cost;
            }
            return;
        }
        self.total += cost;
        // Library code that was inlined belongs to whom it was inlined into.
        if let Some(part) = self.file.or(self.function) {
            *self.parts.entry(part).or_default() += cost;
        }
    }
}

fn part_of(names: &mut Names, text: &str, part: fn(&str) -> Option<Part>) -> Option<Part> {
    let (number, name) = text.split_once(' ').unwrap_or((text, ""));
    if !name.is_empty() {
        names.insert(number.to_owned(), part(name));
    }
    names.get(number).copied().flatten()
}

fn file_part(path: &str) -> Option<Part> {
    let mut files = FILES.iter();
    files
        .find(|(place, _)| path.contains(place))
        .map(|(_, part)| *part)
}

fn codec_part(function: &str) -> Option<Part> {
    let (of, name) = function.rsplit_once(">::")?;
    let is_codec = of.contains(" as meltemi_codec::");
    let mut parts = CODEC.iter();
    let (part, _) = parts.find(|(_, names)| is_codec && names.contains(&name))?;
    Some(*part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
positions: instr line
events: Ir

fl=(1) ./core/src/engine/receive.rs
fn=(1) meltemi_core::engine::receive
0x10 5 100
fi=(2) /rustc/1/library/core/src/slice.rs
+4 +1 10
fi=(3) ./core/src/balance.rs
* * 7
fe=(1)
cfi=(4) protocols/redis/src/client.rs
cfn=(2) <meltemi_redis::client::Client as meltemi_codec::downstream::Downstream>::decode
calls=3 0x40 9
+1 +1 500
-1 6 1

fl=(4)
fn=(2)
0x40 9 300
cfn=(3) memcpy
calls=1 0x99 1
* * 200

fl=(5) ./string/memcpy.S
fn=(3)
0x99 1 200
";

    #[test]
    fn costs_belong_to_files_and_a_codecs_with_all_that_it_calls() {
        let parts = parts(PROFILE).unwrap();
        let expected = [
            (Part::Decode, 500),
            (Part::Pick, 7),
            (Part::Engine, 111),
            // All of it was the codec's.
            (Part::Other, 0),
        ];
        assert_eq!(parts, Parts::from(expected));
    }

    #[test]
    fn what_is_no_profile_is_an_error() {
        assert!(matches!(
            parts("events: Ir\n"),
            Err(ProfileError::NoSymbols)
        ));
        assert!(matches!(
            parts("0x10 5 many"),
            Err(ProfileError::Cost(1, _))
        ));
    }
}
