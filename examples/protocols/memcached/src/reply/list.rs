//! Answers of several lines: values and statistics.

use std::ops::Range;

use meltemi_codec::Malformed;

use super::{LONGEST, is_error, size};
use crate::command::words;

const END: &[u8] = b"END\r\n";

/// How far a list was read. Each byte is looked at once, however it arrives.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Bytes of a value that have not come.
    data: u64,
    /// Bytes that were read.
    read: u64,
}

impl List {
    /// Reads on. The position after the list's end, where it ends in `input`.
    pub(crate) fn read(&mut self, input: &[u8], limit: u64) -> Result<Option<usize>, Malformed> {
        let mut rest = input;
        while !rest.is_empty() {
            if self.data > 0 {
                let taken = usize::try_from(self.data).map_or(rest.len(), |n| n.min(rest.len()));
                rest = rest.get(taken..).unwrap_or_default();
                self.data -= taken as u64;
                continue;
            }
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (part, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = after;
            if self.line.len() + part.len() > LONGEST {
                return Err(Malformed {
                    reason: "a line of an answer is too long",
                });
            }
            if end.is_some() && self.line_ends(part)? {
                let taken = input.len() - rest.len();
                self.count(taken, limit)?;
                return Ok(Some(taken));
            }
            if end.is_none() {
                self.line.extend_from_slice(part);
            }
        }
        self.count(input.len(), limit)?;
        Ok(None)
    }

    /// A line ends with `part`: whether it is the last. One that arrived at once is not copied.
    fn line_ends(&mut self, part: &[u8]) -> Result<bool, Malformed> {
        let behind = if self.line.is_empty() {
            behind(part)?
        } else {
            self.line.extend_from_slice(part);
            behind(&self.line)?
        };
        self.line.clear();
        self.data = behind.unwrap_or(0);
        Ok(behind.is_none())
    }

    fn count(&mut self, bytes: usize, limit: u64) -> Result<(), Malformed> {
        self.read += bytes as u64;
        // What is announced counts: there is no use in waiting for it.
        if self.read + self.data > limit {
            return Err(Malformed {
                reason: "an answer is larger than the frame limit",
            });
        }
        Ok(())
    }

    /// Bytes that must follow at least.
    pub(crate) fn least(&self) -> usize {
        let data = usize::try_from(self.data).unwrap_or(usize::MAX);
        match END.strip_prefix(&*self.line) {
            Some(rest) => data.saturating_add(rest.len()),
            None => 1,
        }
    }
}

/// Bytes behind a line of a list, `None` where it is the last.
fn behind(line: &[u8]) -> Result<Option<u64>, Malformed> {
    let line = line.strip_suffix(b"\r\n").ok_or(Malformed {
        reason: "a line of an answer does not end in CR LF",
    })?;
    let mut words = words(line);
    match words.next().unwrap_or_default() {
        b"END" => Ok(None),
        b"STAT" | b"ITEM" => Ok(Some(0)),
        b"VALUE" => {
            let size = words.nth(2).and_then(size).ok_or(Malformed {
                reason: "a value's size is not a number",
            })?;
            Ok(Some(size + 2))
        }
        _ if is_error(line) => Ok(None),
        _ => Err(Malformed {
            reason: "a list has a line that belongs to none",
        }),
    }
}

/// A value of a list.
pub(crate) struct Value<'a> {
    pub(crate) key: &'a [u8],
    /// Its line and its data.
    pub(crate) at: Range<usize>,
}

/// The values of a whole list, and where the last line is.
pub(crate) fn values(answer: &[u8]) -> (Vec<Value<'_>>, Range<usize>) {
    let mut values = Vec::new();
    let mut at = 0;
    loop {
        let rest = answer.get(at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let mut words = words(line.strip_suffix(b"\r").unwrap_or(line));
        let (name, key) = (words.next(), words.next());
        let size = words.nth(1).and_then(size);
        match (name, key, size) {
            (Some(b"VALUE"), Some(key), Some(size)) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let next = at.saturating_add(line.len() + 3).saturating_add(size);
                values.push(Value {
                    key,
                    at: at..next.min(answer.len()),
                });
                at = next;
            }
            _ => return (values, at.min(answer.len())..answer.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &[u8] = b"VALUE a 0 5\r\nEND\r\n\r\nVALUE b 0 0\r\n\r\nEND\r\nrest";

    #[test]
    fn a_list_ends_where_it_ends_however_it_is_cut() {
        let whole = VALUES.len() - 4;
        for cut in 0..whole {
            let mut list = List::default();
            let (first, second) = VALUES.split_at(cut);
            assert_eq!(list.read(first, 1000), Ok(None));
            assert!(cut + list.least() <= whole, "{cut}");
            assert_eq!(list.read(second, 1000), Ok(Some(whole - cut)));
        }
    }

    #[test]
    fn values_are_found() {
        let (values, last) = values(&VALUES[..VALUES.len() - 4]);
        let found: Vec<_> = values
            .iter()
            .map(|value| (value.key, value.at.len()))
            .collect();
        assert_eq!(found, [(&b"a"[..], 20), (b"b", 15)]);
        assert_eq!(&VALUES[last], b"END\r\n");
    }

    #[test]
    fn an_error_ends_a_list() {
        let mut list = List::default();
        let answer = b"VALUE a 0 1\r\nx\r\nSERVER_ERROR out of memory\r\n";
        assert_eq!(list.read(answer, 1000), Ok(Some(answer.len())));
        assert!(List::default().read(b"VALUE a 0 1\r\n", 15).is_err());
        assert!(
            List::default()
                .read(b"VALUE a 0 1\r\nx\r\nHD\r\n", 100)
                .is_err()
        );
    }
}
