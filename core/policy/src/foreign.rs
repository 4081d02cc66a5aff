//! Bytes that are not of the protocol that they should be of: what they are instead, as far as their beginning tells.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// What a client speaks that does not speak its service's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Foreign {
    Http1,
    /// Without TLS, as gRPC has it.
    Http2,
    Tls,
    Other,
}

/// By the name of a service's resource, what its clients have spoken lately.
pub type Mismatches = BTreeMap<String, BTreeSet<Foreign>>;

/// It is none of the words that [`Foreign::as_str`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not known")]
pub struct NotKnown;

/// RFC 9110, section 9, and RFC 5789.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
];
/// RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// A record of a handshake (RFC 8446, section 5.1).
const HANDSHAKE: &[u8] = &[0x16, 0x03];

impl Foreign {
    pub const ALL: [Self; 4] = [Self::Http1, Self::Http2, Self::Tls, Self::Other];

    /// By the first bytes, of which one is enough: what they can still become they are taken for.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let begin = |with: &[u8]| with.iter().zip(bytes).all(|(a, b)| a == b);
        if bytes.is_empty() {
            Self::Other
        } else if METHODS.iter().any(|method| begin(method)) {
            Self::Http1
        } else if begin(PREFACE) {
            Self::Http2
        } else if begin(HANDSHAKE) {
            Self::Tls
        } else {
            Self::Other
        }
    }

    /// In metrics, and between a proxy and its control plane.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Tls => "tls",
            Self::Other => "other",
        }
    }
}

impl FromStr for Foreign {
    type Err = NotKnown;

    fn from_str(text: &str) -> Result<Self, NotKnown> {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.as_str() == text).ok_or(NotKnown)
    }
}

/// Between a proxy and its control plane: their words with commas between.
#[must_use]
pub fn words(spoken: &BTreeSet<Foreign>) -> String {
    let words: Vec<_> = spoken.iter().map(|it| it.as_str()).collect();
    words.join(",")
}

/// The other way; a word that is not known here is something else.
#[must_use]
pub fn spoken(words: &str) -> BTreeSet<Foreign> {
    let words = words.split(',').filter(|word| !word.is_empty());
    let spoken = words.map(|word| word.parse().unwrap_or(Foreign::Other));
    spoken.collect()
}

/// For people.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1",
            Self::Http2 => "HTTP/2",
            Self::Tls => "TLS",
            Self::Other => "another protocol",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let rows: [(&[u8], Foreign); 10] = [
            (b"GET / HTTP/1.1\r\n", Foreign::Http1),
            (b"G", Foreign::Http1),
            (b"PATCH /a", Foreign::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Foreign::Http2),
            (b"PRI", Foreign::Http2),
            (&[0x16, 0x03, 0x01, 0x02, 0x00], Foreign::Tls),
            (&[0x16], Foreign::Tls),
            (&[0xda, 0xbb], Foreign::Other),
            (b"GETTY", Foreign::Other),
            (b"", Foreign::Other),
        ];
        for (bytes, expected) in rows {
            assert_eq!(Foreign::of(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for foreign in Foreign::ALL {
            assert_eq!(foreign.as_str().parse(), Ok(foreign));
        }
        assert_eq!("http3".parse::<Foreign>(), Err(NotKnown));
        let all = Foreign::ALL.into();
        assert_eq!(spoken(&words(&all)), all);
        assert_eq!(spoken("tls,http3"), [Foreign::Tls, Foreign::Other].into());
        assert_eq!(spoken(""), BTreeSet::new());
    }
}
