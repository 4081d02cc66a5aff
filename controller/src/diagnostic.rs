//! What is wrong with a manifest, where, and what to do about it; as text and as JSON.

use std::fmt;

use serde::Serialize;

use crate::manifest::ObjectRef;

mod code;
mod field;
mod remedy;
mod snippet;

pub use code::Code;
#[cfg(feature = "kubernetes")]
pub(crate) use field::FieldPlaces;
use snippet::Snippet;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is refused; its last good version, if there is one, stays in force.
    Error,
    /// The object is accepted, but a part of it has no effect, or not the one that was meant.
    Warning,
}

/// Where a piece of text stands in its file. Lines and columns count from one, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    pub line: u32,
    pub column: u32,
    /// Characters to underline, at least one.
    pub width: u32,
}

/// A manifest file as it was read: its name for people, and its text for snippets.
#[derive(PartialEq, Eq)]
pub struct SourceFile {
    pub name: String,
    pub text: String,
}

/// Without the text, which may hold secrets.
impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.text.len())
    }
}

impl SourceFile {
    /// The line with this number (from one), without its line end.
    #[must_use]
    pub fn line(&self, number: u32) -> Option<&str> {
        self.text.lines().nth(number.checked_sub(1)? as usize)
    }
}

/// A place in a file, with the line that stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: String,
    /// Zero where the whole file is meant; without a column it only tells which comes first.
    pub line: u32,
    pub column: u32,
    #[serde(skip)]
    width: u32,
    /// The offending line; a long one around the column.
    snippet: Option<Snippet>,
}

impl Place {
    /// The place of `position` in `file`; one without a column is that of a field of an object that was never text.
    #[must_use]
    pub fn of(file: &SourceFile, position: Position) -> Self {
        if position.column == 0 {
            let field = field::path(&file.text, position);
            return Self {
                line: position.line,
                snippet: field.map(|field| Snippet::new(&field, 0)),
                ..Self::file(file.name.clone())
            };
        }
        Self {
            file: file.name.clone(),
            line: position.line,
            column: position.column,
            width: position.width.max(1),
            snippet: file
                .line(position.line)
                .map(|line| Snippet::new(line, position.column)),
        }
    }

    /// A file, or a path that could not be read, as a whole.
    #[must_use]
    pub fn file(name: impl Into<String>) -> Self {
        Self {
            file: name.into(),
            line: 0,
            column: 0,
            width: 0,
            snippet: None,
        }
    }

    /// The field that it is, where it is one of an object that was never text.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn field(&self) -> Option<&str> {
        let snippet = self.snippet.as_ref().filter(|_| self.column == 0);
        snippet.map(|snippet| snippet.text.as_str())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.column == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    pub message: String,
    #[serde(flatten)]
    pub place: Option<Place>,
    /// The object that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Other places that belong to the finding, with what stands there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// A second place of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    pub message: String,
    #[serde(flatten)]
    pub place: Place,
}

impl Diagnostic {
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message.into())
    }

    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message.into())
    }

    fn new(severity: Severity, code: Code, message: String) -> Self {
        Self {
            severity,
            code,
            message,
            place: None,
            object: None,
            remedy: None,
            related: vec![],
        }
    }

    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    #[must_use]
    pub fn of(mut self, object: &ObjectRef) -> Self {
        self.object = Some(object.clone());
        self
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// With the remedy of its kind, where it has none of its own.
    #[must_use]
    pub(crate) fn or_general_remedy(mut self) -> Self {
        let general = self.code.remedy();
        self.remedy.get_or_insert_with(|| general.to_owned());
        self
    }

    #[must_use]
    pub fn related(mut self, message: impl Into<String>, place: Place) -> Self {
        self.related.push(Related {
            message: message.into(),
            place,
        });
        self
    }

    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The order of a report: by file, line and column; a whole path before its lines.
    pub(crate) fn sort_key(&self) -> (&str, u32, u32, Severity, Code, &str) {
        let (file, line, column) = self
            .place
            .as_ref()
            .map_or(("", 0, 0), |p| (p.file.as_str(), p.line, p.column));
        (file, line, column, self.severity, self.code, &self.message)
    }
}

/// Rendered as the Rust compiler renders its own findings: people know how to read that.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.code, self.message)?;
        let gutter = self.gutter();
        if let Some(place) = &self.place {
            write_place(f, gutter, "-->", place)?;
        }
        for related in &self.related {
            write_place(f, gutter, ":::", &related.place)?;
            write!(f, " {}", related.message)?;
        }
        if let Some(object) = &self.object {
            write!(f, "\n{:gutter$} = in: {object}", "")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n{:gutter$} = help: {remedy}", "")?;
        }
        Ok(())
    }
}

impl Diagnostic {
    /// The width of the widest line number, so that the bars stand under each other.
    fn gutter(&self) -> usize {
        let places = self
            .place
            .iter()
            .chain(self.related.iter().map(|r| &r.place));
        let lines = places.filter(|p| p.column > 0).map(|p| p.line.max(1));
        lines
            .map(|line| line.ilog10() as usize + 1)
            .max()
            .unwrap_or(1)
    }
}

fn write_place(
    f: &mut fmt::Formatter<'_>,
    gutter: usize,
    arrow: &str,
    place: &Place,
) -> fmt::Result {
    write!(f, "\n{:gutter$}{arrow} {place}", "")?;
    let Some(snippet) = &place.snippet else {
        return Ok(());
    };
    if place.column == 0 {
        return write!(f, "\n{:gutter$} | {}", "", snippet.text);
    }
    let (text, carets) = (&snippet.text, snippet.underline(place.width));
    write!(
        f,
        "\n{:gutter$} |\n{:gutter$} | {text}\n{:gutter$} | {carets}",
        "", place.line, ""
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Kind;

    fn file() -> SourceFile {
        SourceFile {
            name: "a.yaml".into(),
            text: "spec:\n\thöst: x\n".into(),
        }
    }

    #[test]
    fn an_error_renders_with_its_line_underlined() {
        let at = Place::of(
            &file(),
            Position {
                line: 2,
                column: 2,
                width: 4,
            },
        );
        let text = Diagnostic::error(Code::UnknownField, "unknown field `höst`")
            .at(at)
            .of(&ObjectRef::new(Kind::MetaRouter, "default", "demo"))
            .remedy("remove it")
            .to_string();
        assert_eq!(
            text,
            "error[UnknownField]: unknown field `höst`\n \
             --> a.yaml:2:2\n  |\n2 | \thöst: x\n  | \t^^^^\n  \
             = in: MetaRouter default/demo\n  = help: remove it"
        );
    }

    #[test]
    fn json_carries_what_an_editor_needs() {
        let at = Place::of(
            &file(),
            Position {
                line: 1,
                column: 1,
                width: 4,
            },
        );
        let json = serde_json::to_value(Diagnostic::warning(Code::NotInForce, "m").at(at)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "severity": "warning", "code": "NotInForce", "message": "m",
                "file": "a.yaml", "line": 1, "column": 1, "snippet": "spec:",
            })
        );
    }
}
