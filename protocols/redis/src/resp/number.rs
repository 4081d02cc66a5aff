//! Decimal numbers as Redis reads them (`string2ll` of its `util.c`).

/// A decimal number, as strict as Redis: no sign but one `-`, no leading zeros, no space, within
/// 64 bits.
#[must_use]
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, text),
    };
    if digits.first() == Some(&b'0') {
        return (text == b"0").then_some(0);
    }
    if digits.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    match negative {
        true => 0_i64.checked_sub_unsigned(value),
        false => i64::try_from(value).ok(),
    }
}

/// A line that is a type's byte and a number, if all of it is there: the number, and how many bytes
/// the line has.
pub(super) fn line(kind: u8, bytes: &[u8]) -> Option<(i64, usize)> {
    if let Some((value, end)) = short_line(kind, bytes, 0) {
        return Some((i64::try_from(value).ok()?, end));
    }
    let rest = bytes.strip_prefix(&[kind])?;
    let end = rest.iter().take(20).position(|byte| *byte == b'\r')?;
    let value = integer(rest.get(..end)?)?;
    (rest.get(end + 1) == Some(&b'\n')).then_some((value, end + 3))
}

/// A line at `at` that is a type's byte and a number of at most seven digits: the number, and where
/// what follows the line begins. `None`: it is not all there, or out of the ordinary.
#[inline(always)]
pub(super) fn short_line(kind: u8, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let digit = |byte: u8| Some(usize::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let (first, rest) = match bytes.get(at..)? {
        [found, first, rest @ ..] if *found == kind => (*first, rest),
        _ => return None,
    };
    match rest {
        [b'\r', b'\n', ..] => return Some((digit(first)?, at + 4)),
        [second, b'\r', b'\n', ..] if first != b'0' => {
            return Some((digit(first)? * 10 + digit(*second)?, at + 5));
        }
        _ => {}
    }
    let mut value = digit(first)?;
    for (index, byte) in rest.iter().take(7).enumerate() {
        if *byte == b'\r' {
            let ends = rest.get(index + 1) == Some(&b'\n');
            return ends.then_some((value, at + index + 4));
        }
        if first == b'0' {
            return None;
        }
        value = value * 10 + digit(*byte)?;
    }
    None
}

/// Appends `value` in decimal.
pub fn write(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut left = value;
    let mut length = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        length += 1;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

/// A number whose digits come one by one; the same that [`integer`] makes of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digits {
    text: [u8; 20],
    length: u8,
    too_long: bool,
}

impl Digits {
    pub(super) fn push(&mut self, byte: u8) {
        match self.text.get_mut(usize::from(self.length)) {
            Some(place) => {
                *place = byte;
                self.length += 1;
            }
            None => self.too_long = true,
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.length)
    }

    pub(super) fn value(&self) -> Option<i64> {
        let text = self.text.get(..usize::from(self.length))?;
        integer(text).filter(|_| !self.too_long)
    }

    /// Whether it is this one character.
    pub(super) fn is(&self, byte: u8) -> bool {
        self.length == 1 && self.text.first() == Some(&byte)
    }
}

#[cfg(test)]
mod tests {
    use super::{Digits, integer, short_line, write};

    #[test]
    fn numbers_are_as_strict_as_in_redis() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1x", None),
            ("123456789012345678901", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text:?}");
            let mut digits = Digits::default();
            text.bytes().for_each(|byte| digits.push(byte));
            assert_eq!(digits.value(), value, "{text:?}, digit by digit");
        }
    }

    #[test]
    fn short_lines_are_lines() {
        for text in [
            "$0\r\n",
            "$7\r\nx",
            "$1234567\r\n",
            "$64\r\n",
            "$00\r\n",
            "$01\r\n",
            "$-1\r\n",
            "$\r\n",
            "$6",
            "$64\r",
            "$64\rx",
            "$6x\r\n",
            "*6\r\n",
            "",
            "$12345678\r\n",
        ] {
            let behind = format!("ab{text}");
            let short = short_line(b'$', behind.as_bytes(), 2);
            let digits = text
                .strip_prefix('$')
                .and_then(|rest| rest.split_once("\r\n"));
            let whole = digits.and_then(|(digits, _)| {
                let value = integer(digits.as_bytes())?;
                Some((usize::try_from(value).ok()?, 2 + 1 + digits.len() + 2))
            });
            let within = whole.filter(|(value, _)| *value < 10_000_000);
            assert_eq!(short, within, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for value in [0, 9, 10, 123_456, u64::MAX] {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }
}
