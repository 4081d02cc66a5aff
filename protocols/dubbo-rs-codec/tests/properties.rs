//! What holds for all strings, numbers, maps and edits.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use dubbo_rs_codec::encode::{Call, write_request};
use dubbo_rs_codec::{
    AttachmentValue, BodyFormat, Edit, Frame, HEADER_LEN, Request, SpliceError, hessian2, jsonb,
    splice,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\\PC{0,80}",
        4 => any::<String>(),
        1 => ("[ -~é中😀]{1,3}", 10..30_000_usize).prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

fn int() -> impl Strategy<Value = i32> {
    let edge = prop::sample::select(vec![
        -0x4_0001, -0x4_0000, -0x801, -0x800, -17, -16, 47, 48, 0x7ff, 0x800, 0x3_ffff, 0x4_0000,
    ]);
    prop_oneof![any::<i32>(), edge, -3000..3000]
}

fn format() -> impl Strategy<Value = BodyFormat> {
    prop::sample::select(vec![BodyFormat::Hessian2, BodyFormat::Fastjson2])
}

/// An attachment before the edits: few keys, so that they meet; values of several types.
#[derive(Debug, Clone, PartialEq)]
enum Held {
    Text(String),
    Int(i32),
    Null,
    List,
}

fn held() -> impl Strategy<Value = Held> {
    prop_oneof![
        6 => "[a-z]{0,40}".prop_map(Held::Text),
        2 => "\\PC{0,10}".prop_map(Held::Text),
        1 => int().prop_map(Held::Int),
        1 => Just(Held::Null),
        1 => Just(Held::List),
    ]
}

fn entries() -> impl Strategy<Value = Vec<(String, Held)>> {
    vec(("[a-d]|é", held()), 0..8)
}

#[derive(Debug, Clone)]
enum Change {
    Set(String, String),
    Add(String, String),
    Remove(String),
}

impl Change {
    fn as_edit(&self) -> Edit<'_> {
        match self {
            Self::Set(key, value) => Edit::Set { key, value },
            Self::Add(key, value) => Edit::Add { key, value },
            Self::Remove(key) => Edit::Remove { key },
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let key = || "[a-e]|é";
    prop_oneof![
        (key(), "\\PC{0,40}").prop_map(|(key, value)| Change::Set(key, value)),
        (key(), "\\PC{0,40}").prop_map(|(key, value)| Change::Add(key, value)),
        key().prop_map(Change::Remove),
    ]
}

/// A request whose map holds `entries`, and bytes behind it that belong to nobody.
fn request(format: BodyFormat, entries: &[(String, Held)], trailing: &[u8]) -> Vec<u8> {
    let call = Call {
        path: "demo.Greeter",
        version: "",
        method: "hello",
        arguments: &["x"],
        attachments: &[],
    };
    let mut bytes = Vec::new();
    write_request(format, 7, true, &call, &mut bytes);
    let empty_map = match format {
        BodyFormat::Hessian2 => 2,
        BodyFormat::Fastjson2 => 6,
    };
    bytes.truncate(bytes.len() - empty_map);
    match format {
        BodyFormat::Hessian2 => write_hessian2(&mut bytes, entries),
        BodyFormat::Fastjson2 => jsonb::write_framed(&mut bytes, |out| write_jsonb(out, entries)),
    }
    bytes.extend_from_slice(trailing);
    let body_len = (bytes.len() - HEADER_LEN) as u32;
    bytes[12..16].copy_from_slice(&body_len.to_be_bytes());
    bytes
}

fn write_hessian2(out: &mut Vec<u8>, entries: &[(String, Held)]) {
    out.push(b'H');
    for (key, value) in entries {
        hessian2::write_string(out, key);
        match value {
            Held::Text(text) => hessian2::write_string(out, text),
            Held::Int(value) => hessian2::write_int(out, *value),
            Held::Null => hessian2::write_null(out),
            Held::List => out.extend_from_slice(b"\x57\x91NZ"),
        }
    }
    out.push(b'Z');
}

fn write_jsonb(out: &mut Vec<u8>, entries: &[(String, Held)]) {
    out.push(0xa6);
    for (key, value) in entries {
        jsonb::write_string(out, key);
        match value {
            Held::Text(text) => jsonb::write_string(out, text),
            Held::Int(value) => jsonb::write_int(out, *value),
            Held::Null => jsonb::write_null(out),
            Held::List => out.extend_from_slice(b"\x96\x01\xaf"),
        }
    }
    out.push(0xa5);
}

/// The map as Java would hold it.
fn read(bytes: &[u8]) -> BTreeMap<String, Held> {
    let (frame, rest) = Frame::split(bytes).unwrap().unwrap();
    assert!(rest.is_empty());
    let request = Request::parse(frame.header.serialization, frame.body).unwrap();
    let entries = request.attachments().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let value = match entry.value {
            AttachmentValue::Text(text) => Held::Text(text.decode().into_owned()),
            AttachmentValue::Int(value) => Held::Int(value),
            AttachmentValue::Null => Held::Null,
            AttachmentValue::Other(_) => Held::List,
            AttachmentValue::Long(value) => panic!("{value}"),
        };
        (entry.key.decode().into_owned(), value)
    });
    entries.collect()
}

fn apply(map: &mut BTreeMap<String, Held>, change: &Change) {
    match change {
        Change::Set(key, value) => {
            map.insert(key.clone(), Held::Text(value.clone()));
        }
        Change::Add(key, value) => {
            map.entry(key.clone())
                .or_insert_with(|| Held::Text(value.clone()));
        }
        Change::Remove(key) => {
            map.remove(key);
        }
    }
}

proptest! {
    #[test]
    fn hessian2_round_trips(text in text(), int in int()) {
        let mut bytes = Vec::new();
        hessian2::write_int(&mut bytes, int);
        hessian2::write_string(&mut bytes, &text);
        hessian2::write_null(&mut bytes);
        let mut reader = hessian2::Reader::new(&bytes);
        prop_assert_eq!(reader.int(), Ok(int));
        let read = reader.string().unwrap().unwrap();
        prop_assert!(read.is(&text));
        prop_assert_eq!(read.is_empty(), text.is_empty());
        prop_assert_eq!(read.decode(), text);
        prop_assert!(reader.string().unwrap().is_none());
        prop_assert!(reader.is_at_end());
    }

    #[test]
    fn jsonb_round_trips(text in text(), int in int()) {
        let mut bytes = Vec::new();
        jsonb::write_int(&mut bytes, int);
        jsonb::write_string(&mut bytes, &text);
        jsonb::write_null(&mut bytes);
        let mut reader = jsonb::Reader::new(&bytes);
        prop_assert_eq!(reader.int(), Ok(int));
        let read = reader.string().unwrap().unwrap();
        prop_assert!(read.is(&text));
        prop_assert_eq!(read.decode(), text);
        prop_assert!(reader.string().unwrap().is_none());
        prop_assert!(reader.is_at_end());
    }

    /// Spliced and read, a map is what the edits make of it one after another; what stands
    /// before and behind the map keeps its bytes.
    #[test]
    fn splicing_is_editing_the_map(
        format in format(),
        entries in entries(),
        changes in vec(change(), 0..6),
        trailing in prop::sample::select(vec![&b""[..], b"\x01?"]),
    ) {
        let bytes = request(format, &entries, trailing);
        let (frame, _) = Frame::split(&bytes).unwrap().unwrap();
        let edits: Vec<Edit<'_>> = changes.iter().map(Change::as_edit).collect();
        let mut out = Vec::new();
        if let Err(error) = splice(&frame.header, frame.body, &edits, &mut out) {
            let removes_other = entries.iter().any(|(key, value)| {
                !matches!(value, Held::Text(_))
                    && changes.iter().any(|change| matches!(change, Change::Remove(k) if k == key))
            });
            prop_assert_eq!(error, SpliceError::NotAString);
            prop_assert!(removes_other);
            prop_assert!(out.is_empty());
            return Ok(());
        }
        let mut expected = read(&bytes);
        for change in &changes {
            apply(&mut expected, change);
        }
        prop_assert_eq!(read(&out), expected);

        let mut request = Request::parse(frame.header.serialization, frame.body).unwrap();
        let before = HEADER_LEN + request.locate_attachments().unwrap();
        prop_assert_eq!(&out[HEADER_LEN..before], &bytes[HEADER_LEN..before]);
        prop_assert!(out.ends_with(trailing));
    }
}

/// Hostile nesting and lengths cost neither the stack nor more than linear time.
#[test]
fn hostile_values_are_refused_or_skipped_in_one_pass() {
    const LEN: usize = 4 << 20;
    for (fill, result) in [
        // Lists in lists, maps as keys, empty fixed lists without end.
        (0x57_u8, false),
        (b'H', false),
        (0x79, false),
        (0x90, true),
    ] {
        let bytes = vec![fill; LEN];
        let mut reader = hessian2::Reader::new(&bytes);
        assert_eq!(reader.skip().is_ok(), result, "{fill:#04x}");
    }
    // A list that claims 2^31-1 items, of which the bytes hold none.
    assert!(
        hessian2::Reader::new(b"\x58I\x7f\xff\xff\xff")
            .skip()
            .is_err()
    );
    // Class definitions are counted, not stored without bound.
    let definitions = b"C\x01a\x90".repeat(10_000);
    let refused = hessian2::Reader::new(&definitions).skip();
    assert_eq!(refused, Err(dubbo_rs_codec::ReadError::TooManyClasses));
}

#[test]
fn nesting_is_bounded_at_128() {
    for (depth, fits) in [(128, true), (129, false)] {
        let mut nested = vec![0x57; depth];
        nested.extend(vec![b'Z'; depth]);
        assert_eq!(hessian2::Reader::new(&nested).skip().is_ok(), fits);
        let mut nested = vec![0x95; depth];
        nested.push(0xaf);
        assert_eq!(jsonb::Reader::new(&nested).skip().is_ok(), fits);
    }
}
