//! Where the fields of an object stand that was never text: findings on it name the field instead of a line.
//!
//! For each field there is a line, which says where that of its parent begins and what the field is called there. A
//! position is where a line begins, and has no column.

use super::Position;

/// The lines of one object, which take the place of its file's text.
#[cfg(feature = "kubernetes")]
#[derive(Debug, Default)]
pub(crate) struct FieldPlaces(String);

#[cfg(feature = "kubernetes")]
impl FieldPlaces {
    /// The place of a field; `parent` is that of the mapping that it stands in.
    pub(crate) fn field(&mut self, parent: Position, name: &str) -> Position {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
        match !name.is_empty() && name.chars().all(is_plain) {
            true => self.add(parent, format_args!(".{name}")),
            false => self.add(parent, format_args!("[{name:?}]")),
        }
    }

    /// The place of an item; `parent` is that of its list.
    pub(crate) fn item(&mut self, parent: Position, number: usize) -> Position {
        self.add(parent, format_args!("[{number}]"))
    }

    fn add(&mut self, parent: Position, step: std::fmt::Arguments<'_>) -> Position {
        use std::fmt::Write as _;
        // The first line begins at 1: 0 is no place.
        let line = u32::try_from(self.0.len() + 1).unwrap_or_default();
        // A string takes whatever is written.
        let _ = writeln!(self.0, "{} {step}", parent.line);
        Position {
            line,
            column: 0,
            width: 0,
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// The field at a place, from the object's root on; none where it is the place of none.
pub(super) fn path(text: &str, at: Position) -> Option<String> {
    let mut steps = vec![];
    let mut line = at.line;
    while let Some(start) = line.checked_sub(1) {
        let rest = text.get(start as usize..)?;
        let (parent, step) = rest.lines().next()?.split_once(' ')?;
        steps.push(step);
        // A parent stands before its fields: this ends.
        line = parent.parse().ok().filter(|&parent| parent < line)?;
    }
    steps.reverse();
    let path = steps.concat();
    let path = path.strip_prefix('.').unwrap_or(&path);
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(all(test, feature = "kubernetes"))]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path() {
        let mut places = FieldPlaces::default();
        let root = Position::default();
        let spec = places.field(root, "spec");
        let routes = places.field(spec, "routes");
        let second = places.item(routes, 1);
        let plain = places.field(second, "x-key");
        let odd = places.field(second, "a.b\n1 .c");
        let none = places.field(second, "");
        let text = places.into_text();
        let rows = [
            (spec, Some("spec")),
            (second, Some("spec.routes[1]")),
            (plain, Some("spec.routes[1].x-key")),
            (odd, Some("spec.routes[1][\"a.b\\n1 .c\"]")),
            (none, Some("spec.routes[1][\"\"]")),
            (root, None),
        ];
        for (at, expected) in rows {
            assert_eq!(path(&text, at).as_deref(), expected);
        }
        for line in 0..100 {
            // Whatever it is given, it ends.
            path(&text, Position { line, ..root });
        }
    }
}
