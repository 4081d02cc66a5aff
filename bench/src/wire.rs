//! The protocols, written by hand.
//!
//! The generator must not share code with the proxy that it measures: a mistake in a common codec
//! would agree with itself.

mod dubbo;
mod redis;
mod stamp;
mod thrift;

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;
use thiserror::Error;

pub(crate) use self::dubbo::{Dubbo, GROUP, INTERFACE, METHOD as DUBBO_METHOD};
pub use self::redis::Command;
pub(crate) use self::redis::{KEYS_OF_A_CLIENT, Redis, append_set};
pub(crate) use self::thrift::{METHOD as THRIFT_METHOD, Thrift};

/// Larger messages are refused.
pub(crate) const MAX_MESSAGE: usize = 4 * 1024 * 1024;

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Protocol {
    Dubbo,
    Redis,
    Thrift,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dubbo => "dubbo",
            Self::Redis => "redis",
            Self::Thrift => "thrift",
        }
    }
}

#[derive(Debug, Error)]
pub(crate) enum WireError {
    #[error("bytes that start no {0} message")]
    Foreign(&'static str),
    #[error("a message of {0} bytes, more than this benchmark ever sends")]
    TooLong(usize),
    #[error("a request that this benchmark did not write")]
    Body,
}

/// Why an answer is not the one that the request asked for.
#[derive(Debug, Error)]
pub enum WrongAnswer {
    #[error("answer to id {0}, which is not in flight on that connection")]
    UnknownId(u64),
    #[error("answer to request {0} before those of older ones")]
    OutOfOrder(u64),
    #[error("`{0}` instead of a value")]
    NotAValue(String),
    #[error("answer to request {0} that carries another request's value")]
    OtherPayload(u64),
}

impl WrongAnswer {
    /// `answer` holds no value: it shows its start, where errors say what they are.
    fn not_a_value(answer: &[u8]) -> Self {
        let start = answer
            .split_at_checked(120)
            .map_or(answer, |(start, _)| start);
        Self::NotAValue(start.escape_ascii().to_string())
    }
}

/// What the upstream and the floor need to know of a protocol.
pub(crate) trait Wire {
    /// Bytes of the message at the start of `bytes`, or `None` while they do not tell.
    fn message_len(bytes: &[u8]) -> Result<Option<usize>, WireError>;

    /// Appends the upstream's answer to `request`, if it wants one.
    fn append_answer(out: &mut Vec<u8>, request: &[u8]) -> Result<(), WireError>;
}

/// Messages that are longer pass the floor in pieces: nothing there holds one.
pub(crate) const LARGE: usize = 32 * 1024;

/// A message and what follows it.
pub(crate) type Split<'b> = Option<(&'b [u8], &'b [u8])>;

/// The first message of `bytes` and what follows it, or `None` while it is incomplete.
pub(crate) fn split<W: Wire>(bytes: &[u8]) -> Result<Split<'_>, WireError> {
    match W::message_len(bytes)? {
        None if bytes.len() > MAX_MESSAGE => Err(WireError::TooLong(bytes.len())),
        None => Ok(None),
        Some(len) if len > MAX_MESSAGE => Err(WireError::TooLong(len)),
        Some(len) => Ok(bytes.split_at_checked(len)),
    }
}

/// To which request an answer belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answers {
    /// To none: a heartbeat, say, of the proxy's own.
    Nothing,
    /// To the request with this id on its connection.
    Id(u64),
    /// To the oldest one on its connection.
    Oldest,
}

/// Requests that are alike but for their connection and number, and what answers them.
pub(crate) trait Exchange: Send {
    /// Appends request number `id` of `connection`; numbers start at 0 on every connection.
    fn append_request(&self, out: &mut Vec<u8>, connection: u32, id: u64);

    /// As [`split`].
    fn split<'b>(&self, bytes: &'b [u8]) -> Result<Split<'b>, WireError>;

    fn answers(&self, answer: &[u8]) -> Result<Answers, WrongAnswer>;

    /// Checks that `answer` carries what request `id` of `connection` asked for.
    fn check(&self, answer: &[u8], connection: u32, id: u64) -> Result<(), WrongAnswer>;
}

/// What the generator asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// A call whose string argument, of so many bytes, comes back.
    Dubbo {
        argument: u32,
    },
    /// A call whose string argument, of so many bytes, comes back.
    Thrift {
        argument: u32,
    },
    Redis(Command),
}

impl Request {
    /// What a connection is tried with.
    pub(crate) fn probe(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Dubbo => Self::Dubbo { argument: 128 },
            Protocol::Redis => Self::Redis(Command::Get),
            Protocol::Thrift => Self::Thrift { argument: 128 },
        }
    }

    pub fn protocol(self) -> Protocol {
        match self {
            Self::Dubbo { .. } => Protocol::Dubbo,
            Self::Thrift { .. } => Protocol::Thrift,
            Self::Redis(_) => Protocol::Redis,
        }
    }

    /// Whether a proxy passes its messages on in pieces.
    pub(crate) fn is_large(self) -> bool {
        match self {
            Self::Dubbo { argument } | Self::Thrift { argument } => argument as usize > LARGE,
            Self::Redis(command) => command.is_large(),
        }
    }

    pub(crate) fn exchange(self) -> Box<dyn Exchange> {
        match self {
            Self::Dubbo { argument } => Box::new(dubbo::Echo::new(argument as usize)),
            Self::Thrift { argument } => Box::new(thrift::Echo::new(argument as usize)),
            Self::Redis(command) => Box::new(command),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dubbo { argument } | Self::Thrift { argument } => {
                write!(f, "{argument} B argument")
            }
            Self::Redis(command) => command.fmt(f),
        }
    }
}

impl Serialize for Request {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
