//! Which arguments are keys: the key specifications of `COMMAND`, read as Redis reads them.
//!
//! <https://redis.io/docs/latest/develop/reference/key-specs/>, and `getKeysUsingKeySpecs` of
//! Redis' `db.c` where that page is not precise.

use std::{borrow::Cow, ops::RangeInclusive};

/// Where some of a command's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where to begin.
    pub begin: Begin,
    /// Which arguments from there on are keys.
    pub find: Find,
    /// What the command does with them.
    pub access: Access,
    /// Whether these are no keys but have a slot like keys (channels of `SPUBLISH`).
    pub not_key: bool,
    /// Whether there may be keys that this does not find.
    pub incomplete: bool,
}

/// Where the search for keys begins. Indexes count the command's name as 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument.
    Index(u16),
    /// After the first argument that is this word in any case.
    Keyword {
        /// The word.
        word: Cow<'static, str>,
        /// Where to look from; negative: backwards from there, counted from the end.
        from: i16,
    },
    /// At this argument unless it is empty: `MIGRATE host port key|""`.
    NonEmpty(u16),
    /// After this word among the options, of which some have arguments that may look like it.
    Option {
        /// The word.
        word: &'static str,
        /// Where the options begin.
        from: u16,
        /// Other options that have arguments, and how many.
        skip: &'static [(&'static str, u8)],
        /// Whether the last of several counts instead of the first.
        last: bool,
    },
    /// Servers cannot say.
    Unknown,
}

/// Which arguments are keys, counted from where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// A range.
    Range {
        /// Its last argument; negative: counted from the end of the command, -1 being its last.
        last: i16,
        /// From one key to the next.
        step: u16,
        /// With `last` -1: the keys are the first 1/`limit` of what follows. 0 and 1: all of it.
        limit: u16,
    },
    /// As many as an argument says.
    Keynum {
        /// Where the number is.
        number: u16,
        /// Where the first key is.
        first: u16,
        /// From one key to the next.
        step: u16,
    },
    /// Servers cannot say.
    Unknown,
}

/// What a command does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads and changes it.
    ReadWrite,
    /// Reads it.
    ReadOnly,
    /// Replaces it.
    Overwrite,
    /// Removes it.
    Remove,
}

/// The indexes of the arguments that are keys, in the order of `specs`, found as they are asked
/// for: the first costs no look at the others. `arg` is the request: its argument of an index,
/// where it has it and it is at hand.
///
/// A specification that does not fit the request finds nothing: such a request is a syntax error,
/// and the server says so in its own words.
pub fn keys<'a, F>(specs: &[KeySpec], argc: usize, arg: F) -> Keys<'_, F>
where
    F: Fn(usize) -> Option<&'a [u8]>,
{
    Keys {
        specs,
        argc,
        arg,
        run: None,
    }
}

/// See [`keys`].
#[derive(Clone, Debug)]
pub struct Keys<'s, F> {
    specs: &'s [KeySpec],
    argc: usize,
    arg: F,
    /// What is left of the keys of a specification, and their distance.
    run: Option<(RangeInclusive<usize>, usize)>,
}

impl<'a, F> Iterator for Keys<'_, F>
where
    F: Fn(usize) -> Option<&'a [u8]>,
{
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            if let Some((range, step)) = &mut self.run {
                if !range.is_empty() {
                    let key = *range.start();
                    *range = key.saturating_add(*step)..=*range.end();
                    return Some(key);
                }
                self.run = None;
            }
            let (spec, rest) = self.specs.split_first()?;
            self.specs = rest;
            self.run = spec.run(self.argc, &self.arg);
        }
    }
}

impl KeySpec {
    /// Whether the arguments themselves have to be looked at to know which are keys, beyond how
    /// many there are.
    pub(crate) fn reads_arguments(&self) -> bool {
        !matches!(
            (&self.begin, self.find),
            (Begin::Index(_), Find::Range { .. })
        )
    }

    /// The one argument that it finds, where that can be no other.
    pub(crate) fn only(&self) -> Option<usize> {
        match (&self.begin, self.find) {
            (Begin::Index(index), Find::Range { last: 0, .. }) => Some(usize::from(*index)),
            _ => None,
        }
    }

    /// First and last key and the distance between keys.
    fn run<'a>(
        &self,
        argc: usize,
        arg: &impl Fn(usize) -> Option<&'a [u8]>,
    ) -> Option<(RangeInclusive<usize>, usize)> {
        let begin = self.begin.index(argc, arg)?;
        let (first, last, step) = match self.find {
            Find::Range { last, step, limit } => {
                let last = match usize::try_from(last) {
                    Ok(last) => begin.checked_add(last)?,
                    Err(_) => {
                        let end = if limit > 1 {
                            begin + argc.checked_sub(begin)? / usize::from(limit)
                        } else {
                            argc
                        };
                        end.checked_sub(usize::from(last.unsigned_abs()))?
                    }
                };
                (begin, last, step)
            }
            Find::Keynum {
                number,
                first,
                step,
            } => {
                let count = number_of_keys(arg(begin + usize::from(number))?)?;
                let first = begin + usize::from(first);
                let span = count.checked_sub(1)?.checked_mul(usize::from(step))?;
                (first, first.checked_add(span)?, step)
            }
            Find::Unknown => return None,
        };
        let fits = first <= last && last < argc;
        fits.then(|| (first..=last, usize::from(step).max(1)))
    }
}

impl Begin {
    fn index<'a>(&self, argc: usize, arg: &impl Fn(usize) -> Option<&'a [u8]>) -> Option<usize> {
        let is = |index: usize, word: &str| {
            arg(index).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()))
        };
        match self {
            Self::Index(index) => Some(usize::from(*index)),
            Self::NonEmpty(index) => {
                let index = usize::from(*index);
                arg(index).is_some_and(|it| !it.is_empty()).then_some(index)
            }
            // As in Redis, the last argument is not looked at, nor (backwards) the first ones:
            // nothing can follow, or the word is in the place of something that must be there.
            Self::Keyword { word, from } => match usize::try_from(*from) {
                Ok(from) => (from..argc.saturating_sub(1)).find(|index| is(*index, word)),
                Err(_) => {
                    let from = argc.checked_sub(usize::from(from.unsigned_abs()))?;
                    (2..=from).rev().find(|index| is(*index, word))
                }
            }
            .map(|index| index + 1),
            Self::Option {
                word,
                from,
                skip,
                last,
            } => {
                let mut index = usize::from(*from);
                let mut found = None;
                while index < argc {
                    if is(index, word) && index + 1 < argc {
                        found = Some(index + 1);
                        if !last {
                            break;
                        }
                    }
                    let skipped = skip.iter().find(|(option, _)| is(index, option));
                    index += 1 + skipped.map_or(0, |(_, arguments)| usize::from(*arguments));
                }
                found
            }
            Self::Unknown => None,
        }
    }
}

/// A number as Redis' `string2ll` takes it: no sign but a minus, no space, no leading zero.
fn number_of_keys(argument: &[u8]) -> Option<usize> {
    let text = str::from_utf8(argument).ok()?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::find;

    fn of(request: &str) -> Vec<String> {
        let request: Vec<&str> = request.split(' ').collect();
        let name = request.first().unwrap().as_bytes();
        let command = find(name, request.get(1).map(|sub| sub.as_bytes())).unwrap();
        let arg = |index: usize| request.get(index).map(|it| it.as_bytes());
        keys(command.keys, request.len(), arg)
            .map(|index| request.get(index).unwrap().to_string())
            .collect()
    }

    #[test]
    fn keys_are_found_where_redis_finds_them() {
        let cases: &[(&str, &[&str])] = &[
            ("GET a", &["a"]),
            ("MGET a b c", &["a", "b", "c"]),
            ("mset a 1 b 2", &["a", "b"]),
            ("BITOP AND d a b", &["d", "a", "b"]),
            ("EVAL s 0 x", &[]),
            ("EVAL s 2 a b x", &["a", "b"]),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", &["d", "a", "b"]),
            ("BLPOP a b 0", &["a", "b"]),
            ("XREAD COUNT 1 streams a b 0 0", &["a", "b"]),
            ("XREADGROUP GROUP streams c STREAMS a >", &["a"]),
            ("OBJECT ENCODING a", &["a"]),
            ("XGROUP CREATE a g $", &["a"]),
            ("GEORADIUS a 1 2 3 km STORE b", &["a", "b"]),
            ("SORT a BY STORE STORE b", &["a", "b"]),
            ("SORT a STORE b STORE c", &["a", "c"]),
            ("MIGRATE h 1 a 0 5000 COPY", &["a"]),
            ("SPUBLISH ch m", &["ch"]),
            ("PING", &[]),
        ];
        for (request, expected) in cases {
            assert_eq!(of(request), *expected, "{request}");
        }
        let migrate: Vec<&[u8]> = [
            "MIGRATE", "h", "1", "", "0", "50", "AUTH", "keys", "KEYS", "a", "keys",
        ]
        .map(str::as_bytes)
        .to_vec();
        let command = find(b"migrate", None).unwrap();
        let found = keys(command.keys, migrate.len(), |index| {
            migrate.get(index).copied()
        });
        assert_eq!(found.collect::<Vec<_>>(), [9, 10]);
    }

    #[test]
    fn a_request_that_does_not_fit_has_no_keys_there() {
        for request in [
            "GET",
            "EVAL s",
            "EVAL s x a",
            "EVAL s -1 a",
            "EVAL s 3 a b",
            "XREAD x",
        ] {
            assert_eq!(of(request), [""; 0], "{request}");
        }
        assert_eq!(of("EVAL s 99999999999999999999 a"), [""; 0]);
        assert_eq!(of("ZUNIONSTORE d x a"), ["d"]);
    }

    #[test]
    fn the_first_key_costs_no_look_at_the_others() {
        let command = find(b"mset", None).unwrap();
        let arg = |_: usize| -> Option<&'static [u8]> { panic!("not needed") };
        assert_eq!(keys(command.keys, 1_000_001, arg).next(), Some(1));
    }
}
