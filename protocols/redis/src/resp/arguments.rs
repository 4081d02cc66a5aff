//! The arguments of a request that is there, or of its head.

use std::{borrow::Cow, cell::Cell, ops::Range};

use memchr::memchr;

use super::{inline, number};

/// The arguments of a request, the command's name among them as the first.
///
/// Arguments that are read one after the other cost one pass.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    bytes: &'a [u8],
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Array {
        count: usize,
        first: usize,
        /// The argument that was looked at last, if any.
        reached: Cell<Option<Reached>>,
    },
    Inline {
        count: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct Reached {
    index: usize,
    /// Where it begins, and where its text does and ends.
    at: usize,
    start: usize,
    end: usize,
}

impl<'a> Arguments<'a> {
    /// Reads a request from its first byte. `bytes` may be its head: arguments that it does not
    /// hold as a whole are not found. What follows the request is not looked at.
    ///
    /// `None` where it has no arguments: it asks for nothing (`*0`), is no request, or its quotes
    /// are unbalanced.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let form = match bytes.split_first()? {
            (b'*', rest) => {
                let short = number::short_line(b'*', bytes, 0);
                let (count, first) = match short {
                    Some(short) => short,
                    None => {
                        let end = memchr(b'\r', rest)?;
                        let count = number::integer(rest.get(..end)?)?;
                        (usize::try_from(count).ok()?, end + 3)
                    }
                };
                Form::Array {
                    count,
                    first,
                    reached: Cell::new(None),
                }
            }
            _ => {
                let mut count = 0;
                for word in inline::words(line(bytes)) {
                    word?;
                    count += 1;
                }
                Form::Inline { count }
            }
        };
        Some(Self { bytes, form }).filter(|arguments| arguments.len() > 0)
    }

    /// How many there are, all of the request's.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is always a first one")]
    pub fn len(&self) -> usize {
        match self.form {
            Form::Array { count, .. } | Form::Inline { count } => count,
        }
    }

    /// Whether it is a line of words, of which the arguments are made by removing quotes.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        matches!(self.form, Form::Inline { .. })
    }

    /// The `n`th argument; the command's name is number 0.
    #[must_use]
    pub fn get(&self, n: usize) -> Option<Cow<'a, [u8]>> {
        match self.form {
            Form::Array { .. } => {
                let bytes = self.bytes;
                bytes.get(self.span(n)?).map(Cow::Borrowed)
            }
            Form::Inline { .. } => inline::words(line(self.bytes)).nth(n).flatten(),
        }
    }

    /// The `n`th argument of an array; `None` in an inline request.
    #[must_use]
    pub fn text(&self, n: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes;
        bytes.get(self.span(n)?)
    }

    /// Where the `n`th argument lies in the request, its length and line ends not counted; `None`
    /// in an inline request too.
    #[must_use]
    pub fn span(&self, n: usize) -> Option<Range<usize>> {
        let found = self.walk(n)?;
        Some(found.start..found.end)
    }

    /// The `n`th argument, from where the last walk came to.
    fn walk(&self, n: usize) -> Option<Reached> {
        let Form::Array {
            count,
            first,
            reached,
        } = &self.form
        else {
            return None;
        };
        if n >= *count {
            return None;
        }
        let mut here = reached.get().filter(|reached| reached.index <= n);
        loop {
            let (index, at) = match here {
                Some(here) if here.index == n => {
                    reached.set(Some(here));
                    return (here.end <= self.bytes.len()).then_some(here);
                }
                Some(here) => (here.index + 1, here.end + 2),
                None => (0, *first),
            };
            let Range { start, end } = self.text_at(at)?;
            here = Some(Reached {
                index,
                at,
                start,
                end,
            });
        }
    }

    /// Where the `n`th argument begins and ends with its length and line ends.
    #[must_use]
    pub fn element(&self, n: usize) -> Option<Range<usize>> {
        let found = self.walk(n)?;
        Some(found.at..found.end + 2)
    }

    /// All of them, from number `n` on, as far as the bytes go.
    pub fn from(&self, n: usize) -> impl Iterator<Item = Cow<'a, [u8]>> + '_ {
        let mut words = self
            .is_inline()
            .then(|| inline::words(line(self.bytes)).flatten().skip(n));
        let mut next = n;
        std::iter::from_fn(move || match &mut words {
            Some(words) => words.next(),
            None => {
                let found = self.get(next);
                next += 1;
                found
            }
        })
    }

    /// Where the text of the argument that begins at `at` lies, whether it is there or not.
    fn text_at(&self, at: usize) -> Option<Range<usize>> {
        if let Some((length, start)) = number::short_line(b'$', self.bytes, at) {
            return Some(start..start + length);
        }
        let rest = self.bytes.get(at..)?.strip_prefix(b"$")?;
        let end = memchr(b'\r', rest)?;
        let length = usize::try_from(number::integer(rest.get(..end)?)?).ok()?;
        let start = at + end + 3;
        Some(start..start.checked_add(length)?)
    }
}

/// An inline request without its end.
fn line(bytes: &[u8]) -> &[u8] {
    let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::Arguments;

    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\n";

    fn all(arguments: &Arguments<'_>) -> Vec<Vec<u8>> {
        arguments
            .from(0)
            .map(std::borrow::Cow::into_owned)
            .collect()
    }

    #[test]
    fn both_forms_have_the_same_arguments() {
        let array = Arguments::new(SET).unwrap();
        let inline = Arguments::new(b"SET k \"a\\r\\nbc\"\r\nGET x\r\n").unwrap();
        for arguments in [&array, &inline] {
            assert_eq!(arguments.len(), 3);
            assert_eq!(all(arguments), [&b"SET"[..], b"k", b"a\r\nbc"]);
            assert_eq!(arguments.get(2).as_deref(), Some(&b"a\r\nbc"[..]));
            assert_eq!(arguments.get(1).as_deref(), Some(&b"k"[..]));
            assert_eq!(arguments.get(0).as_deref(), Some(&b"SET"[..]));
            assert_eq!(arguments.get(3), None);
        }
        assert!(inline.is_inline() && inline.span(1).is_none());
        assert_eq!(array.span(1), Some(17..18));
        assert_eq!(array.element(1), Some(13..20));
        assert_eq!(&SET[array.element(2).unwrap()], b"$5\r\na\r\nbc\r\n");
    }

    #[test]
    fn a_head_has_the_arguments_that_it_holds() {
        for (cut, found) in [(4, 0), (11, 1), (17, 1), (18, 2), (28, 2), (29, 3)] {
            let arguments = Arguments::new(&SET[..cut.min(SET.len())]).unwrap();
            assert_eq!(
                (arguments.len(), all(&arguments).len()),
                (3, found),
                "{cut}"
            );
        }
    }

    #[test]
    fn what_asks_for_nothing_has_no_arguments() {
        for bytes in [
            &b"*0\r\n"[..],
            b"*-1\r\n",
            b"\r\n",
            b" \n",
            b"*",
            b"",
            b"'a\n",
        ] {
            assert!(Arguments::new(bytes).is_none(), "{bytes:?}");
        }
    }
}
