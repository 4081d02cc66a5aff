//! YAML (and JSON, its subset) into trees that know where each value stands.
//!
//! Only this module sees the YAML crate. Manifests are decoded from trees rather than straight into
//! structs, so that one run reports every mistake of an object, each at its own place.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Options, Spanned, budget, options};

use crate::diagnostic::{Code, Position};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Position,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value; keys are unique within a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) value: Node,
}

/// Why a document is not a tree.
#[derive(Debug, PartialEq)]
pub(crate) struct SyntaxError {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) remedy: Option<&'static str>,
    pub(crate) at: Position,
}

/// Parses each document of a stream by itself, so that a broken one does not take the others down.
/// Documents without content are left out.
pub(crate) fn parse_stream(text: &str) -> Vec<Result<Node, SyntaxError>> {
    documents(text)
        .filter(|document| !document.is_prefix())
        .filter_map(|document| match parse(document) {
            Ok(Node {
                value: Value::Null, ..
            }) => None,
            other => Some(other),
        })
        .collect()
}

struct Document<'a> {
    text: &'a str,
    /// Lines of the file before this document.
    line_offset: u32,
}

impl Document<'_> {
    /// Whether there is nothing but comments and directives (`%YAML 1.2`), which may come before
    /// the first `---`.
    fn is_prefix(&self) -> bool {
        self.text
            .lines()
            .all(|l| l.trim().is_empty() || l.starts_with(['#', '%']))
    }
}

/// Splits at `---` and `...`: at the start of a line both end a document wherever they stand, even
/// within a block scalar (YAML 1.2, 9.1.2).
fn documents(text: &str) -> impl Iterator<Item = Document<'_>> {
    let mut starts = vec![(0, 0)];
    let mut offset = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if let Some(content) = marker(line) {
            starts.push((offset + content, number as u32));
        }
        offset += line.len();
    }
    let ends: Vec<usize> = starts
        .iter()
        .skip(1)
        .map(|s| s.0)
        .chain([text.len()])
        .collect();
    starts
        .into_iter()
        .zip(ends)
        .map(move |((start, line_offset), end)| {
            let document = &text[start..end];
            // The marker that begins the next document is not part of this one.
            let document = match document.rfind('\n') {
                Some(i) if end < text.len() || marker(&document[i + 1..]).is_some() => {
                    &document[..=i]
                }
                _ => document,
            };
            Document {
                text: document,
                line_offset,
            }
        })
}

/// The length of the document marker that the line starts with.
fn marker(line: &str) -> Option<usize> {
    let rest = line
        .strip_prefix("---")
        .or_else(|| line.strip_prefix("..."))?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(3)
}

fn parse(document: Document<'_>) -> Result<Node, SyntaxError> {
    match serde_saphyr::from_str_with_options::<Tree>(document.text, limits()) {
        Ok(Tree(mut node)) => {
            node.move_down(document.line_offset);
            Ok(node)
        }
        Err(error) => Err(syntax_error(&error, document.line_offset)),
    }
}

/// Far above what any manifest needs, far below what hurts: each level of depth costs tens of
/// kilobytes of stack.
fn limits() -> Options {
    options! {
        budget: budget! {
            max_depth: 24,
            max_nodes: 200_000,
            max_aliases: 10_000,
        },
        // YAML 1.2: an attribute's value `no` or `y` is text.
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        leading_zero_numbers_as_strings: true,
    }
}

impl Node {
    fn move_down(&mut self, lines: u32) {
        self.move_into(|at| Position {
            line: at.line + lines,
            ..at
        });
    }

    /// Gives it and all in it the places that these are in a text around it.
    pub(crate) fn move_into(&mut self, place: impl Fn(Position) -> Position + Copy) {
        self.at = place(self.at);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|n| n.move_into(place)),
            Value::Map(entries) => {
                for entry in entries {
                    entry.at = place(entry.at);
                    entry.value.move_into(place);
                }
            }
            _ => {}
        }
    }

    /// What it is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

fn position(location: Location) -> Position {
    let bounded = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Position {
        line: bounded(location.line()),
        column: bounded(location.column()),
        width: bounded(location.span().len()).max(1),
    }
}

fn syntax_error(error: &serde_saphyr::Error, line_offset: u32) -> SyntaxError {
    let at = error.location().map(position).unwrap_or_default();
    let at = Position {
        line: at.line.max(1) + line_offset,
        column: at.column.max(1),
        width: 1,
    };
    let mut cause = error.without_snippet();
    while let serde_saphyr::Error::AliasError { error, .. } = cause {
        cause = error.without_snippet();
    }
    let (code, message, remedy) = explain(cause);
    SyntaxError {
        code,
        message,
        remedy,
        at,
    }
}

fn explain(cause: &serde_saphyr::Error) -> (Code, String, Option<&'static str>) {
    use serde_saphyr::Error as E;
    match cause {
        E::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            let message = format!("the key `{key}` stands twice in one mapping");
            (Code::DuplicateKey, message, Some("remove one of the two"))
        }
        E::Budget { .. }
        | E::AliasReplayLimitExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. } => (
            Code::TooLarge,
            "the document is too large, too deep, or its aliases multiply beyond reason".into(),
            Some("split it into several files, and write repeated parts out"),
        ),
        E::UnknownAnchor { .. } => (
            Code::InvalidYaml,
            "an unquoted `*` refers to an anchor, and there is no such anchor".into(),
            Some("put the value in quotes"),
        ),
        other => {
            let text = other.to_string();
            let message = text.split(" at line ").next().unwrap_or(&text);
            if message.contains("recursive references") {
                let message = "an alias stands for a value that it is itself a part of".to_owned();
                let remedy = "write the value out where the alias (`*name`) stands";
                return (Code::InvalidYaml, message, Some(remedy));
            }
            let message = message.to_owned();
            let remedy = remedies()
                .into_iter()
                .find(|(part, _)| message.contains(part));
            (Code::InvalidYaml, message, remedy.map(|(_, remedy)| remedy))
        }
    }
}

/// What to do about the parser's own complaints, by a part of their text. A text that changes costs
/// its remedy and nothing else.
const fn remedies() -> [(&'static str, &'static str); 7] {
    [
        ("unclosed quote", "close the quote that begins here"),
        ("the number is too large", "put it in quotes if it is text"),
        ("non-finite float", "write a number"),
        ("tabs", "indent with spaces, not with tabs"),
        (
            "anchor or alias",
            "put a value that begins with `*` or `&` in quotes",
        ),
        (
            "illegal placement of ':'",
            "look before it for a `[` or `{` that is not closed",
        ),
        (
            "mapping values are not allowed",
            "put a value that has a `: ` in it in quotes",
        ),
    ]
}

/// The border with the YAML crate: deserializes anything into a [`Node`].
struct Tree(Node);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned {
            value: Untyped(value),
            referenced,
            ..
        } = Spanned::<Untyped>::deserialize(deserializer)?;
        Ok(Self(Node {
            value,
            at: position(referenced),
        }))
    }
}

struct Untyped(Value);

impl<'de> Deserialize<'de> for Untyped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value)
            .map(Value::Integer)
            .map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = vec![];
        while let Some(Tree(node)) = access.next_element()? {
            items.push(node);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries: Vec<Entry> = vec![];
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let Tree(value) = access.next_value()?;
            if key.value == "<<" {
                return Err(A::Error::custom("a merge key that merges nothing"));
            }
            entries.push(Entry {
                key: key.value,
                at: position(key.referenced),
                value,
            });
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests;
