//! Nothing that a server or client sends makes merging, topology or learning panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use meltemi_codec::{Frame, Memo, Merge, Node, Request, Role, Scatter, Topology};
use meltemi_redis::{
    cluster::{ClusterTopology, Splitter, Unit, slot},
    command::Learned,
};
use proptest::{collection::vec, prelude::*};

/// Bytes that often are replies, or nearly.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(b"$-1\r\n".to_vec()),
        Just(b"_\r\n".to_vec()),
        any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
        "[a-z?]{0,8}".prop_map(|text| format!("+{text}\r\n").into_bytes()),
        prop::sample::select(vec![
            "slots",
            "nodes",
            "endpoint",
            "ip",
            "port",
            "role",
            "master",
            "health",
            "online",
            "flags",
            "begin_search",
            "find_keys",
            "type",
            "spec",
            "index",
            "range",
            "db0:keys=1",
        ])
        .prop_map(|text| format!("${}\r\n{text}\r\n", text.len()).into_bytes()),
        prop::sample::select(vec![
            "*99999999999\r\n",
            "$99999999999\r\n",
            "*-5\r\n",
            "=2\r\nab\r\n",
            "-\r\n"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        (
            prop::sample::select(vec!['*', '%', '~', '>', '|']),
            vec(inner, 0..8),
            -1_i64..2,
        )
            .prop_map(|(kind, elements, error)| {
                let count = if kind == '%' || kind == '|' {
                    elements.len() / 2
                } else {
                    elements.len()
                };
                let count = (count as i64 + error).max(0);
                let mut bytes = format!("{kind}{count}\r\n").into_bytes();
                bytes.extend(elements.concat());
                bytes
            })
    })
}

proptest! {
    #[test]
    fn answers_of_shards(
        how in vec(any::<u8>(), 0..12),
        kind in 0_u8..17,
        parts in vec(reply(), 0..4),
    ) {
        let memo = Memo::default();
        let frames: Vec<Frame<'_>> = parts
            .iter()
            .map(|bytes| Frame { bytes, whole: true, memo: &memo })
            .collect();
        let splitter = Splitter::new(true, Role::Primary, Unit::Slot);
        let mut out = Vec::new();
        let how = Merge(std::iter::once(kind).chain(how).collect());
        splitter.merge(&how, &frames, &mut out);
        prop_assert!(!out.is_empty(), "a client waits for its answer");
    }

    #[test]
    fn answers_to_probes(answers in vec(proptest::option::of(reply()), 1..6)) {
        let mut topology = ClusterTopology::new(Request::unary(0, Memo::default()));
        let asked = Node { host: "asked".into(), port: 1 };
        for answer in &answers {
            topology.poll(Duration::from_secs(10));
            let Some(event) = topology.answered(&asked, answer.as_deref()) else {
                continue;
            };
            prop_assert!(event.nodes.iter().all(|(node, ..)| node.port != 0));
            let mut free = 0;
            for (from, to, _) in event.shards {
                prop_assert!(free <= from && from <= to && to < slot::SLOTS);
                free = to + 1;
            }
        }
    }

    #[test]
    fn answers_to_command_info(answer in reply()) {
        if let Some(learned) = Learned::read(&answer) {
            prop_assert!(learned.keys.len() <= answer.len());
        }
    }
}
