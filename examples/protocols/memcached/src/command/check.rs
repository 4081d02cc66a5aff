//! Holds a line to what a server accepts (`proto_text.c` of memcached 1.6).
//!
//! It may be stricter than a server, which answers nonsense in some way or other, but never less
//! strict where that changes how many bytes or answers a command has.

use meltemi_codec::Malformed;

use super::{Class, Command, Front, hidden, offset, table, words};
use crate::key;

const ERROR: &str = "ERROR\r\n";
/// What a server says of a line that it does not understand.
pub(crate) const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";
const BAD_TIME: &str = "CLIENT_ERROR invalid exptime argument\r\n";
/// A server takes no meta command of more words (`MFLAG_MAX_OPT_LENGTH`), and then takes its data
/// for commands.
const MOST_FLAGS: usize = 16;
/// A server counts bytes in a signed number of 32 bits and adds two.
const MOST_DATA: u32 = i32::MAX as u32 - 2;

pub(super) fn line(line: &[u8], len: usize) -> Result<Front<'_>, Malformed> {
    let Some(class) = words(line).next().and_then(table::find) else {
        return Ok(Front::Wrong(len, ERROR));
    };
    let command = Command {
        class,
        line,
        len,
        data: None,
        hidden: 0,
        quiet: (0, 0),
        base64: false,
    };
    // A server ends a line at a zero byte, so it must not see one. The other control characters
    // are not allowed in keys, and in nothing else.
    let clean = !line.iter().any(u8::is_ascii_control);
    match class {
        Class::NoOp => Ok(Front::NoOp(len)),
        Class::Quit => Ok(Front::Quit(len)),
        Class::Store | Class::CompareAndStore | Class::MetaStore => stored(command, clean),
        _ if !clean => Ok(Front::Wrong(len, BAD_FORMAT)),
        _ => Ok(plain(command).map_or_else(|wrong| Front::Wrong(len, wrong), Front::Command)),
    }
}

/// A command with data behind it.
fn stored(command: Command<'_>, clean: bool) -> Result<Front<'_>, Malformed> {
    let meta = command.class == Class::MetaStore;
    let at = if meta { 2 } else { 4 };
    let Some(size) = words(command.line).nth(at) else {
        let wrong = if meta { BAD_FORMAT } else { ERROR };
        return Ok(Front::Wrong(command.len, wrong));
    };
    // Without a size nobody knows which of the next bytes are commands.
    let data = number(size, MOST_DATA.into()).and_then(|size| u32::try_from(size).ok());
    let command = Command {
        data: Some(data.ok_or(Malformed {
            reason: "bad command line format",
        })?),
        ..command
    };
    let checked = if meta {
        flagged(command)
    } else {
        storage(command)
    };
    Ok(match checked {
        Ok(command) if clean => Front::Command(command),
        _ => Front::WrongWithData(command),
    })
}

fn storage(command: Command<'_>) -> Result<Command<'_>, &'static str> {
    let mut words = words(command.line).skip(1);
    let mut word = || words.next().unwrap_or_default();
    let (key, flags, expires, _) = (word(), word(), word(), word());
    let numbers = number(flags, u32::MAX.into()).is_some() && time(expires);
    let unique = command.class != Class::CompareAndStore || number(word(), u64::MAX).is_some();
    if !is_key(key) || !numbers || !unique {
        return Err(BAD_FORMAT);
    }
    quieted(command, words.next(), words.next())
}

/// A command without data.
fn plain(command: Command<'_>) -> Result<Command<'_>, &'static str> {
    let mut words = words(command.line).skip(1);
    match command.class {
        class if class.is_meta() => flagged(command),
        Class::Get | Class::GetAndTouch => {
            let expires = command.class == Class::Get || words.next().is_some_and(time);
            match (words.next(), expires) {
                (None, _) => Err(ERROR),
                (Some(_), false) => Err(BAD_TIME),
                (Some(first), true) if is_key(first) && words.all(is_key) => Ok(command),
                (Some(_), true) => Err(BAD_FORMAT),
            }
        }
        Class::Delete => {
            let key = words.next().ok_or(ERROR)?;
            let next = match words.next() {
                // An old way to say: now.
                Some(b"0") => words.next(),
                next => next,
            };
            keyed(key, quieted(command, next, words.next()))
        }
        Class::Count | Class::Touch => {
            let (key, value) = (words.next().ok_or(ERROR)?, words.next().ok_or(ERROR)?);
            let (is_value, wrong) = match command.class {
                Class::Count => (
                    number(value, u64::MAX).is_some(),
                    "CLIENT_ERROR invalid numeric delta argument\r\n",
                ),
                _ => (time(value), BAD_TIME),
            };
            let quieted = quieted(command, words.next(), words.next());
            keyed(key, if is_value { quieted } else { Err(wrong) })
        }
        Class::FlushAll => match words.next() {
            Some(delay) if time(delay) => quieted(command, words.next(), words.next()),
            Some(word) if word != b"noreply" => Err(BAD_TIME),
            word => quieted(command, word, words.next()),
        },
        _ => Ok(command),
    }
}

fn keyed<'a>(
    key: &[u8],
    command: Result<Command<'a>, &'static str>,
) -> Result<Command<'a>, &'static str> {
    if is_key(key) {
        command
    } else {
        Err(BAD_FORMAT)
    }
}

/// A command that ends here, but for the word that asks for no answer.
fn quieted<'a>(
    command: Command<'a>,
    word: Option<&'a [u8]>,
    after: Option<&'a [u8]>,
) -> Result<Command<'a>, &'static str> {
    match (word, after) {
        (None, _) => Ok(command),
        (Some(word @ b"noreply"), None) => Ok(Command {
            hidden: hidden::ALL,
            quiet: part(command.line, word),
            ..command
        }),
        _ => Err(BAD_FORMAT),
    }
}

/// A meta command.
fn flagged(command: Command<'_>) -> Result<Command<'_>, &'static str> {
    let mut words = words(command.line).skip(1);
    let key = words.next().ok_or(ERROR)?;
    if command.class == Class::MetaStore {
        words.next();
    }
    let mut command = command;
    let (mut flags, mut quiets) = (0, 0);
    for flag in words {
        flags += 1;
        match flag {
            [b'b', ..] => command.base64 = true,
            [b'q', ..] => {
                quiets += 1;
                command.quiet = part(command.line, flag);
                command.hidden = match command.class {
                    Class::MetaGet => hidden::EN,
                    Class::MetaCount => hidden::HD | hidden::VA,
                    _ => hidden::HD,
                };
            }
            _ => {}
        }
    }
    // A flag that is there twice is an error, which is told in any case.
    if quiets > 1 {
        (command.quiet, command.hidden) = ((0, 0), 0);
    }
    if is_key(key) && flags <= MOST_FLAGS {
        Ok(command)
    } else {
        Err(BAD_FORMAT)
    }
}

/// Where `word` is, with the blank before it.
fn part(line: &[u8], word: &[u8]) -> (usize, usize) {
    (offset(line, word).saturating_sub(1), word.len() + 1)
}

fn is_key(word: &[u8]) -> bool {
    (1..=key::LONGEST).contains(&word.len())
}

/// Digits of a number that is not larger than `most`.
pub(super) fn number(digits: &[u8], most: u64) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = str::from_utf8(digits).ok()?.parse().ok()?;
    (number <= most).then_some(number)
}

/// Whether `word` is a time to live: seconds, or a negative number for "at once".
fn time(word: &[u8]) -> bool {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    number(digits, i32::MAX as u64).is_some()
}
