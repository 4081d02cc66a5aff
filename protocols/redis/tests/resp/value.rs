//! Replies as a tree, written and read in the simplest way that there is.

use meltemi_redis::resp::Reply;
use proptest::{collection::vec, prelude::*};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(String),
    Error(String),
    BulkError(Vec<u8>),
    Integer(i64),
    Null,
    NullBulk,
    NullArray,
    Boolean(bool),
    Double(String),
    BigNumber(String),
    Bulk(Vec<u8>),
    /// In parts of this many bytes.
    StreamedBulk(Vec<u8>, usize),
    Verbatim(Vec<u8>),
    Array(Vec<Self>),
    StreamedArray(Vec<Self>),
    Set(Vec<Self>),
    Push(Vec<Self>),
    Map(Vec<(Self, Self)>),
    StreamedMap(Vec<(Self, Self)>),
    Attributed(Vec<(Self, Self)>, Box<Self>),
}

pub fn value() -> impl Strategy<Value = Value> {
    let line = "[ -~]{0,20}";
    let text = vec(any::<u8>(), 0..30);
    let leaf = prop_oneof![
        line.prop_map(Value::Simple),
        line.prop_map(Value::Error),
        text.clone().prop_map(Value::BulkError),
        any::<i64>().prop_map(Value::Integer),
        Just(Value::Null),
        Just(Value::NullBulk),
        Just(Value::NullArray),
        any::<bool>().prop_map(Value::Boolean),
        prop::sample::select(vec!["1.5", "inf", "-inf", "nan", "-0", "1e100"])
            .prop_map(|text| Value::Double(text.into())),
        "-?[1-9][0-9]{0,40}".prop_map(Value::BigNumber),
        text.clone().prop_map(Value::Bulk),
        (text.clone(), 1..10_usize).prop_map(|(text, part)| Value::StreamedBulk(text, part)),
        text.prop_map(|text| Value::Verbatim([b"txt:", &text[..]].concat())),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let many = vec(inner.clone(), 0..5);
        let pairs = vec((inner.clone(), inner.clone()), 0..4);
        prop_oneof![
            many.clone().prop_map(Value::Array),
            many.clone().prop_map(Value::StreamedArray),
            many.clone().prop_map(Value::Set),
            // One that counts: some do not.
            many.prop_map(|it| Value::Push([vec![Value::Bulk(b"subscribe".into())], it].concat())),
            pairs.clone().prop_map(Value::Map),
            pairs.clone().prop_map(Value::StreamedMap),
            (pairs, inner).prop_map(|(pairs, value)| Value::Attributed(pairs, Box::new(value))),
        ]
    })
}

fn text(kind: char, text: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("{kind}{}\r\n", text.len()).into_bytes());
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn line(kind: char, text: &str, out: &mut Vec<u8>) {
    out.extend(format!("{kind}{text}\r\n").into_bytes());
}

fn all<'a>(values: impl IntoIterator<Item = &'a Value>, out: &mut Vec<u8>) {
    values.into_iter().for_each(|value| value.write(out));
}

fn flat(pairs: &[(Value, Value)]) -> impl Iterator<Item = &Value> {
    pairs.iter().flat_map(|(key, value)| [key, value])
}

impl Value {
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(it) => line('+', it, out),
            Self::Error(it) => line('-', it, out),
            Self::BulkError(it) => text('!', it, out),
            Self::Integer(it) => line(':', &it.to_string(), out),
            Self::Null => line('_', "", out),
            Self::NullBulk => line('$', "-1", out),
            Self::NullArray => line('*', "-1", out),
            Self::Boolean(it) => line('#', if *it { "t" } else { "f" }, out),
            Self::Double(it) => line(',', it, out),
            Self::BigNumber(it) => line('(', it, out),
            Self::Bulk(it) => text('$', it, out),
            Self::StreamedBulk(it, part) => {
                line('$', "?", out);
                it.chunks(*part).for_each(|part| text(';', part, out));
                line(';', "0", out);
            }
            Self::Verbatim(it) => text('=', it, out),
            Self::Array(it) => self.many('*', it, out),
            Self::Set(it) => self.many('~', it, out),
            Self::Push(it) => self.many('>', it, out),
            Self::StreamedArray(it) => {
                line('*', "?", out);
                all(it, out);
                line('.', "", out);
            }
            Self::Map(it) => {
                line('%', &it.len().to_string(), out);
                all(flat(it), out);
            }
            Self::StreamedMap(it) => {
                line('%', "?", out);
                all(flat(it), out);
                line('.', "", out);
            }
            Self::Attributed(it, value) => {
                line('|', &it.len().to_string(), out);
                all(flat(it), out);
                value.write(out);
            }
        }
    }

    fn many(&self, kind: char, values: &[Self], out: &mut Vec<u8>) {
        line(kind, &values.len().to_string(), out);
        all(values, out);
    }

    /// What is left of it for who does not look at attributes, nor at how it was written.
    pub fn plain(&self) -> Self {
        let many = |values: &[Self]| values.iter().map(Self::plain).collect();
        let pairs = |pairs: &[(Self, Self)]| {
            pairs
                .iter()
                .map(|(key, value)| (key.plain(), value.plain()))
                .collect()
        };
        match self {
            Self::NullBulk | Self::NullArray => Self::Null,
            Self::Error(it) => Self::BulkError(it.clone().into_bytes()),
            Self::StreamedBulk(it, _) => Self::Bulk(it.clone()),
            Self::Array(it) | Self::StreamedArray(it) => Self::Array(many(it)),
            Self::Set(it) => Self::Set(many(it)),
            Self::Push(it) => Self::Push(many(it)),
            Self::Map(it) | Self::StreamedMap(it) => Self::Map(pairs(it)),
            Self::Attributed(_, value) => value.plain(),
            other => other.clone(),
        }
    }
}

/// A reply as a tree.
pub fn seen(reply: Reply<'_>) -> Value {
    let string = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
    let many = |elements: meltemi_redis::resp::Elements<'_>| -> Vec<Value> {
        elements
            .map(|element| seen(Reply::parse(element).unwrap()))
            .collect()
    };
    match reply {
        Reply::Simple(it) => Value::Simple(string(it)),
        Reply::Error(it) => Value::BulkError(it.to_vec()),
        Reply::Integer(it) => Value::Integer(it),
        Reply::Null => Value::Null,
        Reply::Boolean(it) => Value::Boolean(it),
        Reply::Double(it) => Value::Double(string(it)),
        Reply::BigNumber(it) => Value::BigNumber(string(it)),
        Reply::Bulk(it) => Value::Bulk(it.into_owned()),
        Reply::Verbatim(it) => Value::Verbatim(it.to_vec()),
        Reply::Array(it) => Value::Array(many(it)),
        Reply::Set(it) => Value::Set(many(it)),
        Reply::Push(it) => Value::Push(many(it)),
        Reply::Map(it) => {
            let flat = many(it);
            let pairs = flat
                .chunks(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()));
            Value::Map(pairs.collect())
        }
    }
}
