//! RESP2: commands whose answers follow from their keys.
//!
//! A value is a function of its key, so that the upstream stores nothing, and a wrong value, a
//! wrong key and a wrong order all show.

mod command;
mod keys;

use std::io::Write;

pub use self::command::Command;
pub(crate) use self::command::append_set;
pub(crate) use self::keys::KEYS_OF_A_CLIENT;
use self::keys::{KEY, is_value_of, padding, value_len};
use super::{Wire, WireError};

#[derive(Debug)]
pub(crate) struct Redis;

impl Wire for Redis {
    /// Counts what is still to come: an array adds its elements (RESP, "Arrays").
    fn message_len(bytes: &[u8]) -> Result<Option<usize>, WireError> {
        let mut at = 0;
        let mut pending = 1;
        while pending > 0 {
            let Some((kind, number, next)) = head(bytes, at)? else {
                return Ok(None);
            };
            pending -= 1;
            at = next;
            match kind {
                // A null has no bytes.
                b'$' if number >= 0 => at += number as usize + 2,
                b'*' => pending += number.max(0),
                _ => {}
            }
        }
        Ok(Some(at))
    }

    fn append_answer(out: &mut Vec<u8>, request: &[u8]) -> Result<(), WireError> {
        let mut words = Words::of(request)?;
        let command = words.next().ok_or(WireError::Body)?;
        // Proxies write the commands that they make of one in lower case.
        let is = |name: &[u8]| command.eq_ignore_ascii_case(name);
        let known = match words.left {
            1 if is(b"GET") => words.try_for_each(|key| append_value(out, key)),
            keys if is(b"MGET") => {
                append_head(out, b'*', keys);
                words.try_for_each(|key| append_value(out, key))
            }
            2 if is(b"SET") => {
                let key = words.next().unwrap_or_default();
                let kept = words.next().is_some_and(|value| is_value_of(value, key));
                out.extend_from_slice(if kept {
                    b"+OK\r\n"
                } else {
                    b"-ERR another value\r\n"
                });
                Some(())
            }
            0 if is(b"PING") => {
                out.extend_from_slice(b"+PONG\r\n");
                Some(())
            }
            _ => {
                out.extend_from_slice(b"-ERR unknown command\r\n");
                Some(())
            }
        };
        known.ok_or(WireError::Body)
    }
}

/// Type, number and end of the line at `at`. Lines without a number (`+`, `-`) count as 0.
fn head(bytes: &[u8], at: usize) -> Result<Option<(u8, i64, usize)>, WireError> {
    let Some((&kind, line)) = bytes.get(at..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    if !matches!(kind, b'$' | b'*' | b'+' | b'-' | b':') {
        return Err(WireError::Foreign("RESP"));
    }
    let counts = matches!(kind, b'$' | b'*');
    let mut number: i64 = 0;
    let mut sign = 1;
    for (index, &byte) in line.iter().enumerate() {
        match byte {
            b'\n' => return Ok(Some((kind, sign * number, at + index + 2))),
            b'0'..=b'9' if counts => number = number * 10 + i64::from(byte - b'0'),
            b'-' if counts => sign = -1,
            b'\r' => {}
            _ if counts => return Err(WireError::Foreign("RESP")),
            _ => {}
        }
        if number > super::MAX_MESSAGE as i64 {
            return Err(WireError::TooLong(
                usize::try_from(number).unwrap_or(usize::MAX),
            ));
        }
    }
    Ok(None)
}

/// The words of a command that has arrived whole.
struct Words<'a> {
    bytes: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Words<'a> {
    fn of(request: &'a [u8]) -> Result<Self, WireError> {
        let Some((b'*', words, at)) = head(request, 0)? else {
            return Err(WireError::Body);
        };
        let left = usize::try_from(words).map_err(|_| WireError::Body)?;
        Ok(Self {
            bytes: request,
            at,
            left,
        })
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (b'$', len, at) = head(self.bytes, self.at).ok()?? else {
            return None;
        };
        let end = at + usize::try_from(len).ok()?;
        self.at = end + 2;
        self.bytes.get(at..end)
    }
}

/// `None` where the key is none of ours.
fn append_value(out: &mut Vec<u8>, key: &[u8]) -> Option<()> {
    let key: &[u8; KEY] = key.try_into().ok()?;
    append_bulk_value(out, key);
    Some(())
}

/// The value of `key` as a bulk string.
fn append_bulk_value(out: &mut Vec<u8>, key: &[u8; KEY]) {
    append_head(out, b'$', value_len(key));
    out.extend_from_slice(key);
    out.extend_from_slice(padding(key));
    out.extend_from_slice(b"\r\n");
}

fn append_head(out: &mut Vec<u8>, kind: u8, number: usize) {
    out.push(kind);
    // Writing to a Vec does not fail.
    let _ = write!(out, "{number}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::split;

    #[test]
    fn the_upstream_reads_what_proxies_make_of_a_command() {
        let mut out = Vec::new();
        for request in [
            &b"*2\r\n$3\r\nget\r\n$16\r\nbench:00000:0000\r\n"[..],
            b"*1\r\n$4\r\nping\r\n",
            b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
        ] {
            Redis::append_answer(&mut out, request).unwrap();
        }
        assert!(out.starts_with(b"$64\r\nbench:00000:0000x"));
        assert!(out.ends_with(b"\r\n+PONG\r\n-ERR unknown command\r\n"));
    }

    #[test]
    fn foreign_and_oversized_bytes_are_refused() {
        for wrong in [&b"GET / HTTP/1.1\r\n"[..], b"$x\r\n", b"$99999999\r\n"] {
            assert!(split::<Redis>(wrong).is_err());
        }
    }
}
