//! A request that is divided among shards has the answer that one server with all keys gives.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/shards.rs"]
mod shards;

use std::collections::BTreeMap;

use meltemi_codec::{Constraint, Frame, Memo, Plan, Role, Scatter, Status};
use meltemi_redis::{
    cluster::{Splitter, Unit, refusal, slot},
    resp::{Arguments, write},
};
use proptest::{collection::vec, prelude::*};
use shards::{Shards, answers};

/// What a server has, and whether it is one of a Redis Cluster.
#[derive(Clone, Debug, Default)]
struct Store {
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    strict: bool,
}

impl Store {
    fn execute(&mut self, request: &[u8]) -> Vec<u8> {
        let arguments = Arguments::new(request).unwrap();
        let all: Vec<Vec<u8>> = arguments.from(0).map(Into::into).collect();
        let (name, rest) = all.split_first().unwrap();
        let step = if name == b"MSET" { 2 } else { 1 };
        let slots = rest.iter().step_by(step).map(|key| slot::slot(key));
        if self.strict && slots.clone().any(|slot| Some(slot) != slots.clone().next()) {
            return format!("-{}\r\n", refusal::CROSSSLOT).into();
        }
        let mut out = Vec::new();
        let has = |key: &&Vec<u8>| self.values.contains_key(*key);
        match name.as_slice() {
            b"MSET" => {
                for pair in rest.chunks(2) {
                    self.values.insert(pair[0].clone(), pair[1].clone());
                }
                write::simple("OK", &mut out);
            }
            b"MGET" => {
                write::array(rest.len(), &mut out);
                for key in rest {
                    match self.values.get(key) {
                        Some(value) => write::bulk(value, &mut out),
                        None => out.extend_from_slice(b"$-1\r\n"),
                    }
                }
            }
            b"EXISTS" | b"TOUCH" => {
                write::integer(rest.iter().filter(has).count() as i64, &mut out);
            }
            b"DEL" | b"UNLINK" => {
                let gone = rest.iter().filter(|key| self.values.remove(*key).is_some());
                let gone = gone.count();
                write::integer(gone as i64, &mut out);
            }
            other => panic!("{}", other.escape_ascii()),
        }
        out
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-h]".prop_map(String::into_bytes),
        2 => "\\{[ab]\\}[a-c]".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..6),
    ]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let keyed = (
        prop::sample::select(vec!["MGET", "DEL", "EXISTS", "TOUCH", "UNLINK"]),
        vec(key(), 1..9),
    );
    let set = vec((key(), vec(any::<u8>(), 0..9)), 1..9).prop_map(|pairs| {
        let words = pairs.into_iter().flat_map(|(key, value)| [key, value]);
        ("MSET", words.collect::<Vec<_>>())
    });
    prop_oneof![keyed, set].prop_map(|(name, words)| command(name, &words))
}

fn command(name: &str, words: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let words = words.iter().map(Vec::as_slice);
    write::command(
        &std::iter::once(name.as_bytes())
            .chain(words)
            .collect::<Vec<_>>(),
        &mut out,
    );
    out
}

proptest! {
    #[test]
    fn the_answer_is_that_of_a_single_server(
        requests in vec(request(), 1..20),
        bounds in vec(0_u32..16384, 0..6),
        hashed in any::<bool>(),
    ) {
        let shards = if hashed { Shards::hashed(bounds.len() + 1) } else { Shards::slotted(bounds) };
        let unit = if hashed { Unit::Shard } else { Unit::Slot };
        let splitter = Splitter::new(true, Role::Primary, unit);
        let empty = Store { strict: !hashed, ..Store::default() };
        let mut stores = vec![empty; shards.count()];
        let mut single = Store::default();
        for request in &requests {
            let answer = answers(&splitter, &shards, request, |shard, request| {
                stores[shard].execute(request)
            });
            prop_assert_eq!(answer.unwrap(), single.execute(request));
        }
    }

    #[test]
    fn parts_are_as_few_as_servers_allow(keys in vec(key(), 2..30)) {
        let request = command("MGET", &keys);
        let shards = Shards::hashed(3);
        let splitter = Splitter::new(false, Role::Primary, Unit::Shard);
        let places = |key: &Vec<u8>| shards.owner(key, false);
        let distinct: std::collections::BTreeSet<usize> = keys.iter().map(places).collect();
        match plan(&splitter, &shards, &request) {
            Plan::One(_) => prop_assert_eq!(distinct.len(), 1),
            Plan::Many { parts, .. } => {
                prop_assert_eq!(parts.len(), distinct.len());
            }
            refused => prop_assert!(false, "{:?}", refused),
        }
    }

    #[test]
    fn no_bytes_make_a_plan_panic(bytes in vec(any::<u8>(), 0..200), whole in any::<bool>()) {
        let memo = Memo::default();
        let splitter = Splitter::new(true, Role::Primary, Unit::Slot);
        let frame = Frame { bytes: &bytes, whole, memo: &memo };
        splitter.plan(frame, &Shards::hashed(3));
    }
}

fn plan(splitter: &Splitter, shards: &Shards, request: &[u8]) -> Plan {
    let memo = Memo::default();
    let frame = Frame {
        bytes: request,
        whole: true,
        memo: &memo,
    };
    splitter.plan(frame, shards)
}

fn inline(text: &str) -> Vec<u8> {
    format!("{text}\r\n").into_bytes()
}

fn cluster() -> (Splitter, Shards) {
    let splitter = Splitter::new(true, Role::PreferReplica, Unit::Slot);
    // foo has slot 12182, bar 5061, {bar}… too.
    (splitter, Shards::slotted(vec![8000, 16000]))
}

#[test]
fn a_request_goes_untouched_where_one_place_has_all_its_keys() {
    let (splitter, shards) = cluster();
    let shard = |key: &str, role| slot::shard(key.as_bytes(), true, role);
    let cases = [
        ("GET foo", shard("foo", Role::PreferReplica)),
        ("SET foo 1", shard("foo", Role::Primary)),
        (
            "MGET bar {bar}x foo{bar}",
            shard("bar", Role::PreferReplica),
        ),
        ("MSET bar 1 {bar}x 2", shard("bar", Role::Primary)),
        ("SUNIONSTORE bar {bar}1 {bar}2", shard("bar", Role::Primary)),
        (
            "EVAL_RO script 2 bar {bar}x foo",
            shard("bar", Role::PreferReplica),
        ),
        ("EVAL script 0 foo", Constraint::None),
        // The server says what is wrong.
        ("MSET bar 1 foo", shard("bar", Role::Primary)),
        ("MGET", Constraint::None),
        ("nosuch foo", Constraint::None),
        ("TIME", Constraint::None),
        ("MEMORY STATS", Constraint::Endpoint("node-0:6379".into())),
    ];
    for (request, expected) in cases {
        let planned = plan(&splitter, &shards, &inline(request));
        assert_eq!(planned, Plan::One(expected), "{request}");
    }
}

#[test]
fn keys_of_two_slots_are_two_parts_although_one_node_has_both() {
    let (splitter, _) = cluster();
    let shards = Shards::slotted(Vec::new());
    let Plan::Many { parts, .. } = plan(&splitter, &shards, &inline("MGET foo bar foo")) else {
        panic!("a Redis Cluster refuses it as one command");
    };
    let bytes: Vec<String> = parts
        .iter()
        .map(|part| String::from_utf8_lossy(&part.bytes).into())
        .collect();
    assert_eq!(
        bytes,
        [
            "*3\r\n$4\r\nMGET\r\n$3\r\nfoo\r\n$3\r\nfoo\r\n",
            "*2\r\n$4\r\nMGET\r\n$3\r\nbar\r\n",
        ]
    );
    assert!(parts.iter().all(|part| part.request.idempotent));
}

#[test]
fn what_cannot_be_divided_is_refused_in_the_words_of_redis() {
    let (splitter, shards) = cluster();
    let refusal = |shards: &Shards, request: &str| match plan(&splitter, shards, &inline(request)) {
        Plan::Refuse { status, message } => (status, message),
        served => panic!("{request}: {served:?}"),
    };
    for request in [
        "SUNION foo bar",
        "MSETNX foo 1 bar 2",
        "RENAME foo bar",
        "EVAL script 2 foo bar",
    ] {
        let expected = (Status::Unsupported, refusal::CROSSSLOT);
        assert_eq!(refusal(&shards, request), expected, "{request}");
    }
    for request in [
        "GET foo",
        "MGET foo bar",
        "DBSIZE",
        "SCAN 0",
        "MEMORY STATS",
    ] {
        let expected = (Status::NoHealthyUpstream, refusal::UNOWNED);
        assert_eq!(refusal(&Shards::unowned(), request), expected, "{request}");
    }
    assert_eq!(
        refusal(&shards, "SCAN 9000000000000000000"),
        (Status::Malformed, refusal::CURSOR)
    );
}

#[test]
fn of_a_head_only_what_is_known_is_planned() {
    let (splitter, shards) = cluster();
    let memo = Memo::default();
    let head = |text: &'static str| Frame {
        bytes: text.as_bytes(),
        whole: false,
        memo: &memo,
    };
    let too_large = Plan::Refuse {
        status: Status::TooLarge,
        message: refusal::TOO_LARGE,
    };
    let value = "*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$999999\r\nx";
    assert_eq!(
        splitter.plan(head(value), &shards),
        Plan::One(slot::shard(b"foo", true, Role::Primary))
    );
    for text in [
        "*5\r\n$4\r\nMSET\r\n$3\r\nfoo\r\n$999999\r\nx",
        "*4\r\n$4\r\nEVAL\r\n$999999\r\nx",
        "*3\r\n$8\r\nFUNCTION\r\n$4\r\nLOAD\r\n$999999\r\nx",
    ] {
        assert_eq!(splitter.plan(head(text), &shards), too_large, "{text}");
    }
}
