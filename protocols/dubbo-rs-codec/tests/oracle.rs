//! Hessian 2 against an independent implementation, hessian.js, in both directions.
//!
//! Needs Node and `npm ci` in `tests/oracle`; without them the tests say so and pass, or fail if
//! `MELTEMI_REQUIRE_PEERS=1`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use dubbo_rs_codec::hessian2::{Reader, write_int, write_null, write_string, write_string_map};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};

const SEQUENCES: usize = 500;

/// A value as the oracle is told to encode it.
#[derive(Debug, Clone)]
enum Value {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Date(i64),
    Text(String),
    Bytes(Vec<u8>),
    List(Option<&'static str>, Vec<Self>),
    Map(Option<&'static str>, Vec<(String, Self)>),
    /// Of a class that is named after its number of fields.
    Object(Vec<Self>),
}

impl Value {
    fn to_json(&self) -> Json {
        let all = |values: &[Self]| values.iter().map(Self::to_json).collect::<Vec<_>>();
        match self {
            Self::Null => json!({"t": "null"}),
            Self::Bool(v) => json!({"t": "bool", "v": v}),
            Self::Int(v) => json!({"t": "int", "v": v}),
            Self::Long(v) => json!({"t": "long", "v": v.to_string()}),
            Self::Double(v) => json!({"t": "double", "v": v}),
            Self::Date(v) => json!({"t": "date", "v": v}),
            Self::Text(v) => json!({"t": "text", "v": v}),
            Self::Bytes(v) => {
                let hex: String = v.iter().map(|byte| format!("{byte:02x}")).collect();
                json!({"t": "bytes", "v": hex})
            }
            Self::List(name, v) => json!({"t": "list", "type": name, "v": all(v)}),
            Self::Map(name, v) => {
                let pairs: Vec<_> = v
                    .iter()
                    .map(|(key, value)| json!([{"t": "text", "v": key}, value.to_json()]))
                    .collect();
                json!({"t": "map", "type": name, "v": pairs})
            }
            Self::Object(v) => {
                json!({"t": "object", "type": format!("demo.C{}", v.len()), "v": all(v)})
            }
        }
    }

    /// Reads what can be read and skips the rest.
    fn check(&self, reader: &mut Reader<'_>) {
        let mut skipped = reader.clone();
        skipped.skip().unwrap();
        match self {
            Self::Null => assert!(reader.string().unwrap().is_none()),
            Self::Bool(v) => assert_eq!(reader.boolean(), Ok(*v)),
            Self::Int(v) => assert_eq!(reader.int(), Ok(*v)),
            Self::Long(v) => assert_eq!(reader.long(), Ok(*v)),
            Self::Double(v) => {
                let read = reader.double().unwrap();
                assert!((read - v).abs() <= v.abs() * 1e-15, "{read} is not {v}");
            }
            Self::Text(v) => {
                let text = reader.string().unwrap().unwrap();
                assert!(text.is(v), "{:?}", text.decode());
                assert_eq!(text.decode(), v.as_str());
            }
            Self::Map(_, entries) => {
                assert!(reader.map().unwrap());
                for (key, value) in entries {
                    assert!(reader.string().unwrap().unwrap().is(key));
                    value.check(reader);
                }
                assert!(reader.end());
            }
            Self::Date(_) | Self::Bytes(_) | Self::List(..) | Self::Object(_) => {
                reader.skip().unwrap();
            }
        }
        assert_eq!(reader.position(), skipped.position());
    }
}

fn short_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,40}", "\\PC{0,40}"]
}

/// Long enough for every form of length, and for several chunks.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => short_text(),
        1 => ("[ -~é中😀]{1,3}", 300..40_000_usize).prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![any::<i32>(), -300_000..300_000, -3000..3000].prop_map(Value::Int),
        prop_oneof![any::<i64>(), -300_000_i64..300_000, -3000_i64..3000].prop_map(Value::Long),
        prop_oneof![
            prop::num::f64::NORMAL | prop::num::f64::ZERO,
            (-100_000..100_000).prop_map(f64::from),
            (-100_000..100_000).prop_map(|thousandths| f64::from(thousandths) / 1000.0),
        ]
        .prop_map(Value::Double),
        (0_i64..4_000_000_000_000).prop_map(Value::Date),
        (0_i64..60_000_000).prop_map(|minutes| Value::Date(minutes * 60_000)),
        short_text().prop_map(Value::Text),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
    ];
    let composite = scalar.prop_recursive(4, 40, 10, |inner| {
        let list_type = prop::option::of(Just("java.util.LinkedList"));
        let map_type = prop::option::of(Just("com.alibaba.fastjson.JSONObject"));
        prop_oneof![
            (list_type, vec(inner.clone(), 0..12)).prop_map(|(name, v)| Value::List(name, v)),
            (map_type, btree_map(short_text(), inner.clone(), 0..5))
                .prop_map(|(name, v)| Value::Map(name, v.into_iter().collect())),
            vec(inner, 1..20).prop_map(Value::Object),
        ]
    });
    let long_bytes = (any::<u8>(), 40..70_000_usize).prop_map(|(byte, len)| vec![byte; len]);
    prop_oneof![
        8 => composite,
        1 => text().prop_map(Value::Text),
        1 => long_bytes.prop_map(Value::Bytes),
    ]
}

/// What our writer can write, and what the oracle should read.
fn written() -> impl Strategy<Value = (Vec<u8>, Json)> {
    fn bytes(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }
    prop_oneof![
        Just((bytes(write_null), Json::Null)),
        prop_oneof![any::<i32>(), -300_000..300_000, -3000..3000]
            .prop_map(|v| (bytes(|out| write_int(out, v)), json!(v))),
        text().prop_map(|v| (bytes(|out| write_string(out, &v)), json!(v))),
        btree_map("[a-z]{1,40}", text(), 0..6).prop_map(|v: BTreeMap<String, String>| {
            let entries = v.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            (bytes(|out| write_string_map(out, entries)), json!(v))
        }),
    ]
}

fn sample<T>(strategy: &impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = TestRunner::default();
    (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle")
}

/// Whether the oracle can be asked; if not, says so once.
fn is_installed() -> bool {
    static INSTALLED: LazyLock<bool> = LazyLock::new(|| {
        let node = Command::new("node").arg("--version").output();
        let installed = folder().join("node_modules/hessian.js").is_dir()
            && node.is_ok_and(|output| output.status.success());
        let required = std::env::var("MELTEMI_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(
            installed || !required,
            "hessian.js is missing: run `npm ci` in {}",
            folder().display()
        );
        if !installed {
            // The test harness swallows what the print macros write in a test that passes.
            let notice = "skipped: Hessian 2 against hessian.js; install Node, then run `npm ci` \
                          in protocols/dubbo-rs-codec/tests/oracle\n";
            std::io::stderr().write_all(notice.as_bytes()).unwrap();
        }
        installed
    });
    *INSTALLED
}

/// Runs a batch of jobs in one Node process.
fn ask(jobs: &[Json]) -> Vec<Json> {
    let mut node = Command::new("node")
        .arg(folder().join("oracle.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node is installed");
    let mut input = node.stdin.take().unwrap();
    input.write_all(json!(jobs).to_string().as_bytes()).unwrap();
    drop(input);
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "the oracle failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let (pairs, _) = hex.as_bytes().as_chunks::<2>();
    pairs
        .iter()
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn what_the_oracle_writes_we_read() {
    if !is_installed() {
        return;
    }
    let sequences = sample(&vec(value(), 1..4), SEQUENCES);
    let jobs: Vec<Json> = sequences
        .iter()
        .map(|values| json!({"encode": values.iter().map(Value::to_json).collect::<Vec<_>>()}))
        .collect();
    let answers = ask(&jobs);
    assert_eq!(answers.len(), sequences.len());
    for (values, answer) in sequences.iter().zip(&answers) {
        let bytes = from_hex(answer["hex"].as_str().unwrap());
        let mut reader = Reader::new(&bytes);
        for value in values {
            value.check(&mut reader);
        }
        assert!(reader.is_at_end());
    }
}

#[test]
fn what_we_write_the_oracle_reads() {
    if !is_installed() {
        return;
    }
    let samples = sample(&written(), SEQUENCES);
    let jobs: Vec<Json> = samples
        .iter()
        .map(|(bytes, _)| {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"decode": hex})
        })
        .collect();
    let answers = ask(&jobs);
    assert_eq!(answers.len(), samples.len());
    for ((_, expected), answer) in samples.iter().zip(&answers) {
        assert_eq!(answer["value"], *expected);
    }
}
