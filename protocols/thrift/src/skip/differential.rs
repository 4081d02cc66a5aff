//! The skipper and the crate `thrift` take the same bytes for a struct, and neither panics.

use meltemi_codec::{Body, Limits};
use proptest::{collection::vec, prelude::*, sample::Index};
use thrift::{
    TConfiguration,
    protocol::{
        TBinaryInputProtocol, TBinaryOutputProtocol, TCompactInputProtocol, TCompactOutputProtocol,
        TFieldIdentifier, TInputProtocol, TListIdentifier, TMapIdentifier, TOutputProtocol,
        TSetIdentifier, TStructIdentifier, TType,
    },
};

use super::{DEPTH, Progress, Skipper};
use crate::{
    dialect::Encoding,
    stream::{Reach, Unframed},
};

const ENCODINGS: [Encoding; 2] = [Encoding::Binary, Encoding::Compact];

/// How many bytes the struct at the front has; `None` if none is there.
fn ours(encoding: Encoding, bytes: &[u8]) -> Option<usize> {
    let mut skipper = Skipper::default();
    skipper.begin(encoding, 0, bytes.len() as u64);
    let progress = skipper.advance(bytes);
    assert!(skipper.stack.capacity() <= 2 * DEPTH);
    match progress {
        Ok(Progress::Done(taken)) => Some(taken),
        Ok(Progress::More { taken, next, least }) => {
            assert!(next <= least);
            assert!(taken as u64 + next > bytes.len() as u64);
            None
        }
        Err(_) => None,
    }
}

fn theirs(encoding: Encoding, bytes: &[u8]) -> Option<usize> {
    let config = TConfiguration::builder()
        .max_frame_size(None)
        .max_message_size(None)
        .max_string_size(Some(bytes.len()))
        .build()
        .unwrap();
    let mut left = bytes;
    let skipped = match encoding {
        Encoding::Compact => {
            TCompactInputProtocol::with_config(&mut left, config).skip(TType::Struct)
        }
        _ => TBinaryInputProtocol::with_config(&mut left, true, config).skip(TType::Struct),
    };
    skipped.ok().map(|()| bytes.len() - left.len())
}

/// The same, in pieces of which each is passed on before the next is there.
fn in_pieces(encoding: Encoding, bytes: &[u8], piece: usize) -> Option<usize> {
    let limits = Limits {
        whole: 0,
        frame: bytes.len() as u64,
    };
    let mut unframed = Unframed::default();
    let mut pieces = bytes.chunks(piece);
    let first = pieces.next().unwrap_or_default();
    let mut taken = first.len();
    match unframed.reach(first, (encoding, 0), 0, limits).ok()? {
        Reach::Whole(len) => return Some(len),
        Reach::Short { .. } => panic!("nothing is kept"),
        Reach::Streamed => {}
    }
    for piece in pieces {
        match unframed.body(piece).ok()? {
            Body::End(n) => return Some(taken + n),
            Body::More(n) => assert_eq!(n, piece.len()),
        }
        taken += piece.len();
    }
    None
}

/// As it arrives: each call has the bytes of the one before and more.
fn as_it_arrives(encoding: Encoding, bytes: &[u8], piece: usize) -> Option<usize> {
    let limits = Limits {
        whole: bytes.len(),
        frame: bytes.len() as u64,
    };
    let mut unframed = Unframed::default();
    let mut there = piece;
    loop {
        there = there.min(bytes.len());
        match unframed.reach(bytes.get(..there)?, (encoding, 0), 0, limits) {
            Ok(Reach::Whole(len)) => return Some(len),
            Ok(Reach::Short { need }) if there < bytes.len() => {
                assert!(need > there && need <= bytes.len());
                there = need.max(there + piece);
            }
            _ => return None,
        }
    }
}

fn agree(bytes: &[u8], piece: usize) -> Result<(), TestCaseError> {
    for encoding in ENCODINGS {
        let found = ours(encoding, bytes);
        prop_assert_eq!(found, theirs(encoding, bytes), "{:?}", encoding);
        prop_assert_eq!(found, in_pieces(encoding, bytes, piece), "in pieces");
        prop_assert_eq!(
            found,
            as_it_arrives(encoding, bytes, piece),
            "as it arrives"
        );
    }
    Ok(())
}

/// A value as a generated program would write it.
#[derive(Clone, Debug)]
enum Value {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(f64),
    Uuid([u8; 16]),
    Text(Vec<u8>),
    Struct(Vec<(i16, Self)>),
    /// Elements like the first one.
    List(Vec<Self>),
    Set(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

impl Value {
    fn kind(&self) -> TType {
        match self {
            Self::Bool(_) => TType::Bool,
            Self::I8(_) => TType::I08,
            Self::I16(_) => TType::I16,
            Self::I32(_) => TType::I32,
            Self::I64(_) => TType::I64,
            Self::Double(_) => TType::Double,
            Self::Uuid(_) => TType::Uuid,
            Self::Text(_) => TType::String,
            Self::Struct(_) => TType::Struct,
            Self::List(_) => TType::List,
            Self::Set(_) => TType::Set,
            Self::Map(_) => TType::Map,
        }
    }

    fn write(&self, out: &mut dyn TOutputProtocol) -> thrift::Result<()> {
        match self {
            Self::Bool(it) => out.write_bool(*it),
            Self::I8(it) => out.write_i8(*it),
            Self::I16(it) => out.write_i16(*it),
            Self::I32(it) => out.write_i32(*it),
            Self::I64(it) => out.write_i64(*it),
            Self::Double(it) => out.write_double(*it),
            Self::Text(it) => out.write_bytes(it),
            Self::Uuid(it) => it.iter().try_for_each(|byte| out.write_byte(*byte)),
            Self::Struct(fields) => {
                out.write_struct_begin(&TStructIdentifier::new("it"))?;
                for (id, value) in fields {
                    out.write_field_begin(&TFieldIdentifier::new("it", value.kind(), *id))?;
                    value.write(out)?;
                    out.write_field_end()?;
                }
                out.write_field_stop()?;
                out.write_struct_end()
            }
            Self::List(all) => {
                let kind = all.first().map_or(TType::I32, Self::kind);
                out.write_list_begin(&TListIdentifier::new(kind, count(all.len())))?;
                all.iter().try_for_each(|it| it.write(out))?;
                out.write_list_end()
            }
            Self::Set(all) => {
                let kind = all.first().map_or(TType::Bool, Self::kind);
                out.write_set_begin(&TSetIdentifier::new(kind, count(all.len())))?;
                all.iter().try_for_each(|it| it.write(out))?;
                out.write_set_end()
            }
            Self::Map(all) => {
                let first = all.first();
                let key = first.map_or(TType::I08, |(key, _)| key.kind());
                let value = first.map_or(TType::Struct, |(_, value)| value.kind());
                out.write_map_begin(&TMapIdentifier::new(key, value, count(all.len())))?;
                for (key, value) in all {
                    key.write(out)?;
                    value.write(out)?;
                }
                out.write_map_end()
            }
        }
    }
}

fn count(len: usize) -> i32 {
    i32::try_from(len).unwrap()
}

fn bytes(encoding: Encoding, value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    match encoding {
        Encoding::Compact => value.write(&mut TCompactOutputProtocol::new(&mut bytes)),
        _ => value.write(&mut TBinaryOutputProtocol::new(&mut bytes, true)),
    }
    .unwrap();
    bytes
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<i16>().prop_map(Value::I16),
        any::<i32>().prop_map(Value::I32),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_map(Value::Double),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        vec(any::<u8>(), 0..40).prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let same = |all: Vec<Value>| {
            let kind = all.first().map(Value::kind);
            all.into_iter()
                .filter(move |it| Some(it.kind()) == kind)
                .collect()
        };
        let pairs = |all: Vec<(Value, Value)>| {
            let kinds = all.first().map(|(key, value)| (key.kind(), value.kind()));
            all.into_iter()
                .filter(move |(key, value)| Some((key.kind(), value.kind())) == kinds)
                .collect()
        };
        prop_oneof![
            // The crate's writer overflows where ids lie further apart.
            vec((-100_i16..20_000, inner.clone()), 0..6).prop_map(Value::Struct),
            vec(inner.clone(), 0..20).prop_map(move |all| Value::List(same(all))),
            vec(inner.clone(), 0..6).prop_map(move |all| Value::Set(same(all))),
            vec((inner.clone(), inner), 0..6).prop_map(move |all| Value::Map(pairs(all))),
        ]
    })
}

fn message() -> impl Strategy<Value = Value> {
    vec((1_i16..40, value()), 0..6).prop_map(Value::Struct)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..200), piece in 1_usize..40) {
        agree(&bytes, piece)?;
    }

    /// Bytes that are mostly types, so that containers open.
    #[test]
    fn bytes_that_nest(bytes in vec(0_u8..17, 0..200), piece in 1_usize..40) {
        agree(&bytes, piece)?;
    }

    #[test]
    fn messages(value in message(), rest in vec(any::<u8>(), 0..4), piece in 1_usize..40) {
        for encoding in ENCODINGS {
            let mut bytes = bytes(encoding, &value);
            let len = bytes.len();
            prop_assert_eq!(ours(encoding, &bytes), Some(len));
            bytes.extend_from_slice(&rest);
            prop_assert_eq!(in_pieces(encoding, &bytes, piece), Some(len));
            agree(&bytes, piece)?;
        }
    }

    #[test]
    fn mutated_messages(
        value in message(),
        changes in vec((any::<Index>(), any::<u8>()), 1..5),
        piece in 1_usize..40,
    ) {
        for encoding in ENCODINGS {
            let mut bytes = bytes(encoding, &value);
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                if let Some(place) = bytes.get_mut(at) {
                    *place = *byte;
                }
            }
            agree(&bytes, piece)?;
        }
    }
}

/// Lists within lists, `depth` containers with the struct around them.
fn nested(encoding: Encoding, depth: usize) -> Vec<u8> {
    let mut value = Value::List(vec![]);
    for _ in 2..depth {
        value = Value::List(vec![value]);
    }
    bytes(encoding, &Value::Struct(vec![(1, value)]))
}

#[test]
fn the_deepest_nesting_is_apache_s() {
    for encoding in ENCODINGS {
        for depth in 60..70 {
            let bytes = nested(encoding, depth);
            let found = ours(encoding, &bytes);
            assert_eq!(found.is_some(), depth <= 64, "{encoding:?} {depth}");
            assert_eq!(found, theirs(encoding, &bytes), "{encoding:?} {depth}");
            // A list of scalars is as deep as one of containers.
            let mut full = bytes;
            let at = full.len() - 2;
            let (at, one): (_, &[u8]) = match encoding {
                Encoding::Compact => (at..=at, &[0x13, 7]),
                _ => (at - 4..=at, &[3, 0, 0, 0, 1, 7]),
            };
            full.splice(at, one.iter().copied());
            assert_eq!(ours(encoding, &full), theirs(encoding, &full), "{depth}");
        }
    }
}

/// A count that the message cannot hold is refused before anything is waited for.
#[test]
fn a_count_is_held_against_what_the_message_may_still_have() {
    let bombs: [(Encoding, &[u8]); 6] = [
        (Encoding::Binary, &[15, 0, 1, 2, 0x7f, 0xff, 0xff, 0xff]),
        (Encoding::Binary, &[15, 0, 1, 12, 0x7f, 0xff, 0xff, 0xff]),
        (
            Encoding::Binary,
            &[13, 0, 1, 11, 12, 0x7f, 0xff, 0xff, 0xff],
        ),
        (Encoding::Binary, &[11, 0, 1, 0x7f, 0xff, 0xff, 0xff]),
        (
            Encoding::Compact,
            &[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07],
        ),
        (Encoding::Compact, &[0x18, 0xff, 0xff, 0xff, 0xff, 0x07]),
    ];
    for (encoding, bomb) in bombs {
        let mut skipper = Skipper::default();
        skipper.begin(encoding, 20, 16_384_000);
        let refused = skipper.advance(bomb);
        assert_eq!(refused, Err("the message is larger than the frame limit"));
        assert!(skipper.stack.capacity() <= 2 * DEPTH);
    }
}
