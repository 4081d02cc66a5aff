//! What the generator asks for, and what answers it.

use std::fmt;

use clap::ValueEnum;

use super::keys::{KEY, LARGE_VALUE, VALUE, is_value_of, key, large_key, value_len};
use super::{Redis, append_bulk_value, append_head};
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
    /// `GET` of a value of 1 MiB.
    #[value(name = "get-1m")]
    GetLarge,
    /// `SET` of a value of 1 MiB.
    #[value(name = "set-1m")]
    SetLarge,
}

impl Command {
    /// Whether its values are.
    pub(crate) fn is_large(self) -> bool {
        matches!(self, Self::GetLarge | Self::SetLarge)
    }

    fn key(self, connection: u32, id: u64) -> [u8; KEY] {
        match self.is_large() {
            true => large_key(connection, id),
            false => key(connection, id),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Mget => "mget",
            Self::GetLarge => "get-1m",
            Self::SetLarge => "set-1m",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get => write!(f, "GET of {VALUE} B"),
            Self::Set => write!(f, "SET of {VALUE} B"),
            Self::Mget => write!(f, "MGET of {MGET_KEYS} keys, {VALUE} B each"),
            Self::GetLarge => write!(f, "GET of {LARGE_VALUE} B"),
            Self::SetLarge => write!(f, "SET of {LARGE_VALUE} B"),
        }
    }
}

impl Exchange for Command {
    fn append_request(&self, out: &mut Vec<u8>, connection: u32, id: u64) {
        match self {
            Self::Get | Self::GetLarge => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                append_bulk(out, &self.key(connection, id));
            }
            Self::Set | Self::SetLarge => append_set_of(out, &self.key(connection, id)),
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
            Self::Set | Self::SetLarge if answer == b"+OK\r\n" => return Ok(()),
            Self::Set | Self::SetLarge => return Err(WrongAnswer::not_a_value(answer)),
            Self::Get | Self::GetLarge => (b'$', 1, answer),
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
            rest = after_value(rest, &self.key(connection, id + offset))
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
    append_set_of(out, &key(connection, id));
}

fn append_set_of(out: &mut Vec<u8>, key: &[u8; KEY]) {
    out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
    append_bulk(out, key);
    append_bulk_value(out, key);
}

/// What follows the value of `key` as a bulk string.
fn after_value<'b>(bytes: &'b [u8], key: &[u8; KEY]) -> Option<&'b [u8]> {
    let head: &[u8] = match value_len(key) {
        LARGE_VALUE => b"$1048576\r\n",
        _ => b"$64\r\n",
    };
    let (value, rest) = bytes.strip_prefix(head)?.split_at_checked(value_len(key))?;
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

    const SMALL: [Command; 3] = [Command::Get, Command::Set, Command::Mget];
    const ALL: [Command; 5] = [
        Command::Get,
        Command::Set,
        Command::Mget,
        Command::GetLarge,
        Command::SetLarge,
    ];

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
        for command in [Command::Get, Command::Mget, Command::GetLarge] {
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
        for command in SMALL {
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
