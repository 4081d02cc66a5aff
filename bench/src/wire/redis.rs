//! RESP2: commands whose answers follow from their keys.
//!
//! A value is a function of its key, so that the upstream stores nothing, and a wrong value, a
//! wrong key and a wrong order all show.

use std::fmt;
use std::io::Write;

use clap::ValueEnum;

use super::{Answers, Exchange, Split, Wire, WireError, WrongAnswer, split};

const KEY: usize = 16;
const VALUE: usize = 64;
const MGET_KEYS: u64 = 100;
/// A client uses its keys in turn; more than it ever has in flight.
pub(crate) const KEYS_OF_A_CLIENT: u64 = 128;

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

/// A command whose answer is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Command {
    /// `GET` of a value of 64 B.
    Get,
    /// `SET` of a value of 64 B.
    Set,
    /// `MGET` of 100 values of 64 B.
    Mget,
}

impl Command {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Mget => "mget",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get => write!(f, "GET of {VALUE} B"),
            Self::Set => write!(f, "SET of {VALUE} B"),
            Self::Mget => write!(f, "MGET of {MGET_KEYS} keys, {VALUE} B each"),
        }
    }
}

impl Exchange for Command {
    fn append_request(&self, out: &mut Vec<u8>, connection: u32, id: u64) {
        match self {
            Self::Get => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                append_bulk(out, &key(connection, id));
            }
            Self::Set => append_set(out, connection, id),
            Self::Mget => {
                append_head(out, b'*', MGET_KEYS as usize + 1);
                out.extend_from_slice(b"$4\r\nMGET\r\n");
                for offset in 0..MGET_KEYS {
                    append_bulk(out, &key(connection, id + offset));
                }
            }
        }
    }

    fn split<'b>(&self, bytes: &'b [u8]) -> Result<Split<'b>, WireError> {
        split::<Redis>(bytes)
    }

    fn answers(&self, _: &[u8]) -> Result<Answers, WrongAnswer> {
        Ok(Answers::Oldest)
    }

    fn check(&self, answer: &[u8], connection: u32, id: u64) -> Result<(), WrongAnswer> {
        let (first, keys, mut rest) = match self {
            Self::Set if answer == b"+OK\r\n" => return Ok(()),
            Self::Set => return Err(WrongAnswer::not_a_value(answer)),
            Self::Get => (b'$', 1, answer),
            Self::Mget => (
                b'*',
                MGET_KEYS,
                answer.strip_prefix(b"*100\r\n").unwrap_or_default(),
            ),
        };
        if answer.first() != Some(&first) {
            return Err(WrongAnswer::not_a_value(answer));
        }
        for offset in 0..keys {
            rest = after_value(rest, &key(connection, id + offset))
                .ok_or(WrongAnswer::OtherPayload(id))?;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(WrongAnswer::OtherPayload(id))
        }
    }
}

/// `SET` of key number `id` of `connection`.
pub(crate) fn append_set(out: &mut Vec<u8>, connection: u32, id: u64) {
    out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
    let key = key(connection, id);
    append_bulk(out, &key);
    append_head(out, b'$', VALUE);
    out.extend_from_slice(&key);
    out.extend_from_slice(&PADDING);
    out.extend_from_slice(b"\r\n");
}

const PADDING: [u8; VALUE - KEY] = [b'x'; VALUE - KEY];

fn is_value_of(value: &[u8], key: &[u8]) -> bool {
    value.strip_prefix(key) == Some(&PADDING)
}

/// What follows the value of `key` as a bulk string.
fn after_value<'b>(bytes: &'b [u8], key: &[u8; KEY]) -> Option<&'b [u8]> {
    let (value, rest) = bytes.strip_prefix(b"$64\r\n")?.split_at_checked(VALUE)?;
    is_value_of(value, key).then(|| rest.strip_prefix(b"\r\n"))?
}

/// `None` where the key is none of ours.
fn append_value(out: &mut Vec<u8>, key: &[u8]) -> Option<()> {
    let key: &[u8; KEY] = key.try_into().ok()?;
    out.extend_from_slice(b"$64\r\n");
    out.extend_from_slice(key);
    out.extend_from_slice(&PADDING);
    out.extend_from_slice(b"\r\n");
    Some(())
}

fn append_bulk(out: &mut Vec<u8>, text: &[u8; KEY]) {
    out.extend_from_slice(b"$16\r\n");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn append_head(out: &mut Vec<u8>, kind: u8, number: usize) {
    out.push(kind);
    // Writing to a Vec does not fail.
    let _ = write!(out, "{number}\r\n");
}

/// `bench:00049:0127`.
fn key(connection: u32, id: u64) -> [u8; KEY] {
    let mut key = *b"bench:00000:0000";
    let [_, _, _, _, _, _, client @ .., _, _, _, _, _] = &mut key;
    put_decimal(client, connection.into());
    let [.., n0, n1, n2, n3] = &mut key;
    let mut number = [0; 4];
    put_decimal(&mut number, id % KEYS_OF_A_CLIENT);
    [*n0, *n1, *n2, *n3] = number;
    key
}

/// Overwrites `digits` with the last digits of `number`.
fn put_decimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Command; 3] = [Command::Get, Command::Set, Command::Mget];

    fn request(command: Command, connection: u32, id: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        command.append_request(&mut bytes, connection, id);
        bytes
    }

    fn answer(command: Command, connection: u32, id: u64) -> Vec<u8> {
        let mut out = Vec::new();
        Redis::append_answer(&mut out, &request(command, connection, id)).unwrap();
        out
    }

    #[test]
    fn requests_are_what_a_client_writes() {
        assert_eq!(
            request(Command::Get, 49, 127 + KEYS_OF_A_CLIENT),
            b"*2\r\n$3\r\nGET\r\n$16\r\nbench:00049:0127\r\n"
        );
        let set = request(Command::Set, 12345, 0);
        assert!(
            set.starts_with(b"*3\r\n$3\r\nSET\r\n$16\r\nbench:12345:0000\r\n$64\r\nbench:12345")
        );
        let mget = request(Command::Mget, 0, 0);
        assert!(mget.starts_with(b"*101\r\n$4\r\nMGET\r\n$16\r\nbench:00000:0000\r\n"));
        assert!(mget.ends_with(b"$16\r\nbench:00000:0099\r\n"));
    }

    #[test]
    fn only_its_own_answer_passes() {
        for command in ALL {
            let right = answer(command, 3, 5);
            assert!(command.check(&right, 3, 5).is_ok(), "{command}");
            assert!(command.check(b"-ERR no\r\n", 3, 5).is_err(), "{command}");
        }
        for command in [Command::Get, Command::Mget] {
            let right = answer(command, 3, 5);
            assert!(command.check(&right, 4, 5).is_err(), "{command}");
            assert!(command.check(&right, 3, 6).is_err(), "{command}");
            assert!(command.check(&right[..right.len() - 2], 3, 5).is_err());
            let mut changed = right;
            let last_x = changed.len() - 3;
            changed[last_x] = b'y';
            assert!(command.check(&changed, 3, 5).is_err(), "{command}");
        }
    }

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
    fn the_upstream_notices_a_value_that_changed_on_its_way() {
        let mut set = request(Command::Set, 3, 5);
        let last_x = set.len() - 3;
        set[last_x] = b'y';
        let mut out = Vec::new();
        Redis::append_answer(&mut out, &set).unwrap();
        assert_eq!(out, b"-ERR another value\r\n");
    }

    #[test]
    fn a_message_is_whole_only_at_its_last_byte() {
        for command in ALL {
            for bytes in [request(command, 0, 1), answer(command, 0, 1)] {
                for cut in 0..bytes.len() {
                    assert!(split::<Redis>(&bytes[..cut]).unwrap().is_none(), "{cut}");
                }
                let twice = [bytes.clone(), bytes.clone()].concat();
                let (first, rest) = split::<Redis>(&twice).unwrap().unwrap();
                assert_eq!((first, rest), (&bytes[..], &bytes[..]));
            }
        }
        for whole in [
            &b"$-1\r\n"[..],
            b"*-1\r\n",
            b"*2\r\n*0\r\n:5\r\n",
            b"-ERR a 5\r\n",
        ] {
            assert_eq!(split::<Redis>(whole).unwrap(), Some((whole, &b""[..])));
        }
    }

    #[test]
    fn foreign_and_oversized_bytes_are_refused() {
        for wrong in [&b"GET / HTTP/1.1\r\n"[..], b"$x\r\n", b"$99999999\r\n"] {
            assert!(split::<Redis>(wrong).is_err());
        }
    }
}
