//! What follows a line: nothing, so many bytes, or pieces until an empty one.

use std::fmt;

use crate::message::{Body, Malformed};

/// What a line announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Nothing,
    Bytes(u32),
    Pieces,
}

impl Payload {
    /// Reads what follows the `*`.
    pub(super) fn announced(text: &str) -> Result<Self, Malformed> {
        let malformed = Malformed {
            reason: "a payload's size is not a number",
        };
        if text == "~" {
            return Ok(Self::Pieces);
        }
        // `parse` takes a sign, which would be a second spelling of the same size.
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed);
        }
        text.parse().map(Self::Bytes).map_err(|_| malformed)
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Bytes(n) => write!(f, " *{n}"),
            Self::Pieces => write!(f, " *~"),
        }
    }
}

/// How far a payload of pieces was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    inside: Inside,
    /// Bytes that may still come.
    left: u64,
}

#[derive(Clone, Copy, Debug)]
enum Inside {
    Length { value: u64, digits: u8 },
    Data(u64),
}

const LENGTH: Inside = Inside::Length {
    value: 0,
    digits: 0,
};

impl Pieces {
    /// Nothing was read, and `limit` bytes are allowed.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            inside: LENGTH,
            left: limit,
        }
    }

    /// Reads on, as far as the payload reaches into `input`.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<Body, Malformed> {
        let mut rest = input;
        while let [first, after @ ..] = rest {
            let taken = match self.inside {
                Inside::Length { value, digits } => {
                    rest = after;
                    self.inside = match first {
                        b'0'..=b'9' if digits < 9 => Inside::Length {
                            value: value * 10 + u64::from(first - b'0'),
                            digits: digits + 1,
                        },
                        b'\n' if digits > 0 && value == 0 => {
                            self.spend(1)?;
                            return Ok(Body::End(input.len() - rest.len()));
                        }
                        b'\n' if digits > 0 => Inside::Data(value),
                        _ => {
                            return Err(Malformed {
                                reason: "a piece's length is not a number",
                            });
                        }
                    };
                    1
                }
                Inside::Data(left) => {
                    let taken = usize::try_from(left).map_or(rest.len(), |n| n.min(rest.len()));
                    rest = rest.get(taken..).unwrap_or_default();
                    self.inside = match left - taken as u64 {
                        0 => LENGTH,
                        left => Inside::Data(left),
                    };
                    taken as u64
                }
            };
            self.spend(taken)?;
        }
        Ok(Body::More(input.len()))
    }

    /// Bytes that must follow at least.
    pub(super) fn least(&self) -> usize {
        const END: u64 = 2;
        let least = match self.inside {
            Inside::Length { digits: 0, .. } => END,
            Inside::Length { value: 0, .. } => 1,
            Inside::Length { value, .. } => 1 + value + END,
            Inside::Data(left) => left + END,
        };
        usize::try_from(least).unwrap_or(usize::MAX)
    }

    fn spend(&mut self, n: u64) -> Result<(), Malformed> {
        self.left = self.left.checked_sub(n).ok_or(Malformed {
            reason: "a message is larger than the frame limit",
        })?;
        Ok(())
    }
}
