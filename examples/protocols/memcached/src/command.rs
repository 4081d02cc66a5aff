//! What a client asks for: the line that every message of its begins with.

mod check;
mod table;

use std::borrow::Cow;

use meltemi_codec::{Malformed, Sniff};

use crate::key;
pub(crate) use table::Class;

/// The longest line that is not a `get` or `gets`. A server closes a connection that sends it
/// more (`try_read_command_ascii`), and with it what other clients wait for.
const LONGEST: usize = 2048;
/// The longest `get` or `gets`, for which a server has no bound.
const LONGEST_GET: usize = 64 * 1024;

/// What a connection of the binary protocol begins with, which memcached has given up.
const BINARY: u8 = 0x80;

/// Parts of an answer that the client does not want: bits.
pub(crate) mod hidden {
    /// A meta miss.
    pub(crate) const EN: u32 = 1;
    /// A meta command that was done.
    pub(crate) const HD: u32 = 2;
    /// A value.
    pub(crate) const VA: u32 = 4;
    /// Whatever the answer is, the proxy's own too.
    pub(crate) const ALL: u32 = 8;
}

/// What the front of a connection's bytes is.
#[derive(Debug, PartialEq)]
pub(crate) enum Front<'a> {
    /// A line that has not ended.
    Incomplete,
    /// A command that a server accepts.
    Command(Command<'a>),
    /// A line that it does not: its length, and the server's answer to it.
    Wrong(usize, &'static str),
    /// A storage command that it does not: the command as far as it is one.
    WrongWithData(Command<'a>),
    /// `mn`, with the line's length.
    NoOp(usize),
    /// `quit`, with the line's length.
    Quit(usize),
}

/// A command that a server accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Command<'a> {
    pub(crate) class: Class,
    /// The line without its end.
    pub(crate) line: &'a [u8],
    /// Bytes of the line, with its end.
    pub(crate) len: usize,
    /// Bytes of data behind it, without their end.
    pub(crate) data: Option<u32>,
    /// Bits of [`hidden`].
    pub(crate) hidden: u32,
    /// Where the line asks for silence, and how long that part is.
    pub(crate) quiet: (usize, usize),
    /// Whether its key is in base64.
    base64: bool,
}

impl<'a> Command<'a> {
    /// Reads the front of a client's bytes.
    ///
    /// # Errors
    /// [`Malformed`] where nobody can tell where the next command begins.
    pub(crate) fn front(input: &'a [u8]) -> Result<Front<'a>, Malformed> {
        if input.first() == Some(&BINARY) {
            return Err(Malformed {
                reason: "the binary protocol is not spoken here",
            });
        }
        let end = input
            .iter()
            .take(LONGEST_GET)
            .position(|byte| *byte == b'\n');
        let longest = match input {
            [b'g', b'e', b't', b' ', ..] | [b'g', b'e', b't', b's', b' ', ..] => LONGEST_GET,
            _ => LONGEST,
        };
        if end.unwrap_or(input.len()) >= longest {
            return Err(Malformed {
                reason: "line too long",
            });
        }
        let Some(end) = end else {
            return Ok(Front::Incomplete);
        };
        let line = input.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        check::line(line, end + 1)
    }

    /// Bytes of the whole message.
    pub(crate) fn size(&self) -> u64 {
        self.len as u64 + self.data.map_or(0, |data| u64::from(data) + 2)
    }

    /// The command's name.
    pub(crate) fn name(&self) -> &'a [u8] {
        words(self.line).next().unwrap_or_default()
    }

    /// Its keys, as they are written.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (skip, take) = match self.class {
            Class::Get => (1, usize::MAX),
            Class::GetAndTouch => (2, usize::MAX),
            Class::FlushAll | Class::Stats | Class::Version => (0, 0),
            _ => (1, 1),
        };
        words(self.line).skip(skip).take(take)
    }

    /// Its first key, decoded.
    pub(crate) fn key(&self) -> Option<Cow<'a, [u8]>> {
        let key = self.keys().next()?;
        Some(if self.base64 {
            Cow::Owned(key::decoded(key, &mut [0; key::LONGEST]).to_vec())
        } else {
            Cow::Borrowed(key)
        })
    }

    /// The hash of its first key.
    pub(crate) fn hash(&self) -> Option<u64> {
        let key = self.keys().next()?;
        Some(if self.base64 {
            key::hash(key::decoded(key, &mut [0; key::LONGEST]))
        } else {
            key::hash(key)
        })
    }

    /// All before the first key: the name, and what else a part of this command begins with.
    pub(crate) fn before_keys(&self) -> &'a [u8] {
        let first = self.keys().next().map_or(0, |key| offset(self.line, key));
        self.line.get(..first).unwrap_or_default()
    }
}

/// The words of a line, as a server finds them: only blanks part them.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty())
}

/// Where in `line` a part of it is.
fn offset(line: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize)
}

/// Whether a connection begins with a command.
pub(crate) fn sniff(head: &[u8]) -> Sniff {
    let end = head
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let word = head.get(..end.unwrap_or(head.len())).unwrap_or_default();
    match end {
        Some(_) if table::find(word).is_some() => Sniff::Yes,
        None if table::begins(word) => Sniff::Need(head.len() + 1),
        _ => Sniff::No,
    }
}

#[cfg(test)]
mod tests;
