//! Requests as the codec of a client reads them and the splitter of the same protocol plans them.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/shards.rs"]
mod shards;

use std::{sync::Arc, time::Duration};

use meltemi_codec::{
    Constraint, Decoded, Downstream, Frame, FromClient, Limits, OwnRequest, Pin, Plan, Protocol,
    Role, Status,
};
use meltemi_redis::{
    cluster::{refusal, slot},
    protocol,
};
use shards::Shards;

fn inline(text: &str) -> Vec<u8> {
    format!("{text}\r\n").into_bytes()
}

/// Three shards: foo has slot 12182, bar 5061.
fn three() -> Shards {
    Shards::slotted(vec![8000, 16000])
}

/// A client of the protocol with these settings, as the core has it.
struct Served {
    protocol: Arc<dyn Protocol>,
    client: Box<dyn Downstream>,
}

impl Served {
    fn new(settings: &[(&str, &str)]) -> Self {
        let protocol = protocol().configure(settings).unwrap();
        let limits = Limits {
            whole: Limits::WHOLE,
            frame: 1 << 20,
        };
        let client = protocol.downstream(limits);
        Self { protocol, client }
    }

    fn decode(&mut self, request: &str) -> FromClient {
        match self
            .client
            .decode(&inline(request), &mut Vec::new())
            .unwrap()
        {
            Decoded::Message(message) => message.event,
            other => panic!("{request}: {other:?}"),
        }
    }

    fn plan(&mut self, request: &str, shards: &Shards) -> Plan {
        let FromClient::Request(asked) = self.decode(request) else {
            panic!("{request} is for a server");
        };
        assert_eq!(asked.constraint, Constraint::Planned, "{request}");
        let bytes = inline(request);
        let frame = Frame {
            bytes: &bytes,
            whole: true,
            memo: &asked.memo,
        };
        self.protocol.scatter().unwrap().plan(frame, shards)
    }
}

fn roles(plan: Plan) -> Vec<Role> {
    let constraint = |part: OwnRequest| match part.request.constraint {
        Constraint::Shard { role, .. } => role,
        other => panic!("{other:?}"),
    };
    match plan {
        Plan::Many { parts, .. } => parts.into_iter().map(constraint).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_command_that_was_learned_has_keys_too() {
    let shards = three();
    let mut served = Served::new(&[]);
    let FromClient::Ask(question) = served.decode("JSON.MGET foo bar $") else {
        panic!("it is not in the table");
    };
    let info =
        b"*1\r\n*7\r\n$9\r\njson.mget\r\n:-3\r\n*1\r\n+readonly\r\n:1\r\n:-2\r\n:1\r\n*0\r\n";
    served.client.learn(Some(Frame {
        bytes: info,
        whole: true,
        memo: &question.request.memo,
    }));
    let refused = Plan::Refuse {
        status: Status::Unsupported,
        message: refusal::CROSSSLOT,
    };
    assert_eq!(served.plan("JSON.MGET foo bar $", &shards), refused);
    let bar = slot::shard(b"bar", true, Role::Primary);
    assert_eq!(
        served.plan("json.mget bar {bar}1 $", &shards),
        Plan::One(bar)
    );
}

#[test]
fn parts_are_read_from_whom_the_client_and_the_settings_want() {
    let shards = three();
    let mut served = Served::new(&[]);
    assert_eq!(
        roles(served.plan("MGET foo bar", &shards)),
        [Role::Primary; 2]
    );
    assert_eq!(served.decode("READONLY"), FromClient::Answered);
    assert_eq!(
        roles(served.plan("MGET foo bar", &shards)),
        [Role::PreferReplica; 2]
    );
    assert_eq!(
        roles(served.plan("DEL foo bar", &shards)),
        [Role::Primary; 2]
    );
    let mut served = Served::new(&[("readPolicy", "REPLICA")]);
    assert_eq!(
        roles(served.plan("MGET foo bar", &shards)),
        [Role::Replica; 2]
    );
}

#[test]
fn servers_that_are_no_cluster_get_one_part_each() {
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    let request = format!("MGET {}", keys.join(" "));
    let parts = |settings: &[(&str, &str)]| {
        roles(Served::new(settings).plan(&request, &Shards::hashed(3))).len()
    };
    assert_eq!(parts(&[("mode", "PROXY")]), 3);
    assert_eq!(parts(&[("mode", "CLUSTER")]), 100);
}

#[test]
fn a_wait_has_connections_and_time_of_its_own() {
    let shards = three();
    let mut served = Served::new(&[]);
    for (request, deadline) in [
        ("WAIT 1 2000", Some(Duration::from_secs(7))),
        ("WAIT 1 0", None),
    ] {
        let Plan::Many { parts, .. } = served.plan(request, &shards) else {
            panic!("each primary has replicas of its own");
        };
        assert_eq!(parts.len(), 3);
        for part in parts {
            assert_eq!(part.request.pin, Pin::UntilReply);
            assert_eq!(part.request.deadline, deadline);
            assert!(!part.request.idempotent);
        }
    }
}
