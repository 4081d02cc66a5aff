//! Bytes around a place, as a person reads them.

use std::fmt;

/// Bytes in a row.
const ROW: usize = 16;

/// Some rows of bytes, with a mark under one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// Where the first row begins.
    start: usize,
    bytes: Vec<u8>,
    /// The marked byte, counted from `start`; the end where it is behind the last.
    mark: usize,
    /// How many bytes there are in all.
    len: usize,
}

impl Excerpt {
    /// The row of byte `at`, one before it and one after it.
    pub(super) fn of(bytes: &[u8], at: usize) -> Self {
        let at = at.min(bytes.len());
        let start = (at / ROW).saturating_sub(1) * ROW;
        let end = bytes.len().min((at / ROW + 2) * ROW);
        Self {
            start,
            bytes: bytes.get(start..end).unwrap_or_default().to_vec(),
            mark: at - start,
            len: bytes.len(),
        }
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, number: usize, row: &[u8]) -> fmt::Result {
        let first = number * ROW;
        write!(f, "    {:06x} ", self.start + first)?;
        for n in 0..ROW {
            match row.get(n) {
                Some(byte) => write!(f, " {byte:02x}")?,
                None => write!(f, "   ")?,
            }
        }
        let text = row.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        writeln!(f, "  {}", text.collect::<String>())?;
        if (first..first + ROW).contains(&self.mark) {
            let column = self.mark - first;
            let what = if self.start + self.mark < self.len {
                format!("byte {} of {}", self.start + self.mark, self.len)
            } else {
                "the end".to_owned()
            };
            writeln!(f, "           {}^^ {what}", "   ".repeat(column) + " ")?;
        }
        Ok(())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, row) in self.bytes.chunks(ROW).enumerate() {
            self.row(f, number, row)?;
        }
        // A mark behind a full last row, or of no bytes at all.
        if self.mark == self.bytes.len() && self.mark.is_multiple_of(ROW) {
            writeln!(f, "    {:06x}  the end", self.start + self.mark)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_under_its_byte() {
        let shown = Excerpt::of(b"GET a zone=b deadline=20\n", 12).to_string();
        assert_eq!(
            shown,
            "    000000  47 45 54 20 61 20 7a 6f 6e 65 3d 62 20 64 65 61  GET a zone=b dea\n\
             \u{20}                                               ^^ byte 12 of 25\n\
             \u{20}   000010  64 6c 69 6e 65 3d 32 30 0a                       dline=20.\n"
        );
    }

    #[test]
    fn only_what_is_near_is_shown() {
        let shown = Excerpt::of(&[b'x'; 1000], 500).to_string();
        assert_eq!(shown.lines().count(), 4);
        assert!(shown.contains("byte 500 of 1000"), "{shown}");
        let shown = Excerpt::of(&[b'x'; 32], 32).to_string();
        assert!(shown.ends_with("    000020  the end\n"), "{shown}");
        assert_eq!(Excerpt::of(b"", 0).to_string(), "    000000  the end\n");
    }
}
