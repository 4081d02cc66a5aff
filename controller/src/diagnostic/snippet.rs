//! The line that a finding is about, as far as it is worth showing.

use serde::{Serialize, Serializer};

/// Characters of a line that are shown at most.
const SHOWN: usize = 160;
/// How many of these stand before the place, where more is left out.
const BEFORE: usize = 60;

/// A part of a line, around a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    pub(super) text: String,
    /// Where the column of the line is in the text; from zero.
    pub(super) offset: usize,
}

/// As its text alone.
impl Serialize for Snippet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl Snippet {
    /// The line around a column (from one). What is left out is an ellipsis; characters that would
    /// move the cursor of a terminal are replaced.
    pub(super) fn new(line: &str, column: u32) -> Self {
        let column = column.saturating_sub(1) as usize;
        let length = line.chars().count();
        let is_whole = length <= SHOWN;
        let latest = length.saturating_sub(SHOWN);
        let start = if is_whole {
            0
        } else {
            column.saturating_sub(BEFORE).min(latest)
        };
        let visible = |c: char| match c {
            '\t' => c,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        let shown = line.chars().skip(start).take(SHOWN).map(visible);
        let before = (start > 0).then_some('…');
        let after = (start + SHOWN < length).then_some('…');
        Self {
            offset: column.saturating_sub(start) + usize::from(before.is_some()),
            text: before.into_iter().chain(shown).chain(after).collect(),
        }
    }

    /// The underline: tabs before it are kept, so that it stands under the text in any terminal.
    pub(super) fn underline(&self, width: u32) -> String {
        let before = self.text.chars().take(self.offset);
        let blank: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let length = self.text.chars().count();
        let rest = length.saturating_sub(self.offset).max(1);
        let carets = "^".repeat(rest.min(width.max(1) as usize));
        blank + &carets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_underline_never_leaves_its_line() {
        for (line, column, width, expected) in [
            ("abc", 3, 40, "  ^"),
            ("abc", 9, 2, "   ^"),
            ("", 1, 0, "^"),
            ("\tabc", 3, 2, "\t ^^"),
        ] {
            assert_eq!(Snippet::new(line, column).underline(width), expected);
        }
    }

    #[test]
    fn a_long_line_is_shown_around_its_place() {
        let line: String = (0..500).map(|i| format!("{i:04}-")).collect();
        for (number, before, after) in [(0, false, true), (250, true, true), (499, true, false)] {
            let snippet = Snippet::new(&line, number * 5 + 1);
            assert_eq!(snippet.text.starts_with('…'), before, "{snippet:?}");
            assert_eq!(snippet.text.ends_with('…'), after, "{snippet:?}");
            assert!(snippet.text.chars().count() <= SHOWN + 2);
            let at: String = snippet.text.chars().skip(snippet.offset).take(4).collect();
            assert_eq!(at, format!("{number:04}"));
            assert!(snippet.underline(4).ends_with(" ^^^^") || number == 0);
        }
    }

    #[test]
    fn a_line_does_not_move_the_cursor() {
        assert_eq!(
            Snippet::new("a\u{1b}[2J\u{7}", 1).text,
            "a\u{fffd}[2J\u{fffd}"
        );
    }
}
