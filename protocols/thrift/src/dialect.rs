//! How a peer speaks: the transport around its messages, and the protocol that they are written in.

/// What is around a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A length of four bytes before each message.
    Framed,
    /// Nothing: a message ends where its struct ends.
    Buffered,
    /// Apache's and fbthrift's THeader: a frame with a header of varints.
    Header,
    /// Kitex' and Volo's TTHeader: a frame with a header of fixed integers.
    TtHeader,
}

/// What a message is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Binary with a version word: "strict".
    Binary,
    /// Binary as it was before the version word.
    Lax,
    Compact,
    Json,
    /// Behind a transform of THeader's (compression): the message cannot be looked into.
    Opaque,
}

/// The two together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) transport: Transport,
    pub(crate) encoding: Encoding,
}

impl Transport {
    pub(crate) const ALL: [Self; 4] = [Self::Framed, Self::Buffered, Self::Header, Self::TtHeader];

    /// Its name in settings and attributes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Framed => "framed",
            Self::Buffered => "buffered",
            Self::Header => "header",
            Self::TtHeader => "ttheader",
        }
    }

    /// Whether it has a place for attributes.
    pub(crate) fn has_header(self) -> bool {
        matches!(self, Self::Header | Self::TtHeader)
    }

    /// How many bytes precede the words of its header.
    pub(crate) const HEADER_AT: usize = 14;
}

impl Encoding {
    pub(crate) const ALL: [Self; 5] = [
        Self::Binary,
        Self::Lax,
        Self::Compact,
        Self::Json,
        Self::Opaque,
    ];

    /// Its name in settings and attributes; what cannot be looked into has none.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Binary => Some("binary"),
            Self::Lax => Some("lax"),
            Self::Compact => Some("compact"),
            Self::Json => Some("json"),
            Self::Opaque => None,
        }
    }

    /// Whether a peer that wrote `self` can read `other`. Servers answer lax calls in strict binary
    /// too (Java's default), and clients that write lax read both.
    pub(crate) fn reads(self, other: Self) -> bool {
        let family = |encoding| match encoding {
            Self::Lax => Self::Binary,
            encoding => encoding,
        };
        self == Self::Opaque || other == Self::Opaque || family(self) == family(other)
    }
}

impl Dialect {
    /// What most speak: the strict binary protocol in a frame.
    pub(crate) const STRICT: Self = Self {
        transport: Transport::Framed,
        encoding: Encoding::Binary,
    };

    /// As a byte that is not zero.
    pub(crate) fn pack(self) -> u8 {
        let position = |found: Option<usize>| found.map_or(0, |at| at as u8 + 1);
        let transport = Transport::ALL.iter().position(|it| *it == self.transport);
        let encoding = Encoding::ALL.iter().position(|it| *it == self.encoding);
        position(transport) << 4 | position(encoding)
    }

    /// `None` for a byte that [`Dialect::pack`] does not make.
    pub(crate) fn unpack(byte: u8) -> Option<Self> {
        let at = |n: u8| usize::from(n).checked_sub(1);
        Some(Self {
            transport: *Transport::ALL.get(at(byte >> 4)?)?,
            encoding: *Encoding::ALL.get(at(byte & 15)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialect_is_what_its_byte_says() {
        for transport in Transport::ALL {
            for encoding in Encoding::ALL {
                let dialect = Dialect {
                    transport,
                    encoding,
                };
                assert_ne!(dialect.pack(), 0);
                assert_eq!(Dialect::unpack(dialect.pack()), Some(dialect));
            }
        }
        assert_eq!(Dialect::unpack(0), None);
        assert_eq!(Dialect::unpack(0x17), None);
        assert_eq!(Dialect::unpack(0x51), None);
    }

    #[test]
    fn a_lax_client_reads_strict_answers_and_nobody_reads_another_protocol() {
        assert!(Encoding::Lax.reads(Encoding::Binary));
        assert!(Encoding::Binary.reads(Encoding::Lax));
        assert!(Encoding::Compact.reads(Encoding::Opaque));
        assert!(!Encoding::Compact.reads(Encoding::Binary));
        assert!(!Encoding::Json.reads(Encoding::Compact));
    }
}
