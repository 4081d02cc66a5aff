//! What the generator asks for, and what answers it.

use std::fmt;

use clap::ValueEnum;

use super::keys::{KEY, PADDING, VALUE, is_value_of, key};
use super::{Redis, append_head};
use crate::wire::{Answers, Exchange, Split, WireError, WrongAnswer, split};

const MGET_KEYS: u64 = 100;

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

/// What follows the value of `key` as a bulk string.
fn after_value<'b>(bytes: &'b [u8], key: &[u8; KEY]) -> Option<&'b [u8]> {
    let (value, rest) = bytes.strip_prefix(b"$64\r\n")?.split_at_checked(VALUE)?;
    is_value_of(value, key).then(|| rest.strip_prefix(b"\r\n"))?
}

fn append_bulk(out: &mut Vec<u8>, text: &[u8; KEY]) {
    out.extend_from_slice(b"$16\r\n");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{KEYS_OF_A_CLIENT, Wire};

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
}
