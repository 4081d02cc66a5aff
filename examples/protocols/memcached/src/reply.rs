//! What a server answers: one line, a line and its data, or a list that ends in `END`.

mod list;

use meltemi_codec::{Limits, Malformed, Outcome};

pub(crate) use list::{List, values};

use crate::command::{hidden, words};

/// The longest line of an answer: a key, an opaque token and some numbers, or an error's text.
const LONGEST: usize = 4096;

// memcached's text has no codes. These are the statuses that its binary protocol has for the same.
const NOT_FOUND: u32 = 0x01;
const EXISTS: u32 = 0x02;
const TOO_LARGE: u32 = 0x03;
const NOT_STORED: u32 = 0x05;
const UNKNOWN_COMMAND: u32 = 0x81;
const OUT_OF_MEMORY: u32 = 0x82;
/// What a client did wrong.
pub(crate) const CLIENT_ERROR: u32 = 0x04;
/// What a server did.
pub(crate) const SERVER_ERROR: u32 = 0x84;

/// How far an answer reaches.
#[derive(Debug)]
pub(crate) enum Extent {
    /// Not to be told before there are so many bytes.
    Incomplete(usize),
    /// So far, of which `0` bytes are its head.
    Known(usize, u64),
    /// To the end of a list.
    List,
}

/// Looks at the line that an answer begins with.
pub(crate) fn extent(input: &[u8], limits: Limits) -> Result<Extent, Malformed> {
    let Some(line) = line(input)? else {
        return Ok(Extent::Incomplete(input.len() + 1));
    };
    let len = line.len() + 2;
    let mut words = words(line);
    let known = match words.next().unwrap_or_default() {
        b"VALUE" | b"STAT" | b"ITEM" => return Ok(Extent::List),
        b"VA" => {
            let size = words.next().and_then(size);
            let size = size.ok_or(Malformed {
                reason: "a value's size is not a number",
            })?;
            return within(len, len as u64 + size + 2, limits);
        }
        b"END" | b"STORED" | b"NOT_STORED" | b"EXISTS" | b"NOT_FOUND" | b"DELETED" | b"TOUCHED"
        | b"OK" | b"RESET" | b"VERSION" | b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR" | b"HD"
        | b"EN" | b"NS" | b"EX" | b"NF" | b"MN" | b"ME" => true,
        count => !count.is_empty() && count.iter().all(u8::is_ascii_digit),
    };
    if !known {
        return Err(Malformed {
            reason: "an answer is none of memcached's",
        });
    }
    within(len, len as u64, limits)
}

fn within(head: usize, size: u64, limits: Limits) -> Result<Extent, Malformed> {
    if size > limits.frame {
        return Err(Malformed {
            reason: "an answer is larger than the frame limit",
        });
    }
    Ok(Extent::Known(limits.needed(head, size), size))
}

/// The first line, without its end; `None` where it has not ended.
fn line(input: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    match input.iter().take(LONGEST).position(|byte| *byte == b'\n') {
        None if input.len() < LONGEST => Ok(None),
        None => Err(Malformed {
            reason: "a line of an answer is too long",
        }),
        Some(end) => input
            .get(..end)
            .and_then(|line| line.strip_suffix(b"\r"))
            .map(Some)
            .ok_or(Malformed {
                reason: "a line of an answer does not end in CR LF",
            }),
    }
}

/// Bytes of data.
fn size(digits: &[u8]) -> Option<u64> {
    let number = str::from_utf8(digits).ok()?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u32>().ok().filter(|_| plain).map(u64::from)
}

/// Whether a line ends a list or anything else with an error.
pub(crate) fn is_error(line: &[u8]) -> bool {
    matches!(
        words(line).next(),
        Some(b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR")
    )
}

/// Which part of the answers to a meta command this is, as a bit of [`hidden`].
pub(crate) fn part(answer: &[u8]) -> u32 {
    match answer.first_chunk() {
        Some(b"EN") => hidden::EN,
        Some(b"HD") => hidden::HD,
        Some(b"VA") => hidden::VA,
        _ => 0,
    }
}

/// What an answer says of its command. A miss is an answer like any other.
pub(crate) fn outcome(answer: &[u8]) -> Outcome {
    let Ok(Some(line)) = line(answer) else {
        return Outcome::SystemError { code: SERVER_ERROR };
    };
    let code = match words(line).next().unwrap_or_default() {
        b"NOT_FOUND" | b"NF" | b"EN" => NOT_FOUND,
        b"EXISTS" | b"EX" => EXISTS,
        b"NOT_STORED" | b"NS" => NOT_STORED,
        b"ERROR" => {
            return Outcome::RequestError {
                code: UNKNOWN_COMMAND,
            };
        }
        b"CLIENT_ERROR" => return Outcome::RequestError { code: CLIENT_ERROR },
        b"SERVER_ERROR" => return failed(line),
        _ => 0,
    };
    Outcome::Ok { code }
}

/// Whose fault a `SERVER_ERROR` is.
fn failed(line: &[u8]) -> Outcome {
    let says = |text: &[u8]| line.windows(text.len()).any(|part| part == text);
    if says(b"too large") {
        Outcome::RequestError { code: TOO_LARGE }
    } else if says(b"out of memory") {
        Outcome::SystemError {
            code: OUT_OF_MEMORY,
        }
    } else {
        Outcome::SystemError { code: SERVER_ERROR }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_an_answer_is() {
        for (answer, outcome) in [
            ("STORED\r\n", Outcome::Ok { code: 0 }),
            ("END\r\n", Outcome::Ok { code: 0 }),
            ("EN\r\n", Outcome::Ok { code: NOT_FOUND }),
            ("EXISTS\r\n", Outcome::Ok { code: EXISTS }),
            ("5\r\n", Outcome::Ok { code: 0 }),
            (
                "SERVER_ERROR object too large for cache\r\n",
                Outcome::RequestError { code: TOO_LARGE },
            ),
            (
                "SERVER_ERROR out of memory storing object\r\n",
                Outcome::SystemError {
                    code: OUT_OF_MEMORY,
                },
            ),
            (
                "CLIENT_ERROR bad data chunk\r\n",
                Outcome::RequestError { code: CLIENT_ERROR },
            ),
        ] {
            assert_eq!(super::outcome(answer.as_bytes()), outcome, "{answer:?}");
        }
    }
}
