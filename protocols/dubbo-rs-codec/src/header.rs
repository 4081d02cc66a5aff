//! The 16-byte header of a Dubbo2 frame: `da bb | flags | status | id u64 | body length u32`.

use std::fmt;

/// Bytes of a header; the body follows.
pub const HEADER_LEN: usize = 16;
/// The first two bytes of each frame.
pub const MAGIC: [u8; 2] = [0xda, 0xbb];
/// The body length that a peer takes unless configured otherwise: 8 MiB.
pub const DEFAULT_PAYLOAD_LIMIT: u32 = 8 * 1024 * 1024;

const FLAG_REQUEST: u8 = 0x80;
const FLAG_TWO_WAY: u8 = 0x40;
const FLAG_EVENT: u8 = 0x20;
const SERIALIZATION_MASK: u8 = 0x1f;

/// The bytes are no Dubbo2 frame: the magic is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a Dubbo2 frame: the magic da bb is missing")]
pub struct BadMagic;

/// What a frame is, by its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A call that owes one response.
    Request,
    /// A call that owes none.
    Oneway,
    /// The answer to a call.
    Response,
    /// A heartbeat or notice; `two_way` events owe an [`EventAnswer`](Kind::EventAnswer).
    Event { two_way: bool },
    /// The answer to a two-way event.
    EventAnswer,
}

/// A parsed header. The length excludes the header itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub serialization: SerializationId,
    /// Meaningful in responses and event answers; 0 in requests.
    pub status: Status,
    /// Chosen by the sender of the request; any 64 bits, negative in Java's eyes or not.
    pub id: u64,
    /// Bytes that follow the header.
    pub body_len: u32,
}

impl Header {
    /// Reads the header at the start of `bytes`.
    ///
    /// `Ok(None)` asks for more bytes. A wrong magic is reported from its first byte on.
    ///
    /// # Errors
    ///
    /// [`BadMagic`] when the bytes cannot be the beginning of a frame.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, BadMagic> {
        let Some((head, _)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            let seen = bytes.len().min(MAGIC.len());
            return if bytes.get(..seen) == MAGIC.get(..seen) {
                Ok(None)
            } else {
                Err(BadMagic)
            };
        };
        let [m0, m1, flags, status, id @ .., l0, l1, l2, l3] = *head;
        if [m0, m1] != MAGIC {
            return Err(BadMagic);
        }
        Ok(Some(Self {
            kind: kind_of(flags),
            serialization: SerializationId(flags & SERIALIZATION_MASK),
            status: Status(status),
            id: u64::from_be_bytes(id),
            body_len: u32::from_be_bytes([l0, l1, l2, l3]),
        }))
    }

    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let flags = match self.kind {
            Kind::Request => FLAG_REQUEST | FLAG_TWO_WAY,
            Kind::Oneway => FLAG_REQUEST,
            Kind::Response => 0,
            Kind::Event { two_way: true } => FLAG_REQUEST | FLAG_TWO_WAY | FLAG_EVENT,
            Kind::Event { two_way: false } => FLAG_REQUEST | FLAG_EVENT,
            Kind::EventAnswer => FLAG_EVENT,
        } | (self.serialization.0 & SERIALIZATION_MASK);
        let [i0, i1, i2, i3, i4, i5, i6, i7] = self.id.to_be_bytes();
        let [l0, l1, l2, l3] = self.body_len.to_be_bytes();
        let [m0, m1] = MAGIC;
        [
            m0,
            m1,
            flags,
            self.status.0,
            i0,
            i1,
            i2,
            i3,
            i4,
            i5,
            i6,
            i7,
            l0,
            l1,
            l2,
            l3,
        ]
    }

    /// Header and body together, in bytes.
    #[inline]
    #[must_use]
    pub fn frame_len(&self) -> usize {
        HEADER_LEN + self.body_len as usize
    }

    /// Whether the peer that sent this frame waits for an answer.
    #[inline]
    #[must_use]
    pub fn expects_answer(&self) -> bool {
        matches!(self.kind, Kind::Request | Kind::Event { two_way: true })
    }
}

/// A whole frame, borrowed from the bytes it was received in.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    pub header: Header,
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Splits the first frame off `bytes`; the rest is returned beside it.
    ///
    /// `Ok(None)` asks for more bytes. Check `body_len` against your limit with [`Header::parse`]
    /// before buffering that many.
    ///
    /// # Errors
    ///
    /// [`BadMagic`] when the bytes cannot be the beginning of a frame.
    #[inline]
    pub fn split(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, BadMagic> {
        let Some(header) = Header::parse(bytes)? else {
            return Ok(None);
        };
        let Some((frame, rest)) = bytes.split_at_checked(header.frame_len()) else {
            return Ok(None);
        };
        let body = frame.get(HEADER_LEN..).unwrap_or_default();
        Ok(Some((Self { header, body }, rest)))
    }
}

#[inline]
fn kind_of(flags: u8) -> Kind {
    let two_way = flags & FLAG_TWO_WAY != 0;
    match (flags & FLAG_REQUEST != 0, flags & FLAG_EVENT != 0) {
        (true, true) => Kind::Event { two_way },
        (true, false) if two_way => Kind::Request,
        (true, false) => Kind::Oneway,
        (false, true) => Kind::EventAnswer,
        (false, false) => Kind::Response,
    }
}

/// Overwrites the id of the frame at the start of `frame`; false when it is shorter than a header.
#[inline]
pub fn patch_id(frame: &mut [u8], id: u64) -> bool {
    let Some(slot) = frame
        .first_chunk_mut::<HEADER_LEN>()
        .and_then(|header| header.get_mut(4..12))
    else {
        return false;
    };
    slot.copy_from_slice(&id.to_be_bytes());
    true
}

/// The low five bits of the flags: how the body is serialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SerializationId(pub u8);

impl SerializationId {
    pub const HESSIAN2: Self = Self(2);
    pub const JAVA: Self = Self(3);
    pub const COMPACTED_JAVA: Self = Self(4);
    pub const FASTJSON: Self = Self(6);
    pub const NATIVE_JAVA: Self = Self(7);
    pub const KRYO: Self = Self(8);
    pub const FST: Self = Self(9);
    pub const NATIVE_HESSIAN: Self = Self(10);
    pub const AVRO: Self = Self(11);
    pub const PROTOSTUFF: Self = Self(12);
    pub const GSON: Self = Self(16);
    pub const JACKSON: Self = Self(18);
    pub const PROTOBUF_JSON: Self = Self(21);
    pub const PROTOBUF: Self = Self(22);
    pub const FASTJSON2: Self = Self(23);
    pub const MSGPACK: Self = Self(27);
    pub const FURY: Self = Self(28);

    /// Dubbo's own name of the serialization, or `None` for an id that it does not know.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::HESSIAN2 => "hessian2",
            Self::JAVA => "java",
            Self::COMPACTED_JAVA => "compactedjava",
            Self::FASTJSON => "fastjson",
            Self::NATIVE_JAVA => "nativejava",
            Self::KRYO => "kryo",
            Self::FST => "fst",
            Self::NATIVE_HESSIAN => "native-hessian",
            Self::AVRO => "avro",
            Self::PROTOSTUFF => "protostuff",
            Self::GSON => "gson",
            Self::JACKSON => "jackson",
            Self::PROTOBUF_JSON => "protobuf-json",
            Self::PROTOBUF => "protobuf",
            Self::FASTJSON2 => "fastjson2",
            Self::MSGPACK => "msgpack",
            Self::FURY => "fury",
            _ => return None,
        })
    }
}

impl fmt::Display for SerializationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The status of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

impl Status {
    /// What requests carry.
    pub const NONE: Self = Self(0);
    pub const OK: Self = Self(20);
    /// The response could not be serialized, for instance because it is over the limit.
    pub const SERIALIZATION_ERROR: Self = Self(25);
    /// Made up by a consumer for itself, never sent.
    pub const CLIENT_TIMEOUT: Self = Self(30);
    pub const SERVER_TIMEOUT: Self = Self(31);
    pub const CHANNEL_INACTIVE: Self = Self(35);
    /// The provider could not decode the request; also unknown service or method.
    pub const BAD_REQUEST: Self = Self(40);
    pub const BAD_RESPONSE: Self = Self(50);
    pub const SERVICE_NOT_FOUND: Self = Self(60);
    /// The provider failed outside the method itself.
    pub const SERVICE_ERROR: Self = Self(70);
    pub const SERVER_ERROR: Self = Self(80);
    pub const CLIENT_ERROR: Self = Self(90);
    pub const SERVER_THREADPOOL_EXHAUSTED: Self = Self(100);

    /// Dubbo's own name of the status.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::OK => "OK",
            Self::SERIALIZATION_ERROR => "SERIALIZATION_ERROR",
            Self::CLIENT_TIMEOUT => "CLIENT_TIMEOUT",
            Self::SERVER_TIMEOUT => "SERVER_TIMEOUT",
            Self::CHANNEL_INACTIVE => "CHANNEL_INACTIVE",
            Self::BAD_REQUEST => "BAD_REQUEST",
            Self::BAD_RESPONSE => "BAD_RESPONSE",
            Self::SERVICE_NOT_FOUND => "SERVICE_NOT_FOUND",
            Self::SERVICE_ERROR => "SERVICE_ERROR",
            Self::SERVER_ERROR => "SERVER_ERROR",
            Self::CLIENT_ERROR => "CLIENT_ERROR",
            Self::SERVER_THREADPOOL_EXHAUSTED => "SERVER_THREADPOOL_EXHAUSTED",
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}
