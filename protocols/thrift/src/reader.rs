//! Reads what a message is made of from bytes that may not be all there.

/// Why a reader stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The bytes end before this many, counted from the first.
    Short(usize),
    /// They can never be right.
    Bad(&'static str),
}

/// A place in some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// How many bytes lie before it.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes that follow.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Cut> {
        let end = self.at.saturating_add(n);
        let taken = self.bytes.get(self.at..end).ok_or(Cut::Short(end))?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Cut> {
        let at = self.at;
        let taken = self.take(N)?;
        <[u8; N]>::try_from(taken).map_err(|_| Cut::Short(at.saturating_add(N)))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Cut> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Cut> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Cut> {
        self.array().map(u32::from_be_bytes)
    }

    /// A length of four bytes, which is signed on the wire.
    pub(crate) fn length(&mut self) -> Result<u32, Cut> {
        let length = self.u32()?;
        match i32::try_from(length) {
            Ok(_) => Ok(length),
            Err(_) => Err(Cut::Bad("a length is negative")),
        }
    }

    /// A varint of at most five bytes. Bits above the 32nd are dropped, as Thrift's readers do.
    pub(crate) fn varint(&mut self) -> Result<u32, Cut> {
        self.bits(5).map(|bits| bits as u32)
    }

    /// A varint of at most `longest` bytes.
    pub(crate) fn bits(&mut self, longest: u32) -> Result<u64, Cut> {
        let mut value = 0;
        for n in 0..longest {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << (7 * n);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Cut::Bad("a varint is too long"))
    }
}

/// Appends a varint.
pub(crate) fn write_varint(mut value: u32, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_says_how_much_it_needs() {
        let mut reader = Reader::new(&[0, 0, 0, 1, 0x80], 0);
        assert_eq!(reader.length(), Ok(1));
        assert_eq!(reader.varint(), Err(Cut::Short(6)));
        assert_eq!(Reader::new(&[1, 2], 1).u32(), Err(Cut::Short(5)));
        assert_eq!(
            Reader::new(&[0xff; 4], 0).length(),
            Err(Cut::Bad("a length is negative"))
        );
    }

    #[test]
    fn varints_are_read_as_written() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u32::MAX] {
            let mut out = Vec::new();
            write_varint(value, &mut out);
            assert_eq!(Reader::new(&out, 0).varint(), Ok(value));
        }
        assert!(matches!(
            Reader::new(&[0xff; 6], 0).varint(),
            Err(Cut::Bad(_))
        ));
    }
}
