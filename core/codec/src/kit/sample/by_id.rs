//! A protocol with a length prefix whose answers find their requests by id.
//!
//! ```text
//! 0  "Mb"
//! 2  kind, see [`Kind`]; 0x80 is added to a request that may be repeated, 0x40 to one after
//!    which the server may ask something of its client
//! 3  dialect: an answer must carry that of its request
//! 4  id, u64 (0 is a heartbeat of the proxy's to its client)
//! 12 detail, u32: a request's deadline in milliseconds (0: none), an answer's status
//! 16 length of the attributes, u16
//! 18 length of the body, u32
//! 22 attributes, lines of `name=value`; then the body
//! ```
//!
//! Numbers are big-endian. Statuses: 0 is ok, 1 an application error, 100 to 199 "try later",
//! everything else a system error. The server asks with the same frames as the client.

mod codec;

use std::time::Duration;

use crate::{
    attribute::AttributeDef,
    downstream::Downstream,
    message::Limits,
    protocol::{Correlation, Order, Protocol, Sharing, Sniff, Traits},
    session::Opening,
    upstream::Upstream,
};

const MAGIC: [u8; 2] = *b"Mb";
/// Bytes before the attributes.
pub const HEADER: usize = 22;
/// The status of an answer that says no in the application's name.
pub const APPLICATION_ERROR: u32 = 1;
/// The status of an answer that says "not now" before anything was done.
pub const TRY_LATER: u32 = 100;
/// A status that only the endpoint is to blame for.
pub const SYSTEM_ERROR: u32 = 2;

/// The protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct ById;

impl Protocol for ById {
    fn id(&self) -> &'static str {
        "sample-by-id"
    }

    fn traits(&self) -> Traits {
        Traits {
            correlation: Correlation::ById {
                bits: 64,
                reserved: &[0],
            },
            order: Order::Independent,
            sharing: Sharing::Multiplex,
            frame_limit: 8 * 1024 * 1024,
            heartbeat: Some(Duration::from_secs(60)),
            server_first: false,
        }
    }

    fn attributes(&self) -> &'static [AttributeDef] {
        &[
            AttributeDef {
                name: "service",
                meaning: "What is called.",
            },
            AttributeDef {
                name: "method",
                meaning: "What it is to do.",
            },
        ]
    }

    fn operation_attribute(&self) -> Option<&'static str> {
        Some("method")
    }

    fn open_attributes(&self) -> bool {
        true
    }

    fn sniff(&self, head: &[u8]) -> Sniff {
        match head {
            [b'M', b'b', ..] => Sniff::Yes,
            [b'M'] | [] => Sniff::Need(2),
            _ => Sniff::No,
        }
    }

    fn downstream(&self, limits: Limits) -> Box<dyn Downstream> {
        Box::new(codec::Server {
            limits,
            before: None,
        })
    }

    fn upstream(&self, limits: Limits, _opening: &Opening<'_>) -> Box<dyn Upstream> {
        Box::new(codec::Client { limits })
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that wants one answer.
    Request,
    /// A request that wants none.
    OneWay,
    /// An answer.
    Response,
    /// A question whether the other side lives.
    Ping,
    /// Its answer, under the same id.
    Pong,
    /// The sender wants no new requests on this connection.
    GoAway,
    /// The sender wants no new requests at all.
    GoAwayHost,
    /// The sender takes that back.
    ComeBack,
    /// The client gives up the request of this id.
    Cancel,
}

const KINDS: [Kind; 9] = [
    Kind::Request,
    Kind::OneWay,
    Kind::Response,
    Kind::Ping,
    Kind::Pong,
    Kind::GoAway,
    Kind::GoAwayHost,
    Kind::ComeBack,
    Kind::Cancel,
];

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// Whether a request may be repeated.
    pub idempotent: bool,
    /// Whether the server may ask something of the client from now on, on the same connection.
    pub pinned: bool,
    /// The dialect that an answer has to carry too.
    pub dialect: u8,
    /// The id.
    pub id: u64,
    /// A request's deadline in milliseconds, or an answer's status.
    pub detail: u32,
    /// Bytes of attributes.
    pub attributes: u16,
    /// Bytes of body.
    pub body: u32,
}

impl Header {
    /// A header without attributes and body.
    #[must_use]
    pub fn new(kind: Kind, id: u64) -> Self {
        Self {
            kind,
            idempotent: false,
            pinned: false,
            dialect: 0,
            id,
            detail: 0,
            attributes: 0,
            body: 0,
        }
    }

    /// Reads a header: `None` where the bytes are not of this protocol or too few.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (header, _) = bytes.split_first_chunk::<HEADER>()?;
        let &[m, b, kind, dialect, ref rest @ ..] = header;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let (detail, rest) = rest.split_first_chunk::<4>()?;
        let (attributes, rest) = rest.split_first_chunk::<2>()?;
        let (body, _) = rest.split_first_chunk::<4>()?;
        if [m, b] != MAGIC {
            return None;
        }
        Some(Self {
            kind: *KINDS.get(usize::from(kind & 0x3f))?,
            idempotent: kind & 0x80 != 0,
            pinned: kind & 0x40 != 0,
            dialect,
            id: u64::from_be_bytes(*id),
            detail: u32::from_be_bytes(*detail),
            attributes: u16::from_be_bytes(*attributes),
            body: u32::from_be_bytes(*body),
        })
    }

    /// Writes the header.
    pub fn write(&self, out: &mut Vec<u8>) {
        let kind = KINDS
            .iter()
            .position(|kind| *kind == self.kind)
            .and_then(|kind| u8::try_from(kind).ok())
            .expect("every kind is listed");
        out.extend_from_slice(&MAGIC);
        out.push(kind | u8::from(self.idempotent) << 7 | u8::from(self.pinned) << 6);
        out.push(self.dialect);
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&self.detail.to_be_bytes());
        out.extend_from_slice(&self.attributes.to_be_bytes());
        out.extend_from_slice(&self.body.to_be_bytes());
    }

    /// Bytes of the head: header and attributes.
    #[must_use]
    pub fn head(&self) -> usize {
        HEADER + usize::from(self.attributes)
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn size(&self) -> u64 {
        HEADER as u64 + u64::from(self.attributes) + u64::from(self.body)
    }
}

/// A whole frame: `header` with the lengths of what follows filled in.
///
/// # Panics
/// Where attributes or body do not fit their length fields.
#[must_use]
pub fn frame(header: Header, attributes: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let lines: String = attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    let header = Header {
        attributes: u16::try_from(lines.len()).expect("attributes fit"),
        body: u32::try_from(body.len()).expect("the body fits"),
        ..header
    };
    let mut out = Vec::with_capacity(header.head() + body.len());
    header.write(&mut out);
    out.extend_from_slice(lines.as_bytes());
    out.extend_from_slice(body);
    out
}

/// A request for `method`.
#[must_use]
pub fn request(id: u64, method: &str, body: &[u8]) -> Vec<u8> {
    frame(
        Header::new(Kind::Request, id),
        &[("service", "echo"), ("method", method)],
        body,
    )
}

/// An answer.
#[must_use]
pub fn response(id: u64, dialect: u8, status: u32, body: &[u8]) -> Vec<u8> {
    let header = Header {
        dialect,
        detail: status,
        ..Header::new(Kind::Response, id)
    };
    frame(header, &[], body)
}

/// A frame that is only a header.
#[must_use]
pub fn control(kind: Kind, id: u64) -> Vec<u8> {
    frame(Header::new(kind, id), &[], &[])
}
