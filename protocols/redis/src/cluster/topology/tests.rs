use std::time::Duration;

use meltemi_codec::{Constraint, Memo, Node, Probe, Request, Role, Topology, TopologyEvent};

use super::{CALM, ClusterTopology, REFRESH, RETRY};

const MS: Duration = Duration::from_millis(1);

/// A reply in RESP2, written as words: `[ … ]` an array, digits a number, `nil`, else a string.
fn resp2(words: &str) -> Vec<u8> {
    reply(words, '*')
}

/// The same in RESP3: `{ … }` is a map instead of a flat array.
fn resp3(words: &str) -> Vec<u8> {
    reply(words, '%')
}

fn reply(words: &str, map: char) -> Vec<u8> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let (text, rest) = value(&words, map);
    assert!(rest.is_empty(), "{rest:?}");
    text.into_bytes()
}

fn value<'w>(words: &'w [&'w str], map: char) -> (String, &'w [&'w str]) {
    let (first, mut rest) = words.split_first().unwrap();
    match *first {
        "[" | "{" => {
            let (mut body, mut count) = (String::new(), 0);
            while !matches!(rest.first(), Some(&"]" | &"}")) {
                let (text, after) = value(rest, map);
                (body, count, rest) = (body + &text, count + 1, after);
            }
            let head = match (*first, map) {
                ("{", '%') => format!("%{}", count / 2),
                _ => format!("*{count}"),
            };
            (format!("{head}\r\n{body}"), rest.get(1..).unwrap())
        }
        "nil" if map == '%' => ("_\r\n".to_owned(), rest),
        "nil" => ("$-1\r\n".to_owned(), rest),
        "''" => ("$0\r\n\r\n".to_owned(), rest),
        number if number.parse::<i64>().is_ok() => (format!(":{number}\r\n"), rest),
        text => (format!("${}\r\n{text}\r\n", text.len()), rest),
    }
}

fn node(address: &str) -> Node {
    let (host, port) = address.rsplit_once(':').unwrap();
    Node {
        host: host.into(),
        port: port.parse().unwrap(),
    }
}

fn event(nodes: &[(&str, u32, Role)], shards: &[(u32, u32, u32)]) -> TopologyEvent {
    TopologyEvent {
        nodes: nodes
            .iter()
            .map(|(at, shard, role)| (node(at), *shard, *role))
            .collect(),
        shards: shards.to_vec(),
    }
}

fn learn(topology: &mut ClusterTopology, answer: &[u8]) -> Option<TopologyEvent> {
    assert!(question(topology, REFRESH).is_some());
    topology.answered(&node("asked:1"), Some(answer))
}

fn new() -> ClusterTopology {
    ClusterTopology::new(Request::unary(0, Memo::default()))
}

/// What is asked now, if anything.
fn question(topology: &mut ClusterTopology, idle: Duration) -> Option<String> {
    match topology.poll(idle) {
        Probe::Ask(own) => Some(String::from_utf8(own.bytes.into()).unwrap()),
        Probe::Wait(_) => None,
    }
}

const SHARDS: &str = "*2\r\n$7\r\nCLUSTER\r\n$6\r\nSHARDS\r\n";
const SLOTS: &str = "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n";

const TWO_SHARDS: &str = "[
    { slots [ 8192 16383 100 101 ] nodes [
        { id c port 3 ip 10.0.0.3 endpoint 10.0.0.3 role replica replication-offset 1 health online }
        { id b port 2 ip 10.0.0.2 endpoint 10.0.0.2 role master replication-offset 1 health online } ] }
    { slots [ 0 99 102 8191 ] nodes [
        { id a port 1 ip 10.0.0.1 endpoint 10.0.0.1 role master replication-offset 1 health online } ] } ]";

#[test]
fn shards_are_read_in_both_protocols() {
    let expected = event(
        &[
            ("10.0.0.1:1", 0, Role::Primary),
            ("10.0.0.2:2", 1, Role::Primary),
            ("10.0.0.3:3", 1, Role::Replica),
        ],
        &[(0, 99, 0), (100, 101, 1), (102, 8191, 0), (8192, 16383, 1)],
    );
    for answer in [resp2(TWO_SHARDS), resp3(TWO_SHARDS)] {
        assert_eq!(learn(&mut new(), &answer).as_ref(), Some(&expected));
    }
}

#[test]
fn an_endpoint_is_a_name_or_the_host_that_was_asked() {
    let cases = [
        ("endpoint redis-0.redis", "redis-0.redis:1"),
        ("endpoint redis-0.redis ip ''", "redis-0.redis:1"),
        ("endpoint redis-0.redis ip 10.0.0.1", "10.0.0.1:1"),
        ("endpoint 10.0.0.2 ip 10.0.0.1", "10.0.0.2:1"),
        ("endpoint nil ip 10.0.0.1", "asked:1"),
        ("endpoint '' ip ''", "asked:1"),
        ("endpoint ? ip 10.0.0.1", "10.0.0.1:1"),
        ("endpoint ? ip ''", "asked:1"),
        ("ip 10.0.0.1", "asked:1"),
        ("endpoint 2001:db8::1", "2001:db8::1:1"),
    ];
    for (endpoint, expected) in cases {
        let shard =
            format!("[ {{ slots [ 0 9 ] nodes [ {{ {endpoint} port 1 role master }} ] }} ]");
        for answer in [resp2(&shard), resp3(&shard)] {
            let learned = learn(&mut new(), &answer).unwrap();
            assert_eq!(
                learned.nodes,
                [(node(expected), 0, Role::Primary)],
                "{endpoint}"
            );
        }
    }
}

#[test]
fn a_redirect_to_a_name_is_one_to_its_address() {
    let mut topology = new();
    assert_eq!(topology.known_as(&node("redis-0.redis:1")), None);
    let shard = "[ { slots [ 0 9 ] nodes [
        { endpoint redis-0.redis ip 10.0.0.1 port 1 role master } ] } ]";
    learn(&mut topology, &resp2(shard)).unwrap();
    assert_eq!(
        topology.known_as(&node("redis-0.redis:1")),
        Some(node("10.0.0.1:1"))
    );
    assert_eq!(topology.known_as(&node("redis-0.redis:2")), None);
    assert_eq!(topology.known_as(&node("10.0.0.1:1")), None);
}

#[test]
fn who_does_not_serve_is_asked_about_at_once_and_not_ever_less_often() {
    let mut topology = new();
    learn(&mut topology, &resp2(TWO_SHARDS));
    assert!(question(&mut topology, Duration::ZERO).is_none());
    topology.suspect(None);
    assert!(question(&mut topology, CALM - MS).is_none());
    assert!(question(&mut topology, CALM).is_some());
    // What was known is not told again: only a redirect may have changed the core's map.
    let same = topology.answered(&node("asked:1"), Some(&resp2(TWO_SHARDS)));
    assert_eq!(same, None);
    assert!(question(&mut topology, Duration::ZERO).is_none());
    topology.suspect(Some(&node("10.0.0.1:1")));
    for _ in 0..10 {
        assert!(question(&mut topology, CALM).is_some());
        assert_eq!(topology.answered(&node("asked:1"), None), None);
        assert!(question(&mut topology, Duration::ZERO).is_none());
        topology.suspect(None);
    }
}

#[test]
fn nodes_that_do_not_serve_are_left_out() {
    let of = |nodes: &str| {
        let answer = resp2(&format!("[ {{ slots [ 0 9 ] nodes [ {nodes} ] }} ]"));
        learn(&mut new(), &answer).map(|event| event.nodes)
    };
    let replica = (node("r:2"), 0, Role::Replica);
    let online = "{ endpoint r port 2 role replica health online }";
    for other in [
        "{ endpoint p port 1 role master health fail }",
        "{ endpoint p port 1 role replica health loading }",
        "{ endpoint p port 1 role master health unheard-of }",
        "{ endpoint p port 0 role master health online }",
        "{ endpoint p port 99999 role master health online }",
        "{ endpoint p role master health online }",
        "{ endpoint p port 1 health online }",
        "nil",
    ] {
        assert_eq!(
            of(&format!("{other} {online}")),
            Some(vec![replica.clone()]),
            "{other}"
        );
        assert_eq!(of(other), None, "{other}");
    }
    let tls = "{ endpoint p tls-port 7 role master health online }";
    assert_eq!(of(tls), Some(vec![(node("p:7"), 0, Role::Primary)]));
}

#[test]
fn an_answer_that_contradicts_itself_is_made_the_best_of() {
    let answer = "[
        { slots [ 0 9 5 20 30 20 -1 5 16000 16384 ] nodes [
            { endpoint a port 1 role master } { endpoint b port 2 role master } ] }
        { slots [ 9 12 15 40 ] nodes [ { endpoint c port 3 role master } ] }
        { slots [ ] nodes [ { endpoint d port 4 role master } ] }
        { nodes [ ] } nil 7 ]";
    let expected = event(
        &[
            ("a:1", 0, Role::Primary),
            ("b:2", 0, Role::Replica),
            ("c:3", 1, Role::Primary),
            ("d:4", 2, Role::Primary),
        ],
        &[(0, 9, 0), (10, 20, 0), (21, 40, 1)],
    );
    assert_eq!(learn(&mut new(), &resp2(answer)), Some(expected));
    for nothing in [
        "[ ]",
        "7",
        "nil",
        "[ { slots [ ] nodes [ { endpoint a port 1 role master } ] } ]",
    ] {
        assert_eq!(learn(&mut new(), &resp2(nothing)), None, "{nothing}");
    }
}

#[test]
fn a_server_that_does_not_know_shards_is_asked_for_slots() {
    let mut topology = new();
    let refusal =
        b"-ERR Unknown subcommand or wrong number of arguments for 'SHARDS'. Try CLUSTER HELP.\r\n";
    assert_eq!(
        question(&mut topology, Duration::ZERO).as_deref(),
        Some(SHARDS)
    );
    assert_eq!(topology.answered(&node("asked:1"), Some(refusal)), None);
    assert_eq!(
        question(&mut topology, Duration::ZERO).as_deref(),
        Some(SLOTS)
    );
    let answer = resp2(
        "[ [ 5 9 [ 10.0.0.1 1 id-a [ hostname h ] ] [ '' 2 id-b [ ] ] ]
           [ 0 3 [ ? 3 id-c [ ip 10.0.0.3 ] ] ]
           [ 4 4 [ 10.0.0.1 1 id-a [ ] ] [ nil 2 id-b [ ] ] ]
           [ 7 ] [ 20 25 ] [ 20 25 nil ] nil ]",
    );
    let expected = event(
        &[
            ("10.0.0.3:3", 0, Role::Primary),
            ("10.0.0.1:1", 1, Role::Primary),
            ("asked:2", 1, Role::Replica),
        ],
        &[(0, 3, 0), (4, 4, 1), (5, 9, 1)],
    );
    assert_eq!(
        topology.answered(&node("asked:1"), Some(&answer)),
        Some(expected)
    );
    // It is asked for slots from then on, until that fails too.
    assert_eq!(question(&mut topology, Duration::ZERO), None);
    assert_eq!(question(&mut topology, REFRESH).as_deref(), Some(SLOTS));
    topology.answered(
        &node("asked:1"),
        Some(b"-ERR This instance has cluster support disabled\r\n"),
    );
    assert_eq!(question(&mut topology, Duration::ZERO), None);
    assert_eq!(question(&mut topology, RETRY).as_deref(), Some(SHARDS));
}

#[test]
fn before_3_servers_name_no_ids() {
    let mut topology = new();
    assert!(question(&mut topology, Duration::ZERO).is_some());
    topology.answered(&node("asked:1"), Some(b"-ERR unknown command\r\n"));
    let learned = learn(&mut topology, &resp2("[ [ 0 9 [ a 1 ] [ b 2 ] ] ]")).unwrap();
    assert_eq!(
        learned,
        event(
            &[("a:1", 0, Role::Primary), ("b:2", 0, Role::Replica)],
            &[(0, 9, 0)]
        )
    );
}

#[test]
fn what_is_known_is_asked_for_again_and_told_when_it_changed() {
    let mut topology = new();
    assert!(learn(&mut topology, &resp2(TWO_SHARDS)).is_some());
    assert_eq!(topology.poll(Duration::ZERO), Probe::Wait(REFRESH));
    assert_eq!(topology.poll(2000 * MS), Probe::Wait(3000 * MS));
    assert!(question(&mut topology, REFRESH).is_some());
    assert!(
        matches!(topology.poll(Duration::ZERO), Probe::Wait(_)),
        "one question at a time"
    );
    assert_eq!(
        topology.answered(&node("asked:1"), Some(&resp2(TWO_SHARDS))),
        None
    );
    assert!(question(&mut topology, Duration::ZERO).is_none());
    let changed = resp2(&TWO_SHARDS.replace("10.0.0.3", "10.0.0.4"));
    assert!(learn_after(&mut topology, REFRESH, &changed).is_some());
}

fn learn_after(
    topology: &mut ClusterTopology,
    idle: Duration,
    answer: &[u8],
) -> Option<TopologyEvent> {
    assert!(question(topology, idle).is_some());
    topology.answered(&node("asked:1"), Some(answer))
}

#[test]
fn a_redirect_is_followed_by_a_question_but_a_thousand_are_not_by_a_thousand() {
    let mut topology = new();
    learn(&mut topology, &resp2(TWO_SHARDS));
    assert!(question(&mut topology, Duration::ZERO).is_none());
    assert!(question(&mut topology, 2000 * MS).is_none());
    topology.redirected(7, &node("b:2"));
    assert!(question(&mut topology, 2000 * MS).is_some(), "at once");
    topology.redirected(7, &node("b:2"));
    // The same nodes are told once more: redirects may have changed the core's own map.
    assert!(
        topology
            .answered(&node("asked:1"), Some(&resp2(TWO_SHARDS)))
            .is_some()
    );
    let mut asked = 0;
    let mut idle = Duration::ZERO;
    for _ in 0..1000 {
        topology.redirected(7, &node("b:2"));
        if question(&mut topology, idle).is_some() {
            asked += 1;
            topology.answered(&node("asked:1"), Some(&resp2(TWO_SHARDS)));
            idle = Duration::ZERO;
        }
        idle += 10 * MS;
    }
    // Ten seconds.
    assert!((9..=10).contains(&asked), "{asked}");
    assert_eq!(CALM, 1000 * MS);
}

#[test]
fn a_cluster_that_does_not_answer_is_asked_ever_less_often() {
    for answer in [
        None,
        Some(b"-LOADING x\r\n".as_slice()),
        Some(b"".as_slice()),
    ] {
        let mut topology = new();
        let mut waits = Vec::new();
        // Where a refusal of SHARDS leads to SLOTS at once, that refusal counts.
        for _ in 0..20 {
            match topology.poll(Duration::ZERO) {
                Probe::Wait(wait) => {
                    waits.push(wait);
                    assert!(question(&mut topology, wait).is_some());
                }
                Probe::Ask(_) => {}
            }
            assert_eq!(topology.answered(&node("asked:1"), answer), None);
        }
        let expected = [250, 500, 1000, 2000, 4000, 5000, 5000].map(|wait| wait * MS);
        assert_eq!(waits.get(..7), Some(expected.as_slice()), "{answer:?}");
    }
}

#[test]
fn the_idle_time_may_be_counted_from_whatever_happened_last() {
    let mut topology = new();
    learn(&mut topology, &resp2(TWO_SHARDS));
    // From the last change of the nodes, long ago.
    assert_eq!(topology.poll(60_000 * MS), Probe::Wait(REFRESH));
    assert_eq!(topology.poll(63_000 * MS), Probe::Wait(2000 * MS));
    // From something else that happened a second ago.
    assert_eq!(topology.poll(1000 * MS), Probe::Wait(1000 * MS));
    assert!(question(&mut topology, 2000 * MS).is_some());
}

#[test]
fn a_probe_is_sent_as_it_was_said_and_to_any_node() {
    let mut request = Request::unary(0, Memo::default());
    request.memo.words = [1, 2, 3, 4];
    request.constraint = Constraint::Planned;
    let Probe::Ask(own) = ClusterTopology::new(request).poll(Duration::ZERO) else {
        panic!("nothing is known yet");
    };
    assert_eq!(own.request.memo.words, [1, 2, 3, 4]);
    assert_eq!(own.request.constraint, Constraint::None);
    assert!(own.request.idempotent);
}
