//! The fuzz targets of both legs hold over their checked-in corpus, over every recorded exchange
//! and over damaged ones.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/golden.rs"]
mod golden;

use std::path::Path;

use meltemi_codec::kit::{fuzz_downstream, fuzz_upstream, replay};
use proptest::{collection::vec, prelude::*};

/// A target's name, which is its corpus folder's too, and its body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 2] = [
    ("downstream", |data| {
        fuzz_downstream(&meltemi_redis::protocol(), data);
    }),
    ("upstream", |data| {
        fuzz_upstream(&meltemi_redis::protocol(), data);
    }),
];

/// Each choice of limits, with a choice of cuts: the first two bytes of an input.
const PLANS: [[u8; 2]; 4] = [[0, 6], [1, 13], [2, 30], [15, 40]];

#[test]
fn targets_hold_over_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in TARGETS {
        let inputs = replay(&corpus.join(name), target);
        assert!(inputs > 5, "{name} has {inputs} inputs");
    }
}

fn recorded() -> Vec<Vec<u8>> {
    let exchanges = golden::exchanges();
    let both = exchanges
        .iter()
        .flat_map(|golden| [golden.sent(), golden.received()]);
    both.filter(|bytes| (1..3000).contains(&bytes.len()))
        .collect()
}

#[test]
fn targets_hold_over_recorded_exchanges() {
    for bytes in recorded() {
        for plan in PLANS {
            for (_, target) in TARGETS {
                target(&[&plan, bytes.as_slice()].concat());
            }
        }
    }
}

/// Some bytes of an exchange are others, and another one follows.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let exchange = prop::sample::select(recorded());
    let plan = prop_oneof![prop::sample::select(PLANS.to_vec()), any::<[u8; 2]>()];
    (plan, exchange.clone(), damage, exchange).prop_map(|(plan, mut bytes, damage, next)| {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        [&plan, bytes.as_slice(), next.as_slice()].concat()
    })
}

/// The bytes that RESP is made of, in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "*",
        "$",
        "%",
        "~",
        ">",
        "|",
        "_",
        "#t",
        ",1",
        "(1",
        "!",
        "=",
        "+",
        "-",
        ":",
        "?",
        ".",
        ";",
        "\r\n",
        "\r",
        "\n",
        "0",
        "1",
        "2",
        "3",
        "-1",
        "10",
        "GET",
        "$3\r\nGET\r\n",
        "*2\r\n",
        "$1\r\nk\r\n",
        "*1\r\n$5\r\nMULTI\r\n",
        "*1\r\n$4\r\nEXEC\r\n",
        "PING\r\n",
        "'",
        "\"",
        "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n",
        ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
    ]);
    let plan = prop_oneof![prop::sample::select(PLANS.to_vec()), any::<[u8; 2]>()];
    (plan, vec(part, 0..24)).prop_map(|(plan, parts)| [&plan, parts.concat().as_bytes()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn targets_hold_over_damaged_exchanges(bytes in damaged()) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn targets_hold_over_what_resp_is_made_of(bytes in soup()) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}
