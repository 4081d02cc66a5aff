use meltemi_codec::{Memo, Role};

use super::*;

/// Keys by their first letter, over so many nodes.
struct Shards(u32);

impl ShardMap for Shards {
    fn place(&self, key: &[u8], _: &dyn Fn(&[u8]) -> (u32, u64)) -> Option<u32> {
        let first = key.first().filter(|first| **first != b'!')?;
        Some(u32::from(*first) % self.0)
    }

    fn node(&self, n: usize) -> Option<(&str, u32, Role)> {
        let addresses = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];
        let n = n.try_into().ok().filter(|n| *n < self.0)?;
        Some((addresses[n as usize], n, Role::Primary))
    }
}

fn plan(line: &str, shards: u32) -> Plan {
    let memo = Memo::default();
    let frame = Frame {
        bytes: line.as_bytes(),
        whole: true,
        memo: &memo,
    };
    Memcached.plan(frame, &Shards(shards))
}

fn many(line: &str, shards: u32) -> (Vec<String>, Merge) {
    match plan(line, shards) {
        Plan::Many { parts, merge } => {
            let text = |part: OwnRequest| String::from_utf8(part.bytes.into()).expect("text");
            (parts.into_iter().map(text).collect(), merge)
        }
        other => panic!("{line:?}: {other:?}"),
    }
}

fn merged(merge: &Merge, answers: &[&str]) -> (String, Outcome) {
    let memo = Memo::default();
    let parts: Vec<_> = answers
        .iter()
        .map(|answer| Frame {
            bytes: answer.as_bytes(),
            whole: true,
            memo: &memo,
        })
        .collect();
    let mut out = Vec::new();
    let outcome = Memcached.merge(merge, &parts, &mut out);
    (String::from_utf8(out).expect("text"), outcome)
}

#[test]
fn keys_go_to_their_owners_and_values_come_back_in_order() {
    let (parts, merge) = many("gets a b c d a\r\n", 2);
    assert_eq!(parts, ["gets a c a\r\n", "gets b d\r\n"]);
    let (answer, outcome) = merged(
        &merge,
        &[
            "VALUE a 0 1 7\r\n1\r\nVALUE a 0 1 7\r\n1\r\nEND\r\n",
            "VALUE b 0 5 8\r\nEND\r\n\r\nVALUE d 0 0 9\r\n\r\nEND\r\n",
        ],
    );
    assert_eq!(
        answer,
        "VALUE a 0 1 7\r\n1\r\nVALUE b 0 5 8\r\nEND\r\n\r\nVALUE d 0 0 9\r\n\r\nVALUE a 0 1 7\r\n1\r\nEND\r\n"
    );
    assert_eq!(outcome, Outcome::Ok { code: 0 });
}

#[test]
fn one_owner_gets_the_command_as_it_is() {
    let one = Plan::One(shard(key::hash(b"a")));
    assert_eq!(plan("get a c\r\n", 2), one);
    assert_eq!(plan("get a b\r\n", 1), one);
    let (parts, _) = many("gat 10 a b\r\n", 2);
    assert_eq!(parts, ["gat 10 a\r\n", "gat 10 b\r\n"]);
}

#[test]
fn a_key_of_nobody_is_an_error() {
    assert!(matches!(plan("get a !\r\n", 2), Plan::Refuse { .. }));
}

#[test]
fn a_server_that_does_not_answer_is_told() {
    let (_, merge) = many("get a b\r\n", 2);
    let error = "SERVER_ERROR no healthy upstream\r\n";
    let (answer, outcome) = merged(&merge, &["VALUE a 0 1\r\n1\r\nEND\r\n", error]);
    assert_eq!(answer, error);
    assert!(matches!(outcome, Outcome::SystemError { .. }));
    let (answer, _) = merged(
        &merge,
        &[
            "VALUE a 0 1\r\n1\r\nSERVER_ERROR out of memory\r\n",
            "END\r\n",
        ],
    );
    assert_eq!(answer, "SERVER_ERROR out of memory\r\n");
}

#[test]
fn everything_is_flushed_everywhere() {
    let (parts, merge) = many("flush_all 5 noreply\r\n", 3);
    assert_eq!(parts, ["flush_all 5\r\n"; 3]);
    let (answer, _) = merged(&merge, &["OK\r\n", "OK\r\n", "OK\r\n"]);
    assert_eq!(answer, "OK\r\n");
    assert_eq!(plan("flush_all\r\n", 1), Plan::One(Constraint::None));
    assert!(matches!(plan("stats\r\n", 2), Plan::Refuse { .. }));
    assert_eq!(plan("stats\r\n", 1), Plan::One(Constraint::None));
}
