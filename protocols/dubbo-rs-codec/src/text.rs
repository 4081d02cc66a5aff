//! Strings as they lie on the wire, decoded only when somebody looks.

use std::borrow::Cow;

use crate::hessian2;

/// How the bytes of a [`Text`] are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Every byte is ASCII, seen while skipping.
    Ascii,
    /// Hessian: 1 to 3 bytes a UTF-16 unit; 4-byte sequences are tolerated.
    Cesu8,
    /// A whole Hessian string value in several chunks, tags included.
    Chunked,
    Latin1,
    Utf8,
    /// Big-endian unless a byte order mark says otherwise.
    Utf16,
    Utf16Le,
    Utf16Be,
    /// A character set that is not decoded (GB18030): its ASCII part is kept.
    Opaque,
}

/// A string borrowed from a body. Copying and comparing it costs no allocation for ASCII.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
}

impl<'a> Text<'a> {
    pub(crate) const EMPTY: Self = Self::new(&[], Encoding::Ascii);

    #[inline]
    pub(crate) const fn new(bytes: &'a [u8], encoding: Encoding) -> Self {
        Self { bytes, encoding }
    }

    /// Of bytes that were seen to be ASCII.
    #[inline]
    pub(crate) const fn ascii_from(bytes: &'a [u8]) -> Self {
        Self::new(bytes, Encoding::Ascii)
    }

    #[inline]
    pub(crate) fn encoding(self) -> Encoding {
        self.encoding
    }

    /// Bytes on the wire, without the length in front.
    #[inline]
    pub(crate) fn byte_len(self) -> usize {
        self.bytes.len()
    }

    /// The string. Borrowed when the wire bytes are UTF-8 already; what Rust strings cannot hold
    /// (unpaired surrogates) becomes U+FFFD. Overlong sequences decode as Java decodes them, so
    /// that a name means here what it means to the provider.
    #[inline]
    #[must_use]
    pub fn decode(self) -> Cow<'a, str> {
        if matches!(
            self.encoding,
            Encoding::Ascii | Encoding::Cesu8 | Encoding::Utf8
        ) && let Ok(text) = std::str::from_utf8(self.bytes)
        {
            return Cow::Borrowed(text);
        }
        Cow::Owned(self.decode_slow())
    }

    /// The bytes, if all are ASCII: enough for look-ups, without a look at each character.
    #[inline]
    #[must_use]
    pub fn ascii(self) -> Option<&'a [u8]> {
        (self.encoding == Encoding::Ascii).then_some(self.bytes)
    }

    /// Whether the string equals `other`.
    #[inline]
    #[must_use]
    pub fn is(self, other: &str) -> bool {
        if self.encoding == Encoding::Ascii {
            return self.bytes == other.as_bytes();
        }
        self.decode() == other
    }

    /// Whether the string has no characters.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bytes.is_empty() || (self.encoding == Encoding::Chunked && self.decode().is_empty())
    }

    #[cold]
    fn decode_slow(self) -> String {
        match self.encoding {
            Encoding::Ascii | Encoding::Utf8 => String::from_utf8_lossy(self.bytes).into_owned(),
            Encoding::Cesu8 => {
                let mut units = Vec::with_capacity(self.bytes.len());
                hessian2::push_units(self.bytes, &mut units);
                String::from_utf16_lossy(&units)
            }
            Encoding::Chunked => {
                let mut units = Vec::with_capacity(self.bytes.len());
                hessian2::push_chunked_units(self.bytes, &mut units);
                String::from_utf16_lossy(&units)
            }
            Encoding::Latin1 => self.bytes.iter().copied().map(char::from).collect(),
            Encoding::Utf16 => match self.bytes.split_first_chunk() {
                Some((&[0xff, 0xfe], rest)) => utf16(rest, u16::from_le_bytes),
                Some((&[0xfe, 0xff], rest)) => utf16(rest, u16::from_be_bytes),
                _ => utf16(self.bytes, u16::from_be_bytes),
            },
            Encoding::Utf16Le => utf16(self.bytes, u16::from_le_bytes),
            Encoding::Utf16Be => utf16(self.bytes, u16::from_be_bytes),
            Encoding::Opaque => self
                .bytes
                .iter()
                .map(|&byte| match byte {
                    0..=0x7f => char::from(byte),
                    _ => char::REPLACEMENT_CHARACTER,
                })
                .collect(),
        }
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.is(other)
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.is(other)
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, _odd) = bytes.as_chunks::<2>();
    char::decode_utf16(pairs.iter().map(|&pair| unit(pair)))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}
