//! What the peers of a trial say, where they keep to the protocol.

use std::sync::Arc;

use meltemi_codec::Protocol;

/// A protocol, and how to speak it.
#[derive(Clone)]
pub(crate) struct Speech {
    pub(crate) protocol: Arc<dyn Protocol>,
    /// What a client says.
    pub(crate) client: fn(Say<'_>) -> Vec<u8>,
    /// What a server says.
    pub(crate) server: fn(Say<'_>) -> Vec<u8>,
}

/// A message to be written. Its kind decides what counts of the rest.
pub(crate) struct Say<'a> {
    pub(crate) kind: u8,
    /// The request's, or that of what is answered.
    pub(crate) id: u64,
    /// To be somewhere near the start of the message.
    pub(crate) mark: &'a str,
    /// Bytes to pad the message with.
    pub(crate) size: usize,
}

/// A kind that no sample uses for anything but a request, or its answer.
pub(crate) const PLAIN: u8 = 0;
/// A client's answer to a request of a server's.
pub(crate) const REPLY: u8 = 255;

const MARK: &str = "mark-";
const DIGITS: usize = 16;
/// A mark begins within so many bytes.
const NEAR: usize = 256;

/// What tells one request from all others, and its answer from all other answers. The fuzzer cannot
/// make one up: it would have to guess 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(crate) fn new(number: u64) -> Self {
        // The finalizer of SplitMix64: no two numbers have the same mark.
        let x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(x ^ (x >> 31))
    }

    pub(crate) fn text(self) -> String {
        format!("{MARK}{:016x}", self.0)
    }

    /// The first one in a message.
    pub(crate) fn find(message: &[u8]) -> Option<Self> {
        let near = message.get(..NEAR).unwrap_or(message);
        let mut places = near.iter().enumerate().filter(|(_, byte)| **byte == b'm');
        let after = places.find_map(|(at, _)| message.get(at..)?.strip_prefix(MARK.as_bytes()))?;
        let digits = after.get(..DIGITS)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16)
            .ok()
            .map(Self)
    }
}
