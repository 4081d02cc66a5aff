//! Inline commands: a line of words, with the quotes of `sdssplitargs` (Redis' `sds.c`).

use std::borrow::Cow;

/// The words of a line. A word is `None` where its quotes do not close, or where a closing quote
/// is not the word's end; nothing follows it.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a [u8],
}

/// Splits a line, without its end.
#[must_use]
pub fn words(line: &[u8]) -> Words<'_> {
    Words { rest: line }
}

/// An inline request as an array; empty arrays of lines without words, `None` where quotes are
/// unbalanced.
#[must_use]
pub fn to_array(request: &[u8]) -> Option<Vec<u8>> {
    let end = memchr::memchr(b'\n', request).unwrap_or(request.len());
    let words: Vec<_> = words(request.get(..end)?).collect::<Option<_>>()?;
    let mut array = Vec::with_capacity(request.len() + 16);
    let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
    super::write::command(&words, &mut array);
    Some(array)
}

/// What C's `isspace` calls space, and NUL, which ends the line for Redis.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

impl<'a> Iterator for Words<'a> {
    type Item = Option<Cow<'a, [u8]>>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.rest.iter().position(|byte| !is_space(*byte))?;
        let line = self.rest.get(start..)?;
        if line.first() == Some(&0) {
            self.rest = &[];
            return None;
        }
        let end = line
            .iter()
            .position(|byte| is_space(*byte) || matches!(byte, 0 | b'"' | b'\''))
            .unwrap_or(line.len());
        if !matches!(line.get(end), Some(b'"' | b'\'')) {
            let (word, rest) = line.split_at(end);
            self.rest = rest;
            return Some(Some(Cow::Borrowed(word)));
        }
        let mut word = line.get(..end)?.to_vec();
        let taken = quoted(line, end, &mut word);
        self.rest = taken.and_then(|at| line.get(at..)).unwrap_or_default();
        Some(taken.map(|_| Cow::Owned(word)))
    }
}

/// Reads on from `at`, where the first quote is. Returns where the word ends.
fn quoted(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    let mut quote = None;
    loop {
        let byte = line.get(at).copied().filter(|byte| *byte != 0);
        at += 1;
        match (quote, byte) {
            (Some(_), None) => return None,
            (None, None) => return Some(at - 1),
            (None, Some(byte)) if is_space(byte) => return Some(at - 1),
            (None, Some(byte @ (b'"' | b'\''))) => quote = Some(byte),
            (Some(b'"'), Some(b'\\')) => at = escaped(line, at, word)?,
            (Some(b'\''), Some(b'\\')) if line.get(at) == Some(&b'\'') => {
                word.push(b'\'');
                at += 1;
            }
            (Some(open), Some(byte)) if open == byte => {
                let after = line.get(at).copied().filter(|byte| *byte != 0);
                return after.is_none_or(is_space).then_some(at);
            }
            (_, Some(byte)) => word.push(byte),
        }
    }
}

/// Reads what follows a backslash within double quotes.
fn escaped(line: &[u8], at: usize, word: &mut Vec<u8>) -> Option<usize> {
    let byte = *line.get(at).filter(|byte| **byte != 0)?;
    let hex = |n: usize| {
        let digit = char::from(*line.get(at + n)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    if let (b'x', Some(high), Some(low)) = (byte, hex(1), hex(2)) {
        word.push(high << 4 | low);
        return Some(at + 3);
    }
    word.push(match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    });
    Some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::words;

    fn split(line: &str) -> Option<Vec<String>> {
        words(line.as_bytes())
            .map(|word| word.map(|word| String::from_utf8(word.into_owned()).unwrap()))
            .collect()
    }

    #[test]
    fn lines_split_as_in_redis() {
        for (line, expected) in [
            ("", &[][..]),
            (" \t ", &[]),
            ("GET key", &["GET", "key"]),
            ("  SET  k\tv ", &["SET", "k", "v"]),
            (r#"SET inl "a b\x41\n""#, &["SET", "inl", "a bA\n"]),
            (
                r#"SET k "\t\r\b\a\q\"""#,
                &["SET", "k", "\t\r\u{8}\u{7}q\""],
            ),
            (r#"SET k "\xzz""#, &["SET", "k", "xzz"]),
            (r"SET k 'it\'s\n'", &["SET", "k", r"it's\n"]),
            (r#"pre"fix" x"#, &["prefix", "x"]),
            (r#""" ''"#, &["", ""]),
            ("a\0b", &["a"]),
        ] {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn quotes_have_to_close_at_the_end_of_a_word() {
        for line in [
            r#"SET a "open"#,
            "SET inl 'it''s'",
            r#"set """test-key""" test-value"#,
            r#"SET a "x\"#,
            r#"SET a "x"y"#,
            "SET a '",
        ] {
            assert_eq!(split(line), None, "{line}");
        }
    }
}
