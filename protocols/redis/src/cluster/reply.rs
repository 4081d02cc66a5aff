//! Replies, as far as merging and topology have to read them: one value at a time, nothing copied.

/// A whole reply of RESP2 or RESP3, without attributes that precede it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply<'a> {
    /// All of its bytes.
    pub(crate) raw: &'a [u8],
    /// Its first byte, the type.
    pub(crate) tag: u8,
    /// The line or bulk without its frame; of an aggregate the bytes of its elements.
    pub(crate) payload: &'a [u8],
    /// How many replies the payload holds: two for each entry of a map.
    pub(crate) count: usize,
    null: bool,
}

impl<'a> Reply<'a> {
    /// The reply at the front of `bytes`, and what follows it. `None` where they are no whole one.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = Head::read(bytes)?;
        if head.tag == b'|' {
            let attributes = end_of(rest, head.count)?;
            return Self::read(rest.get(attributes..)?);
        }
        let body = match head.bulk {
            Some(len) => len,
            None => end_of(rest, head.count)?,
        };
        let payload = match (head.bulk, is_aggregate(head.tag)) {
            (None, false) => head.line,
            _ => rest.get(..body)?,
        };
        let framed = body + if head.bulk.is_some() { CRLF } else { 0 };
        let len = bytes.len() - rest.len() + framed;
        let reply = Self {
            raw: bytes.get(..len)?,
            tag: head.tag,
            payload,
            count: head.count,
            null: head.null,
        };
        Some((reply, bytes.get(len..)?))
    }

    /// The reply that `bytes` are.
    pub(crate) fn whole(bytes: &'a [u8]) -> Option<Self> {
        Self::read(bytes).map(|(reply, _)| reply)
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self.tag, b'-' | b'!')
    }

    /// Null in either protocol.
    pub(crate) fn is_null(&self) -> bool {
        self.null
    }

    pub(crate) fn is_aggregate(&self) -> bool {
        is_aggregate(self.tag) && !self.null
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        let number = matches!(self.tag, b':' | b'$' | b'+');
        number.then(|| str::from_utf8(self.payload).ok()?.parse().ok())?
    }

    /// The bytes of a line or bulk.
    pub(crate) fn text(&self) -> Option<&'a [u8]> {
        let text = matches!(self.tag, b'+' | b'$' | b':');
        (text && !self.null).then_some(self.payload)
    }

    /// The elements of an aggregate, keys and values alternating in a map; of others none.
    pub(crate) fn elements(&self) -> Elements<'a> {
        Elements {
            rest: self.payload,
            left: self.count,
        }
    }

    /// The value of a map's entry: of a RESP3 map or of the flat array that RESP2 has instead.
    pub(crate) fn field(&self, name: &[u8]) -> Option<Self> {
        let mut elements = self.elements();
        while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
            if key.text() == Some(name) {
                return Some(value);
            }
        }
        None
    }
}

/// See [`Reply::elements`].
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Reply<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (reply, rest) = Reply::read(self.rest)?;
        self.rest = rest;
        Some(reply)
    }
}

/// The first line of a value.
struct Head<'a> {
    tag: u8,
    line: &'a [u8],
    /// Length of the bulk that follows.
    bulk: Option<usize>,
    /// Values that follow.
    count: usize,
    null: bool,
}

impl<'a> Head<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let end = bytes.windows(CRLF).position(|pair| pair == b"\r\n")?;
        let (tag, line) = bytes.get(..end)?.split_first()?;
        let mut head = Self {
            tag: *tag,
            line,
            bulk: None,
            count: 0,
            null: *tag == b'_',
        };
        let length = || str::from_utf8(line).ok()?.parse::<i64>().ok();
        match tag {
            b'$' | b'!' | b'=' | b'*' | b'~' | b'%' | b'>' | b'|' => match length()? {
                -1 => head.null = true,
                len => {
                    let len = usize::try_from(len).ok()?;
                    match tag {
                        b'$' | b'!' | b'=' => head.bulk = Some(len),
                        b'%' | b'|' => head.count = len.checked_mul(2)?,
                        _ => head.count = len,
                    }
                }
            },
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
            _ => return None,
        }
        Some((head, bytes.get(end + CRLF..)?))
    }
}

/// Bytes of the first `count` values of `bytes`.
fn end_of(bytes: &[u8], count: usize) -> Option<usize> {
    let mut rest = bytes;
    let mut left = count;
    while left > 0 {
        let (head, after) = Head::read(rest)?;
        let attribute = usize::from(head.tag == b'|');
        left = (left - 1).checked_add(head.count)?.checked_add(attribute)?;
        rest = match head.bulk {
            Some(len) => after.get(len.checked_add(CRLF)?..)?,
            None => after,
        };
    }
    Some(bytes.len() - rest.len())
}

fn is_aggregate(tag: u8) -> bool {
    matches!(tag, b'*' | b'~' | b'%' | b'>')
}

const CRLF: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_with_their_ends() {
        let cases: &[(&[u8], u8, &[u8], usize)] = &[
            (b"+OK\r\n", b'+', b"OK", 0),
            (b"$5\r\na\r\nbc\r\n", b'$', b"a\r\nbc", 0),
            (b"$0\r\n\r\n", b'$', b"", 0),
            (b"*0\r\n", b'*', b"", 0),
            (
                b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
                b'*',
                b"$1\r\na\r\n*1\r\n:1\r\n",
                2,
            ),
            (b"%1\r\n+a\r\n_\r\n", b'%', b"+a\r\n_\r\n", 2),
            (b"|1\r\n+ttl\r\n:3\r\n:7\r\n", b':', b"7", 0),
            (
                b"*1\r\n|1\r\n+ttl\r\n:3\r\n:7\r\n",
                b'*',
                b"|1\r\n+ttl\r\n:3\r\n:7\r\n",
                1,
            ),
        ];
        for (bytes, tag, payload, count) in cases {
            let followed = [bytes, b"+x\r\n".as_slice()].concat();
            let (reply, rest) = Reply::read(&followed).unwrap();
            assert_eq!(
                (reply.tag, reply.payload, reply.count),
                (*tag, *payload, *count)
            );
            assert_eq!(rest, b"+x\r\n");
            for cut in 0..bytes.len() {
                assert_eq!(Reply::whole(&bytes[..cut]), None, "{cut} bytes");
            }
        }
    }

    #[test]
    fn nulls_errors_and_numbers() {
        for null in ["$-1\r\n", "*-1\r\n", "_\r\n"] {
            let reply = Reply::whole(null.as_bytes()).unwrap();
            assert!(reply.is_null() && !reply.is_aggregate() && reply.text().is_none());
        }
        assert!(Reply::whole(b"-ERR x\r\n").unwrap().is_error());
        assert!(Reply::whole(b"!5\r\nERR x\r\n").unwrap().is_error());
        assert_eq!(Reply::whole(b":-3\r\n").unwrap().integer(), Some(-3));
        assert_eq!(Reply::whole(b"*1\r\n:1\r\n").unwrap().integer(), None);
    }

    #[test]
    fn fields_are_found_in_maps_and_flat_arrays() {
        for head in ["%2", "*4"] {
            let bytes = format!("{head}\r\n+a\r\n:1\r\n$1\r\nb\r\n:2\r\n");
            let reply = Reply::whole(bytes.as_bytes()).unwrap();
            assert_eq!(reply.field(b"b").and_then(|it| it.integer()), Some(2));
            assert_eq!(reply.field(b"c"), None);
        }
    }

    #[test]
    fn hostile_lengths_are_no_replies() {
        for bytes in [
            "$99999999999999999999\r\n",
            "$9223372036854775807\r\nx",
            "*-2\r\n",
            "?\r\n",
        ] {
            assert_eq!(Reply::whole(bytes.as_bytes()), None, "{bytes}");
        }
        assert_eq!(Reply::whole(b"*9223372036854775807\r\n"), None);
        assert_eq!(Reply::whole(b"%9223372036854775807\r\n"), None);
    }
}
