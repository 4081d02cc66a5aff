//! A real Redis Cluster: its nodes are learned from it, and requests are divided as it wants them.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/server.rs"]
mod server;

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use meltemi_codec::{
    Constraint, Frame, Memo, Node, Plan, Probe, Request, Role, Scatter, ShardMap, Topology,
    TopologyEvent,
};
use meltemi_redis::{
    cluster::{ClusterTopology, Splitter, Unit, refusal, slot},
    resp::Reply,
};
use server::Server;

/// Slots of three primaries, the first with a replica.
const SLOTS: [(u32, u32); 3] = [(0, 4000), (4001, 12000), (12001, 16383)];

struct Cluster {
    nodes: Vec<(Server, u16)>,
}

impl Cluster {
    fn start() -> Option<Self> {
        let start = || Server::node("requests that a real Redis Cluster serves");
        let mut nodes = vec![start()?, start()?, start()?, start()?];
        for ((node, _), (from, to)) in nodes.iter_mut().zip(SLOTS) {
            let (from, to) = (from.to_string(), to.to_string());
            assert_ok(node, &["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
        }
        let mut addresses = Vec::new();
        for (node, port) in &mut nodes {
            let bus = node.ask(&["CONFIG", "GET", "cluster-port"]);
            addresses.push((
                port.to_string(),
                bus.field("cluster-port").text().to_owned(),
            ));
        }
        let (first, _) = nodes.split_first_mut().unwrap();
        for (port, bus) in addresses.iter().skip(1) {
            assert_ok(&mut first.0, &["CLUSTER", "MEET", "127.0.0.1", port, bus]);
        }
        let mut cluster = Self { nodes };
        let id = cluster.nodes[0].0.ask(&["CLUSTER", "MYID"]);
        cluster.until(|node| {
            let nodes = node.ask(&["CLUSTER", "NODES"]);
            nodes.text().matches("connected").count() - nodes.text().matches("disconnected").count()
                == 4
        });
        assert_ok(
            &mut cluster.nodes[3].0,
            &["CLUSTER", "REPLICATE", id.text()],
        );
        cluster.until(|node| {
            let info = node.ask(&["CLUSTER", "INFO"]);
            let nodes = node.ask(&["CLUSTER", "NODES"]);
            let shards = node.ask(&["CLUSTER", "SLOTS"]);
            info.text().contains("cluster_state:ok")
                && nodes.text().contains("slave")
                && shards.list().iter().any(|shard| shard.list().len() == 4)
        });
        let replica = &mut cluster.nodes[3].0;
        wait(|| {
            replica
                .ask(&["INFO", "replication"])
                .text()
                .contains("master_link_status:up")
        });
        Some(cluster)
    }

    /// Waits until it is so on every node.
    fn until(&mut self, mut is: impl FnMut(&mut Server) -> bool) {
        for (node, _) in &mut self.nodes {
            wait(|| is(node));
        }
    }

    fn learn(&mut self, at: usize, hello: &str, refuse: bool) -> TopologyEvent {
        let (node, port) = &mut self.nodes[at];
        node.ask_raw(&["HELLO", hello]);
        let asked = Node {
            host: "127.0.0.1".into(),
            port: *port,
        };
        let mut topology = ClusterTopology::new(Request::unary(0, Memo::default()));
        if refuse {
            assert!(matches!(topology.poll(Duration::ZERO), Probe::Ask(_)));
            topology.answered(&asked, Some(b"-ERR unknown subcommand\r\n"));
        }
        let Probe::Ask(probe) = topology.poll(Duration::ZERO) else {
            panic!("nothing is known yet");
        };
        let answer = node.exchange(&probe.bytes);
        node.ask_raw(&["HELLO", "2"]);
        topology.answered(&asked, Some(&answer)).unwrap()
    }

    /// Serves a request as the core does.
    fn ask(
        &mut self,
        map: &Map,
        splitter: &Splitter,
        request: &[&str],
    ) -> Result<Vec<u8>, &'static str> {
        let bytes = server::command(request);
        let memo = Memo::default();
        let frame = |bytes| Frame {
            bytes,
            whole: true,
            memo: &memo,
        };
        match splitter.plan(frame(&bytes), map) {
            Plan::One(constraint) => Ok(self.send(map, &constraint, &bytes)),
            Plan::Refuse { message, .. } => Err(message),
            Plan::Many { parts, merge } => {
                let answers: Vec<Vec<u8>> = parts
                    .iter()
                    .map(|part| self.send(map, &part.request.constraint, &part.bytes))
                    .collect();
                let frames: Vec<Frame<'_>> = answers.iter().map(|bytes| frame(bytes)).collect();
                let mut out = Vec::new();
                splitter.merge(&merge, &frames, &mut out);
                Ok(out)
            }
        }
    }

    fn send(&mut self, map: &Map, constraint: &Constraint, request: &[u8]) -> Vec<u8> {
        let port = map.port(constraint);
        let node = self.nodes.iter_mut().find(|(_, own)| *own == port);
        node.unwrap().0.exchange(request)
    }
}

fn assert_ok(server: &mut Server, request: &[&str]) {
    assert_eq!(server.ask_raw(request), b"+OK\r\n", "{request:?}");
}

fn wait(mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the cluster did not form"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// What was learned, as the core looks things up in it.
struct Map {
    event: TopologyEvent,
    names: Vec<String>,
}

impl Map {
    fn new(event: TopologyEvent) -> Self {
        let names = event.nodes.iter();
        let names = names.map(|(node, ..)| format!("{}:{}", node.host, node.port));
        Self {
            names: names.collect(),
            event,
        }
    }

    fn port(&self, constraint: &Constraint) -> u16 {
        let named = self.names.iter().zip(&self.event.nodes);
        let found = match constraint {
            Constraint::Shard { slot, hash, .. } => {
                let shard = self.place(b"", &|_| (*slot, *hash)).unwrap();
                let mut nodes = self.event.nodes.iter();
                nodes.find(|(_, own, role)| *own == shard && *role == Role::Primary)
            }
            Constraint::Endpoint(name) => named
                .clone()
                .find(|(own, _)| **own == **name)
                .map(|(_, node)| node),
            other => panic!("{other:?} names no shard"),
        };
        found.unwrap().0.port
    }
}

impl ShardMap for Map {
    fn place(&self, key: &[u8], shard_key: &dyn Fn(&[u8]) -> (u32, u64)) -> Option<u32> {
        let (slot, _) = shard_key(key);
        let mut ranges = self.event.shards.iter();
        let range = ranges.find(|(from, to, _)| (*from..=*to).contains(&slot));
        range.map(|(.., shard)| *shard)
    }

    fn node(&self, n: usize) -> Option<(&str, u32, Role)> {
        let (_, shard, role) = self.event.nodes.get(n)?;
        Some((self.names.get(n)?, *shard, *role))
    }
}

#[test]
fn a_real_cluster_is_learned_and_asked_as_it_wants() {
    let Some(mut cluster) = Cluster::start() else {
        return;
    };
    let ports: Vec<u16> = cluster.nodes.iter().map(|(_, port)| *port).collect();
    let event = cluster.learn(0, "3", false);
    let node = |at: usize, shard, role| {
        let host = "127.0.0.1".into();
        (
            Node {
                host,
                port: ports[at],
            },
            shard,
            role,
        )
    };
    assert_eq!(
        event.nodes,
        [
            node(0, 0, Role::Primary),
            node(3, 0, Role::Replica),
            node(1, 1, Role::Primary),
            node(2, 2, Role::Primary),
        ]
    );
    let ranges = SLOTS.iter().zip(0..);
    assert!(
        event
            .shards
            .iter()
            .copied()
            .eq(ranges.map(|((from, to), shard)| (*from, *to, shard)))
    );
    for (at, hello, refuse) in [(1, "2", false), (2, "2", true), (0, "3", true)] {
        let other = cluster.learn(at, hello, refuse);
        assert_eq!(other, event, "node {at}, RESP{hello}, SLOTS: {refuse}");
    }
    serve(&mut cluster, &Map::new(event));
}

fn serve(cluster: &mut Cluster, map: &Map) {
    let splitter = Splitter::new(true, Role::Primary, Unit::Slot);
    let keys: Vec<String> = (0..200).map(|n| format!("key:{n}")).collect();
    let set: Vec<&str> = std::iter::once("MSET")
        .chain(keys.iter().flat_map(|key| [key.as_str(), key.as_str()]))
        .collect();
    let of = |name| -> Vec<&str> {
        std::iter::once(name)
            .chain(keys.iter().map(String::as_str))
            .collect()
    };
    let mut ask = |request: &[&str]| cluster.ask(map, &splitter, request);
    assert_eq!(ask(&set).unwrap(), b"+OK\r\n");
    let values = ask(&of("MGET")).unwrap();
    let mut expected = format!("*{}\r\n", keys.len());
    for key in &keys {
        expected.push_str(&format!("${}\r\n{key}\r\n", key.len()));
    }
    assert_eq!(String::from_utf8(values).unwrap(), expected);
    assert_eq!(ask(&["DBSIZE"]).unwrap(), b":200\r\n");
    assert_eq!(ask(&of("EXISTS")).unwrap(), b":200\r\n");
    let (mut seen, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let reply = ask(&["SCAN", &cursor]).unwrap();
        let Some(Reply::Array(mut fields)) = Reply::parse(&reply) else {
            panic!("{}", reply.escape_ascii());
        };
        cursor = String::from_utf8(fields.reply().unwrap().text().unwrap().to_vec()).unwrap();
        if let Some(Reply::Array(mut found)) = fields.reply() {
            while let Some(key) = found.reply() {
                seen.insert(String::from_utf8(key.text().unwrap().to_vec()).unwrap());
            }
        }
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, keys.iter().cloned().collect());
    assert_eq!(
        ask(&["CONFIG", "SET", "maxmemory-samples", "5"]).unwrap(),
        b"+OK\r\n"
    );
    // Of one shard, the server refuses it; of several, the proxy does: in the same words.
    let slots = keys.iter().map(|key| (key, slot::slot(key.as_bytes())));
    let (_, near) = slots.partition::<Vec<_>, _>(|(_, slot)| *slot > SLOTS[0].1);
    let (a, b) = (near[0].0.as_str(), near[1].0.as_str());
    let refused = format!("-{}\r\n", refusal::CROSSSLOT).into_bytes();
    assert_eq!(ask(&["SUNION", a, b]), Ok(refused));
    let far = keys
        .iter()
        .find(|key| slot::slot(key.as_bytes()) > SLOTS[1].1);
    assert_eq!(ask(&["SUNION", a, far.unwrap()]), Err(refusal::CROSSSLOT));
    assert_eq!(ask(&of("DEL")).unwrap(), b":200\r\n");
}
