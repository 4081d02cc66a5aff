//! Where messages begin, what is around them, and how much of one has to be there.

use meltemi_codec::{Limits, Malformed};

use crate::{
    call::CallMemo,
    detect::{self, LONGEST_FRAME},
    dialect::{Dialect, Encoding, Transport},
    head::{Head, Kind, LONGEST_NAME},
    header::{Header, THEADER, TTHEADER},
    reader::{Cut, Reader},
};

/// What is known of a connection before its next message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expect {
    /// A connection has one transport for its life.
    pub(crate) transport: Option<Transport>,
    /// What settings say; elsewhere each message says it itself.
    pub(crate) encoding: Option<Encoding>,
}

impl Expect {
    /// What is known of a call, or of the answer to it, that was read before.
    pub(crate) fn of(call: Option<CallMemo>) -> Self {
        Self {
            transport: call.map(|call| call.dialect.transport),
            encoding: None,
        }
    }
}

/// What stands at the front of a connection's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front {
    /// Nothing can be said before there are `need` bytes.
    Short { need: usize },
    /// An empty frame: some clients flush without having written.
    Empty { len: usize },
    /// A frame whose message's front cannot be read.
    Unreadable {
        dialect: Dialect,
        size: u64,
        reason: &'static str,
    },
    /// A message, or the head of a large one.
    Message(Layout),
}

/// Where the parts of a message lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) dialect: Dialect,
    /// In bytes from the first to the last. `None`: the end has to be searched for.
    pub(crate) size: Option<u64>,
    pub(crate) header: Option<Header>,
    /// Whether the message has a frame's length of its own within TTHeader (Kitex'
    /// "TTHeaderFramed").
    pub(crate) inner: bool,
    /// `None`: the message is compressed.
    pub(crate) head: Option<Head>,
}

impl Front {
    /// Looks at `input`, which begins at a message's first byte.
    pub(crate) fn of(input: &[u8], expect: Expect, limits: Limits) -> Result<Self, Malformed> {
        if let Some(layout) = Layout::plain(input, expect)
            && layout.size.is_some_and(|size| size <= limits.frame)
        {
            return Ok(Self::Message(layout));
        }
        let (transport, size) = match extent(input, expect.transport) {
            Ok((Transport::Framed, Some(len @ 4))) => return Ok(Self::Empty { len: len as usize }),
            Ok(extent) => extent,
            Err(Cut::Short(need)) => return Ok(Self::Short { need }),
            Err(Cut::Bad(reason)) => return Err(Malformed { reason }),
        };
        let most = size.unwrap_or(u64::MAX);
        let whole = limits.needed(0, most);
        if most <= limits.frame && input.len() < whole {
            return Ok(Self::Short { need: whole });
        }
        let there = usize::try_from(most).ok().and_then(|n| input.get(..n));
        let bytes = there.unwrap_or(input);
        let reason = match Layout::read(bytes, transport, size, expect.encoding) {
            Ok(layout) => return Ok(Self::Message(layout)),
            Err(Cut::Short(need)) if there.is_none() && need as u64 <= most => {
                return Ok(Self::Short { need });
            }
            Err(Cut::Short(_)) => "the frame ends within the front of its message",
            Err(Cut::Bad(reason)) => reason,
        };
        match (size, guess(bytes, transport)) {
            (Some(size), Some(dialect)) if size <= limits.frame => Ok(Self::Unreadable {
                dialect,
                size,
                reason,
            }),
            _ => Err(Malformed { reason }),
        }
    }
}

impl Layout {
    /// Reads a frame, or the head of one, that was read before.
    pub(crate) fn again(bytes: &[u8], expect: Expect) -> Option<Self> {
        if let Some(plain) = Self::plain(bytes, expect) {
            return Some(plain);
        }
        let (transport, size) = extent(bytes, expect.transport).ok()?;
        let there = size.and_then(|size| bytes.get(..usize::try_from(size).ok()?));
        Self::read(there.unwrap_or(bytes), transport, size, expect.encoding).ok()
    }

    /// A message of the strict binary protocol in a frame that is there as a whole, as most are.
    /// `None`: it has to be read step by step.
    fn plain(bytes: &[u8], expect: Expect) -> Option<Self> {
        let dialect = Dialect::STRICT;
        let binary = |named: Encoding| named.reads(dialect.encoding);
        if expect.transport != Some(dialect.transport) || !expect.encoding.is_none_or(binary) {
            return None;
        }
        let (length, rest) = bytes.split_first_chunk()?;
        let length = u32::from_be_bytes(*length);
        let (version, rest) = rest.split_first_chunk()?;
        let [0x80, 1, _, kind] = *version else {
            return None;
        };
        let (name, rest) = rest.split_first_chunk()?;
        let name = usize::try_from(u32::from_be_bytes(*name)).ok()?;
        let seq = rest.get(name..)?.first_chunk()?;
        let (start, size) = (12, u64::from(length) + 4);
        let body = start + name + seq.len();
        let is_whole = bytes.len() as u64 >= size && size >= body as u64;
        if length > LONGEST_FRAME || name > LONGEST_NAME || !is_whole {
            return None;
        }
        Some(Self {
            dialect,
            size: Some(size),
            header: None,
            inner: false,
            head: Some(Head {
                kind: Kind::of(kind).ok()?,
                name: start..start + name,
                seq: u32::from_be_bytes(*seq),
                seq_at: start + name..body,
                body,
            }),
        })
    }

    fn read(
        bytes: &[u8],
        transport: Transport,
        size: Option<u64>,
        expected: Option<Encoding>,
    ) -> Result<Self, Cut> {
        let header = match transport.has_header() {
            true => Some(Header::read(transport, bytes)?),
            false => None,
        };
        let mut layout = Self {
            dialect: Dialect {
                transport,
                encoding: Encoding::Opaque,
            },
            size,
            header,
            inner: false,
            head: None,
        };
        if header.is_some_and(|header| header.transformed) {
            return Ok(layout);
        }
        let mut at = start(transport, header);
        layout.inner = transport == Transport::TtHeader && inner(bytes, at, size)?;
        if layout.inner {
            at += 4;
        }
        let encoding = detect::encoding(bytes, at)?;
        let named = [header.map(|header| header.encoding), expected];
        if named.iter().flatten().any(|named| !named.reads(encoding)) {
            return Err(Cut::Bad(
                "the message is in another protocol than it should be",
            ));
        }
        if transport == Transport::Buffered && encoding == Encoding::Json {
            return Err(Cut::Bad("JSON is supported in frames only"));
        }
        layout.dialect.encoding = encoding;
        layout.head = Some(Head::read(encoding, bytes, at)?);
        Ok(layout)
    }

    /// The sequence number that answers are found by: the header's where the message hides its own.
    pub(crate) fn seq(&self) -> u32 {
        match (&self.head, &self.header) {
            (Some(head), _) => head.seq,
            (None, Some(header)) => header.seq,
            (None, None) => 0,
        }
    }

    /// What an answer of the proxy's own is written in: what the header names, where the message is
    /// compressed.
    pub(crate) fn spoken(&self) -> Encoding {
        match (&self.head, &self.header) {
            (None, Some(header)) => header.encoding,
            _ => self.dialect.encoding,
        }
    }

    /// Where what is read of a message at its front ends.
    pub(crate) fn front(&self) -> usize {
        match (&self.head, &self.header) {
            (Some(head), _) => head.body,
            (None, Some(header)) => header.end,
            (None, None) => 0,
        }
    }
}

/// Where the message begins within its frame.
fn start(transport: Transport, header: Option<Header>) -> usize {
    match (transport, header) {
        (_, Some(header)) => header.end,
        (Transport::Buffered, None) => 0,
        (_, None) => 4,
    }
}

/// Whether a length that is exactly that of what follows precedes the message. The name of a lax
/// message, which a length precedes too, is never all that follows.
fn inner(bytes: &[u8], at: usize, size: Option<u64>) -> Result<bool, Cut> {
    if detect::encoding(bytes, at)? != Encoding::Lax {
        return Ok(false);
    }
    let length = Reader::new(bytes, at).u32()?;
    Ok(size.is_some_and(|size| u64::from(length) + at as u64 + 4 == size))
}

/// What a message whose front cannot be read was meant to be.
fn guess(bytes: &[u8], transport: Transport) -> Option<Dialect> {
    let header = match transport.has_header() {
        true => Some(Header::read(transport, bytes).ok()?),
        false => None,
    };
    let encoding = detect::encoding(bytes, start(transport, header)).ok()?;
    Some(Dialect {
        transport,
        encoding,
    })
}

/// The transport of a message, and its size where that is known.
fn extent(input: &[u8], transport: Option<Transport>) -> Result<(Transport, Option<u64>), Cut> {
    let transport = match transport {
        Some(transport) => transport,
        None => detect::transport(input)?,
    };
    if transport == Transport::Buffered {
        return Ok((transport, None));
    }
    let mut reader = Reader::new(input, 0);
    let length = reader.u32()?;
    if length > LONGEST_FRAME {
        return Err(Cut::Bad(
            "the length of a frame is above what any Thrift accepts",
        ));
    }
    let magic = match transport {
        Transport::Header => Some(THEADER),
        Transport::TtHeader => Some(TTHEADER),
        Transport::Framed | Transport::Buffered => None,
    };
    if magic.is_some() && (length < 10 || magic != Some(reader.u16()?)) {
        return Err(Cut::Bad(
            "a frame does not have the header of its connection",
        ));
    }
    Ok((transport, Some(u64::from(length) + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        whole: 64,
        frame: 1000,
    };

    fn framed(length: u32, message: &[u8]) -> Vec<u8> {
        [&length.to_be_bytes(), message].concat()
    }

    fn front(bytes: &[u8]) -> Result<Front, Malformed> {
        let framed = Expect {
            transport: Some(Transport::Framed),
            encoding: None,
        };
        Front::of(bytes, framed, LIMITS)
    }

    #[test]
    fn as_much_of_a_frame_is_waited_for_as_is_kept_of_it() {
        let ping = b"\x80\x01\0\x01\0\0\0\x04ping\0\0\0\x01\0";
        assert_eq!(front(&framed(17, &[])), Ok(Front::Short { need: 21 }));
        assert!(matches!(front(&framed(17, ping)), Ok(Front::Message(_))));
        // Above what is kept, its front is enough.
        assert_eq!(front(&framed(100, &[])), Ok(Front::Short { need: 5 }));
        assert_eq!(
            front(&framed(100, &ping[..12])),
            Ok(Front::Short { need: 20 })
        );
        assert!(matches!(
            front(&framed(100, &ping[..16])),
            Ok(Front::Message(_))
        ));
        assert_eq!(front(&framed(0, ping)), Ok(Front::Empty { len: 4 }));
        assert!(front(&framed(LONGEST_FRAME + 1, ping)).is_err());
    }

    #[test]
    fn a_frame_whose_message_cannot_be_read_is_known_by_its_size() {
        let bad = framed(6, b"\x80\x01\0\x09\0\0");
        let Ok(Front::Unreadable { dialect, size, .. }) = front(&bad) else {
            panic!("{:?}", front(&bad));
        };
        assert_eq!((dialect.encoding, size), (Encoding::Binary, 10));
        // The frame ends before its message's front does.
        let cut = framed(10, b"\x80\x01\0\x01\0\0\0\x04pi");
        assert!(matches!(
            front(&cut),
            Ok(Front::Unreadable { size: 14, .. })
        ));
        // Nobody can be told anything in a protocol that nobody knows.
        assert!(front(&framed(6, b"\x77\x01\0\x01\0\0")).is_err());
    }
}
