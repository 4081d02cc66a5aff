//! Decoding of trees: each field is in force, known without effect, not yet in force, or a mistake.

use std::sync::Arc;

use meltemi_policy::words::one_of;

use super::Located;
use super::id::ObjectRef;
use super::shape::{Described, Shape, Takes};
use crate::diagnostic::{Code, Diagnostic, Place, Position, SourceFile};
use crate::yaml::{Entry, Node, Value};

/// What a field of a mapping means to us.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    /// Decoded and obeyed.
    InForce(&'static str),
    /// Has no meaning here, and its absence changes nothing for anybody.
    NoEffect(&'static str),
    /// Known, but does not act yet: said whenever it is used.
    NotYet(&'static str),
}

/// The fields that a mapping may have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    Names(&'static [Field]),
    Shape(&'static Shape),
    /// Those of Kubernetes' own kinds, of which there are more each year.
    Any,
}

impl From<&'static [Field]> for Known {
    fn from(names: &'static [Field]) -> Self {
        Self::Names(names)
    }
}

impl From<&'static Shape> for Known {
    fn from(shape: &'static Shape) -> Self {
        Self::Shape(shape)
    }
}

impl Known {
    fn all(self) -> Vec<Field> {
        match self {
            Self::Names(names) => names.to_vec(),
            Self::Shape(shape) => shape.fields.iter().map(|it| it.field).collect(),
            Self::Any => vec![],
        }
    }

    /// What to write instead of a name that is none here.
    fn instead(self, name: &str) -> Option<&'static str> {
        let Self::Shape(shape) = self else {
            return None;
        };
        let mut others = shape.instead.iter();
        others
            .find(|(other, _)| *other == name)
            .map(|(_, instead)| *instead)
    }

    fn described(self, name: &str) -> Option<&'static Described> {
        match self {
            Self::Names(_) | Self::Any => None,
            Self::Shape(shape) => shape.field(name),
        }
    }
}

impl Field {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::InForce(name) | Self::NoEffect(name) | Self::NotYet(name) => name,
        }
    }
}

/// Collects the findings of one object.
#[derive(Debug)]
pub(super) struct Decoder {
    pub(super) file: Arc<SourceFile>,
    pub(super) object: Option<ObjectRef>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Decoder {
    pub(super) fn new(file: Arc<SourceFile>) -> Self {
        Self {
            file,
            object: None,
            diagnostics: vec![],
        }
    }

    /// Reports a finding at a place of the object.
    pub(super) fn report(&mut self, at: Position, diagnostic: Diagnostic) {
        let diagnostic = diagnostic.at(Place::of(&self.file, at));
        self.diagnostics.push(match &self.object {
            Some(object) => diagnostic.of(object),
            None => diagnostic,
        });
    }

    pub(super) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    fn wrong_type(&mut self, path: &str, node: &Node, expected: &str) {
        let kind = match node.value {
            Value::Float(_) if expected == "a whole number" => "a fraction",
            _ => node.kind(),
        };
        let message = format!("`{path}` must be {expected}, not {kind}");
        let diagnostic = Diagnostic::error(Code::WrongType, message);
        let remedy = match (expected, &node.value) {
            ("a string", Value::Bool(_) | Value::Integer(_) | Value::Float(_)) => {
                "put the value in quotes"
            }
            ("a string", _) => "write a single text, as in `name: text`",
            ("a list", _) => "write it as a list: in brackets, or in lines that begin with `- `",
            ("a mapping", _) => "write it as a mapping: in lines of `name: value`",
            ("a string, a number or a boolean", _) => "write a single value",
            ("true or false", _) => "write `true` or `false`, without quotes",
            (_, Value::String(_)) => "write a number, without quotes",
            ("a whole number", Value::Float(_)) => "write a number without a fraction",
            _ => "write a number",
        };
        self.report(node.at, diagnostic.remedy(remedy));
    }

    /// The fields of a mapping. Absent and `null` are the same, as in Kubernetes.
    pub(super) fn fields<'n>(
        &mut self,
        path: &str,
        node: &'n Node,
        known: impl Into<Known>,
    ) -> Fields<'n> {
        let known = known.into();
        let mut entries: &[Entry] = &[];
        let mut is_mapping = true;
        match &node.value {
            Value::Map(map) => entries = map,
            Value::Null => {}
            _ => {
                is_mapping = false;
                self.wrong_type(path, node, "a mapping");
            }
        }
        let fields = Fields {
            path: path.to_owned(),
            at: node.at,
            entries,
            known,
            is_mapping,
        };
        if matches!(known, Known::Any) {
            return fields;
        }
        let known = known.all();
        for entry in entries.iter().filter(|e| e.value.value != Value::Null) {
            let name = fields.path_of(&entry.key);
            match known.iter().find(|f| f.name() == entry.key) {
                Some(Field::InForce(_) | Field::NoEffect(_)) => {}
                Some(Field::NotYet(_)) => self.not_yet(entry.at, &name),
                None => self.unknown_field(entry, &name, &fields),
            }
        }
        fields
    }

    /// Says that something is understood and does nothing.
    pub(super) fn not_yet(&mut self, at: Position, name: &str) {
        let message = format!("`{name}` is not in force yet: it is read and has no effect");
        self.report(at, Diagnostic::warning(Code::NotInForce, message));
    }

    fn unknown_field(&mut self, entry: &Entry, name: &str, fields: &Fields<'_>) {
        let unknown = |hint: &str| {
            let message = format!("unknown field `{name}`{hint}");
            Diagnostic::error(Code::UnknownField, message)
        };
        if let Some(instead) = fields.known.instead(&entry.key) {
            self.report(entry.at, unknown("").remedy(instead));
            return;
        }
        let mut listed: Vec<_> = fields.known.all().iter().map(|f| f.name()).collect();
        listed.sort_unstable();
        let near = nearest(&entry.key, listed.iter().copied());
        let hint = near.map(|near| format!("; did you mean `{near}`?"));
        let remedy = format!("the fields here are {}", listed.join(", "));
        self.report(entry.at, unknown(&hint.unwrap_or_default()).remedy(remedy));
    }

    pub(super) fn string(&mut self, path: &str, node: &Node) -> Option<Located<String>> {
        match &node.value {
            Value::String(s) => Some(Located {
                value: s.clone(),
                at: node.at,
            }),
            _ => {
                self.wrong_type(path, node, "a string");
                None
            }
        }
    }

    /// A string, a number or a boolean, as text.
    pub(super) fn scalar(&mut self, path: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.wrong_type(path, node, "a string, a number or a boolean");
                None
            }
        }
    }

    /// Says that a field does not take this word, and which ones it takes.
    pub(super) fn not_a_choice(&mut self, path: &str, word: &Located<String>, choices: &[&str]) {
        let near = nearest(&word.value, choices.iter().copied());
        let hint = near.map(|near| format!("; did you mean `{near}`?"));
        let hint = hint.unwrap_or_default();
        let message = format!("`{path}` does not take `{}`{hint}", word.value);
        let diagnostic = Diagnostic::error(Code::InvalidValue, message);
        let remedy = format!("it takes {}", one_of(choices));
        self.report(word.at, diagnostic.remedy(remedy));
    }

    pub(super) fn invalid(&mut self, at: Position, message: impl Into<String>, remedy: &str) {
        let diagnostic = Diagnostic::error(Code::InvalidValue, message);
        self.report(at, diagnostic.remedy(remedy));
    }
}

/// The fields of one mapping, with the path to it.
#[derive(Clone, Debug)]
pub(super) struct Fields<'n> {
    pub(super) path: String,
    pub(super) at: Position,
    pub(super) entries: &'n [Entry],
    pub(super) known: Known,
    /// Whether there can be fields at all.
    is_mapping: bool,
}

impl<'n> Fields<'n> {
    /// Entries of which nobody lists the names.
    pub(super) const fn free(path: String, at: Position, entries: &'n [Entry]) -> Self {
        Self {
            path,
            at,
            entries,
            known: Known::Names(&[]),
            is_mapping: true,
        }
    }

    /// Those of a node that may be anything; nothing is said of it.
    pub(super) fn of_any(node: &'n Node) -> Self {
        let entries: &[Entry] = match &node.value {
            Value::Map(entries) => entries,
            _ => &[],
        };
        Self::free(String::new(), node.at, entries)
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub(super) fn entry(&self, name: &str) -> Option<&'n Entry> {
        self.entries
            .iter()
            .find(|e| e.key == name && e.value.value != Value::Null)
    }

    pub(super) fn node(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|e| &e.value)
    }

    pub(super) fn string(&self, d: &mut Decoder, name: &str) -> Option<Located<String>> {
        d.string(&self.path_of(name), self.node(name)?)
    }

    /// A string that has to be there and not to be empty.
    pub(super) fn required(&self, d: &mut Decoder, name: &str) -> Option<Located<String>> {
        match self.node(name) {
            Some(node) => {
                let string = d.string(&self.path_of(name), node)?;
                if string.value.is_empty() {
                    let message = format!("`{}` is empty", self.path_of(name));
                    d.invalid(string.at, message, "give it a value");
                    return None;
                }
                Some(string)
            }
            None => {
                self.missing(d, name);
                None
            }
        }
    }

    pub(super) fn missing(&self, d: &mut Decoder, name: &str) {
        // Whoever wrote another name for it, or no mapping at all, was told that.
        let mut keys = self.entries.iter().map(|entry| &entry.key);
        if !self.is_mapping || keys.any(|key| self.known.instead(key).is_some()) {
            return;
        }
        let message = format!("`{}` is missing", self.path_of(name));
        let whole = match self.path.as_str() {
            "" => "the manifest".to_owned(),
            path => format!("`{path}`"),
        };
        let remedy = format!("add `{name}` to {whole}");
        d.report(
            self.at,
            Diagnostic::error(Code::MissingField, message).remedy(remedy),
        );
    }

    pub(super) fn boolean(&self, d: &mut Decoder, name: &str) -> Option<bool> {
        let node = self.node(name)?;
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                d.wrong_type(&self.path_of(name), node, "true or false");
                None
            }
        }
    }

    /// A whole number within bounds, both included.
    pub(super) fn integer(
        &self,
        d: &mut Decoder,
        name: &str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<Located<i64>> {
        let node = self.node(name)?;
        let Value::Integer(value) = node.value else {
            d.wrong_type(&self.path_of(name), node, "a whole number");
            return None;
        };
        if !bounds.contains(&value) {
            let (low, high) = (bounds.start(), bounds.end());
            let message = format!(
                "`{}` must be from {low} to {high}, not {value}",
                self.path_of(name)
            );
            d.invalid(node.at, message, "write a number within these bounds");
            return None;
        }
        Some(Located { value, at: node.at })
    }

    /// A whole number within the bounds that its shape states.
    pub(super) fn whole(&self, d: &mut Decoder, name: &str) -> Option<Located<i64>> {
        let described = self.known.described(name);
        let Some(&Takes::Integer { least, most }) = described.map(|it| &it.takes) else {
            debug_assert!(false, "no shape says that {name} is a whole number");
            return None;
        };
        self.integer(d, name, least..=most)
    }

    /// A whole number that may be zero.
    pub(super) fn natural(&self, d: &mut Decoder, name: &str) -> Option<u32> {
        let number = self.integer(d, name, 0..=u32::MAX.into())?;
        u32::try_from(number.value).ok()
    }

    /// A mapping with a `value` from 0 to 100, as Istio's and Aeraki's `Percent`.
    pub(super) fn percent(&self, d: &mut Decoder, name: &str) -> Option<f64> {
        let fields = d.fields(&self.path_of(name), self.node(name)?, &PERCENT);
        if fields.node("value").is_none() {
            fields.missing(d, "value");
        }
        fields.percentage(d, "value")
    }

    /// A number from 0 to 100.
    pub(super) fn percentage(&self, d: &mut Decoder, name: &str) -> Option<f64> {
        self.number(d, name, 0.0..=WHOLE)
    }

    pub(super) fn number(
        &self,
        d: &mut Decoder,
        name: &str,
        bounds: std::ops::RangeInclusive<f64>,
    ) -> Option<f64> {
        let node = self.node(name)?;
        let path = self.path_of(name);
        let value = match node.value {
            Value::Integer(value) => value as f64,
            Value::Float(value) => value,
            _ => {
                d.wrong_type(&path, node, "a number");
                return None;
            }
        };
        if !bounds.contains(&value) {
            let bounds = match (bounds.start(), bounds.end()) {
                (low, &f64::MAX) => format!("at least {low}"),
                (low, high) => format!("from {low} to {high}"),
            };
            let message = format!("`{path}` must be {bounds}, not {value}");
            d.invalid(node.at, message, "write a number within these bounds");
            return None;
        }
        Some(value)
    }

    pub(super) fn port(&self, d: &mut Decoder, name: &str) -> Option<Located<u16>> {
        let port = self.integer(d, name, 1..=65535)?;
        Some(Located {
            value: u16::try_from(port.value).ok()?,
            at: port.at,
        })
    }

    /// The items of a list; none where the field is absent.
    pub(super) fn list(&self, d: &mut Decoder, name: &str) -> &'n [Node] {
        let Some(node) = self.node(name) else {
            return &[];
        };
        match &node.value {
            Value::List(items) => items,
            _ => {
                d.wrong_type(&self.path_of(name), node, "a list");
                &[]
            }
        }
    }

    pub(super) fn strings(&self, d: &mut Decoder, name: &str) -> Vec<Located<String>> {
        let path = self.path_of(name);
        self.list(d, name)
            .iter()
            .filter_map(|node| d.string(&path, node))
            .collect()
    }

    /// The entries of a mapping whose keys are free; none where the field is absent.
    pub(super) fn map(&self, d: &mut Decoder, name: &str) -> &'n [Entry] {
        let Some(node) = self.node(name) else {
            return &[];
        };
        match &node.value {
            Value::Map(entries) => entries,
            _ => {
                d.wrong_type(&self.path_of(name), node, "a mapping");
                &[]
            }
        }
    }

    /// A mapping from strings to strings, such as labels.
    pub(super) fn string_map(
        &self,
        d: &mut Decoder,
        name: &str,
    ) -> std::collections::BTreeMap<String, String> {
        let path = self.path_of(name);
        let entries = self.map(d, name).iter();
        entries
            .filter_map(|e| {
                let value = d.string(&format!("{path}.{}", e.key), &e.value)?;
                Some((e.key.clone(), value.value))
            })
            .collect()
    }
}

/// All of something, in percent.
pub(super) const WHOLE: f64 = 100.0;

pub(super) static PERCENT: Shape = Shape {
    name: "Percent",
    meaning: "As in Istio and Aeraki.",
    given: "",
    instead: &[],
    fields: &[Described::new(
        "value",
        Takes::Number {
            least: 0.0,
            most: WHOLE,
        },
        "of 100",
    )
    .required()
    .example("value: 12.5")],
};

/// The candidate that somebody who wrote `typed` most likely meant.
pub(crate) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    // Short names have few letters to tell them apart: one slip in `db`, two in `method`.
    let allowed = if typed.chars().count() <= 3 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&typed, &c.to_lowercase()), c))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, c)| c)
}
