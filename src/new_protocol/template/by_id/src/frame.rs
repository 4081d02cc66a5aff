//! What is on the wire: the only module that knows where a byte is.
//!
//! ```text
//!  0  "MP"
//!  2  kind, see [`Kind`]
//!  3  status of an answer, see [`OK`] and the others; 0 in everything else
//!  4  id, u32
//!  8  length of the method, u16
//! 10  length of the body, u32
//! 14  the method, UTF-8; then the body
//! ```
//!
//! Numbers are big-endian.

/// What every message begins with.
pub const MAGIC: [u8; 2] = *b"MP";
/// Bytes before the method.
pub const HEADER: usize = 14;
/// Where the id is.
const ID: usize = 4;

/// The request was served.
pub const OK: u8 = 0;
/// It was served, and the application says no.
pub const NO: u8 = 1;
/// The server knows no such method, or cannot read the request.
pub const BAD_REQUEST: u8 = 2;
/// The server failed.
pub const FAILED: u8 = 3;
/// The server did nothing: another one, or another time.
pub const BUSY: u8 = 4;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that wants an answer.
    Request,
    /// A request that wants none.
    OneWay,
    /// An answer.
    Answer,
    /// A question whether the other side lives.
    Ping,
    /// The answer to it, under the same id.
    Pong,
}

const KINDS: [Kind; 5] = [
    Kind::Request,
    Kind::OneWay,
    Kind::Answer,
    Kind::Ping,
    Kind::Pong,
];

/// The fixed part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub status: u8,
    pub id: u32,
    pub method: u16,
    pub body: u32,
}

/// Bytes that are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// They may become one when there are [`HEADER`] of them.
    TooShort,
    /// They are of another protocol.
    NotOurs(&'static str),
}

impl Header {
    /// Reads the front of `bytes`.
    ///
    /// # Errors
    /// [`NoHeader`] says why there is none.
    pub fn read(bytes: &[u8]) -> Result<Self, NoHeader> {
        if !MAGIC.iter().zip(bytes).all(|(want, is)| want == is) {
            return Err(NoHeader::NotOurs("a message does not begin with \"MP\""));
        }
        // No indexing: bytes from the network must never make a codec panic.
        let Some((&[_, _, kind, status, ref rest @ ..], _)) = bytes.split_first_chunk::<HEADER>()
        else {
            return Err(NoHeader::TooShort);
        };
        let [a, b, c, d, e, f, g, h, i, j] = *rest;
        let kind = KINDS.get(usize::from(kind));
        Ok(Self {
            kind: *kind.ok_or(NoHeader::NotOurs("a message is of no known kind"))?,
            status,
            id: u32::from_be_bytes([a, b, c, d]),
            method: u16::from_be_bytes([e, f]),
            body: u32::from_be_bytes([g, h, i, j]),
        })
    }

    /// Bytes of header and method: what it takes to route a request.
    #[must_use]
    pub fn head(&self) -> usize {
        HEADER + usize::from(self.method)
    }

    /// Bytes of the whole message.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head() as u64 + u64::from(self.body)
    }
}

/// The method of a message, if its bytes reach so far.
#[must_use]
pub fn method(message: &[u8]) -> Option<&[u8]> {
    let header = Header::read(message).ok()?;
    message.get(HEADER..header.head())
}

/// Writes `message`, or as much of it as there is, under another id. Nothing else is looked at,
/// so that what this codec does not understand passes as it is.
pub fn write_under(id: u32, message: &[u8], out: &mut Vec<u8>) {
    let (before, rest) = message.split_at_checked(ID).unwrap_or((message, &[]));
    let after = rest.get(size_of::<u32>()..).unwrap_or_default();
    out.extend_from_slice(before);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(after);
}

/// Writes a whole message. What does not fit its length field is cut off.
pub fn write(kind: Kind, status: u8, id: u32, method: &str, body: &[u8], out: &mut Vec<u8>) {
    let method_len = u16::try_from(method.len()).unwrap_or(u16::MAX);
    let body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let position = KINDS.iter().position(|known| *known == kind);
    out.extend_from_slice(&MAGIC);
    out.push(
        position
            .and_then(|kind| u8::try_from(kind).ok())
            .unwrap_or(0),
    );
    out.push(status);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&method_len.to_be_bytes());
    out.extend_from_slice(&body_len.to_be_bytes());
    out.extend(method.bytes().take(method_len.into()));
    out.extend(body.iter().take(body_len as usize));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        write(Kind::Request, 0, 7, "greet", b"hello", &mut out);
        let header = Header::read(&out).expect("a header");
        assert_eq!((header.kind, header.id), (Kind::Request, 7));
        assert_eq!(header.size(), out.len() as u64);
        assert_eq!(method(&out), Some(&b"greet"[..]));
        assert_eq!(out.get(header.head()..), Some(&b"hello"[..]));
    }

    #[test]
    fn other_bytes_are_refused_at_once() {
        assert_eq!(Header::read(b"MP"), Err(NoHeader::TooShort));
        assert!(matches!(Header::read(b"G"), Err(NoHeader::NotOurs(_))));
    }
}
