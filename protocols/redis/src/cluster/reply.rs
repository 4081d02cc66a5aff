//! What merging and topology ask of replies.

use crate::resp::{Elements, Reply};

impl<'a> Reply<'a> {
    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// A number, also as text: a script's answer, a field of RESP2.
    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => crate::resp::number::integer(self.text()?),
        }
    }

    /// The elements of any aggregate, keys and values in turn where it is a map.
    pub(crate) fn elements(&self) -> Option<Elements<'a>> {
        match self {
            Self::Array(all) | Self::Map(all) | Self::Set(all) | Self::Push(all) => {
                Some(all.clone())
            }
            _ => None,
        }
    }

    /// The elements as replies; of what is no aggregate none.
    pub(crate) fn items(&self) -> impl Iterator<Item = Reply<'a>> {
        let elements = self.elements().into_iter().flatten();
        elements.map_while(Reply::parse)
    }

    /// The value of an entry of a map, or of the flat array that RESP2 has instead.
    pub(crate) fn field(&self, name: &[u8]) -> Option<Self> {
        let mut items = self.items();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            if key.text() == Some(name) {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::resp::Reply;

    #[test]
    fn fields_are_found_in_maps_and_flat_arrays() {
        for head in ["%2", "*4"] {
            let bytes = format!("{head}\r\n+a\r\n:1\r\n$1\r\nb\r\n$1\r\n2\r\n");
            let reply = Reply::parse(bytes.as_bytes()).unwrap();
            assert_eq!(reply.field(b"b").and_then(|it| it.number()), Some(2));
            assert!(reply.field(b"c").is_none());
        }
    }
}
