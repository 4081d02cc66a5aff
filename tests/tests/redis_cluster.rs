//! A Redis Cluster is one server to its clients.

use std::collections::BTreeMap;

use meltemi_tests::redis::{Cluster, Server, Wire};
use meltemi_tests::{Manifests, Meltemi};

#[path = "redis_cluster/large.rs"]
mod large;
#[path = "redis_cluster/replicas.rs"]
mod replicas;
#[path = "redis_cluster/subscriptions.rs"]
mod subscriptions;

/// A cluster and a proxy before it.
struct Proxied {
    cluster: Cluster,
    meltemi: Meltemi,
    _manifests: Manifests,
}

impl Proxied {
    /// `None` where there is no redis-server.
    fn start(settings: &str) -> Option<Self> {
        Server::is_installed().then(|| {
            let cluster = Cluster::start();
            let manifests = cluster.manifests(settings);
            let meltemi = Meltemi::run(manifests.path());
            Self {
                cluster,
                meltemi,
                _manifests: manifests,
            }
        })
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address("default/edge/redis"))
    }

    /// A key of each shard.
    fn keys(&self, start: &str) -> [String; 3] {
        [0, 1, 2].map(|node| self.cluster.key_of(node, start))
    }
}

#[test]
fn a_cluster_is_one_server_to_its_clients() {
    let Some(proxied) = Proxied::start("opTimeout: 10s") else {
        return;
    };
    keys_of_all_shards(&proxied);
    one_command_a_shard(&proxied);
    refusals_are_those_of_a_server(&proxied);
    a_scan_sees_each_key_once(&proxied);
    commands_for_all(&proxied);
    transactions(&proxied);
    scripts(&proxied);
    pipelines_keep_their_order(&proxied);
}

fn keys_of_all_shards(proxied: &Proxied) {
    let [a, b, c] = proxied.keys("many");
    let mut client = proxied.connect();
    assert_eq!(client.call(&format!("MSET {a} 1 {b} 2 {c} 3")), "+OK");
    let get = format!("MGET {c} none {a} {b} {a} none2");
    assert_eq!(client.call(&get), "[3 (nil) 1 2 1 (nil)]");
    assert_eq!(client.call(&format!("EXISTS {a} {b} none {c} {a}")), ":4");
    assert_eq!(client.call(&format!("TOUCH {a} none {c}")), ":2");
    assert_eq!(client.call(&format!("UNLINK {a} none {b}")), ":2");
    assert_eq!(client.call(&format!("DEL {a} {b} {c}")), ":1");

    // In RESP3 a missing value is another null.
    client.call("HELLO 3");
    assert_eq!(client.call(&format!("MSET {a} 1 {c} 3")), "+OK");
    client.command(&get);
    assert_eq!(client.line(), "*6");
    let lines: Vec<String> = (0..9).map(|_| client.line()).collect();
    assert_eq!(lines, ["$1", "3", "_", "$1", "1", "_", "$1", "1", "_"]);
    client.call("HELLO 2");
    assert_eq!(client.call(&format!("DEL {a} {c}")), ":2");
}

/// Each node gets one command for all its keys of one slot, and a request of one slot is not taken
/// apart.
fn one_command_a_shard(proxied: &Proxied) {
    let mut client = proxied.connect();
    let [a, b, _] = proxied.keys("tag");
    for node in proxied.cluster.nodes() {
        assert_eq!(node.connect().call("CONFIG RESETSTAT"), "+OK");
    }
    let keys = format!("x{{{a}}} y{{{b}}} z{{{a}}} w{{{b}}}");
    assert_eq!(
        client.call(&format!("MGET {keys}")),
        "[(nil) (nil) (nil) (nil)]"
    );
    let calls = |command: &str| [0, 1, 2].map(|n| proxied.cluster.node(n).calls(command));
    assert_eq!(calls("mget"), [1, 1, 0]);
    assert_eq!(
        client.call(&format!("MGET x{{{b}}} y{{{b}}}")),
        "[(nil) (nil)]"
    );
    assert_eq!(calls("mget"), [1, 2, 0]);
    assert_eq!(calls("get"), [0, 0, 0]);
}

fn refusals_are_those_of_a_server(proxied: &Proxied) {
    let mut client = proxied.connect();
    let mut direct = proxied.cluster.node(0).connect();
    let [a, b, c] = proxied.keys("cross");
    for command in [
        format!("MSETNX {a} 1 {b} 2"),
        format!("RENAME {a} {b}"),
        format!("SUNIONSTORE {a} {b} {c}"),
        format!("SMOVE {a} {b} x"),
        format!("COPY {a} {b}"),
        format!("LMOVE {a} {b} LEFT LEFT"),
        format!("BITOP AND {a} {b} {c}"),
        format!("EVAL return 2 {a} {b}"),
        format!("BLPOP {a} {b} 1"),
        format!("XREAD STREAMS {a} {b} 0 0"),
        format!("PFCOUNT {a} {b}"),
        format!("WATCH {a} {b}"),
    ] {
        let (proxied, told) = (client.call(&command), direct.call(&command));
        assert!(told.starts_with("-CROSSSLOT"), "{command}: {told}");
        assert_eq!(proxied, told, "{command}");
    }
    for command in [
        format!("MSET {a} 1 {b}"),
        format!("INCRBY {a}"),
        "GET".to_owned(),
    ] {
        assert_eq!(client.call(&command), direct.call(&command), "{command}");
    }
}

fn a_scan_sees_each_key_once(proxied: &Proxied) {
    let mut client = proxied.connect();
    assert_eq!(client.call("FLUSHALL"), "+OK");
    for n in 0..300 {
        client.command(&format!("SET scan:{n} {n}"));
    }
    for _ in 0..300 {
        assert_eq!(client.reply(), "+OK");
    }
    for resp in [2, 3] {
        client.call(&format!("HELLO {resp}"));
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let reply = client.call(&format!("SCAN {cursor} COUNT 17"));
            let (next, keys) = reply.trim_start_matches('[').split_once(' ').expect("two");
            for key in keys.trim_matches(['[', ']']).split_whitespace() {
                *seen.entry(key.to_owned()).or_default() += 1;
            }
            cursor = next.to_owned();
            assert!(cursor.parse::<i64>().is_ok(), "{cursor} is below 2^63");
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), 300);
        assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    }
    client.call("HELLO 2");
    assert_eq!(client.call("DBSIZE"), ":300");
    let keys = client.call("KEYS scan:*");
    assert_eq!(keys.matches("scan:").count(), 300);
}

fn commands_for_all(proxied: &Proxied) {
    let nodes = proxied.cluster.nodes();
    let mut client = proxied.connect();
    assert_eq!(client.call("CONFIG SET maxmemory-samples 7"), "+OK");
    for node in nodes {
        let samples = node.connect().call("CONFIG GET maxmemory-samples");
        assert_eq!(samples, "[maxmemory-samples 7]", "all nodes, replicas too");
    }
    let sha = client.call("SCRIPT LOAD return(41)");
    let exists = format!("SCRIPT EXISTS {sha} 0000000000000000000000000000000000000000");
    assert_eq!(client.call(&exists), "[:1 :0]");
    for node in &nodes[..3] {
        assert_eq!(node.connect().call(&exists), "[:1 :0]", "all primaries");
    }
    assert_eq!(
        client.call("SCRIPT KILL"),
        "-NOTBUSY No scripts in execution right now."
    );
    assert!(client.call("WAIT 0 100").starts_with(':'));
    assert!(client.call("RANDOMKEY").starts_with("scan:"));
    assert!(client.call("INFO keyspace").contains("keys=300"));
    assert_eq!(client.call("FLUSHDB"), "+OK");
    assert_eq!(client.call("DBSIZE"), ":0");
    for node in &nodes[..3] {
        assert_eq!(node.connect().call("DBSIZE"), ":0");
    }
    assert_eq!(client.call("RANDOMKEY"), "(nil)");
    assert_eq!(client.call("PING"), "+PONG");
}

fn transactions(proxied: &Proxied) {
    let [a, b, c] = proxied.keys("tx");
    let (mut client, mut other) = (proxied.connect(), proxied.connect());
    for key in [&a, &b, &c] {
        assert_eq!(client.call("MULTI"), "+OK");
        assert_eq!(client.call("PING"), "+QUEUED");
        assert_eq!(client.call(&format!("SET {key} 5")), "+QUEUED");
        assert_eq!(client.call(&format!("INCR {key}")), "+QUEUED");
        assert_eq!(client.call("EXEC"), "[+PONG +OK :6]");
        // Keys of two shards.
        assert_eq!(client.call("MULTI"), "+OK");
        assert_eq!(client.call(&format!("INCR {key}")), "+QUEUED");
        let elsewhere = if key == &a { &b } else { &a };
        let refused = client.call(&format!("INCR {elsewhere}"));
        assert!(refused.starts_with('-'), "{refused}");
        let aborted = client.call("EXEC");
        assert!(aborted.starts_with("-EXECABORT"), "{aborted}");
        assert_eq!(client.call(&format!("GET {key}")), "6");
        // Somebody else writes what is watched.
        for interferes in [false, true] {
            assert_eq!(client.call(&format!("WATCH {key}")), "+OK");
            assert_eq!(client.call(&format!("GET {key}")), "6");
            if interferes {
                assert_eq!(other.call(&format!("SET {key} 6")), "+OK");
            }
            assert_eq!(client.call("MULTI"), "+OK");
            assert_eq!(client.call(&format!("SET {key} 6")), "+QUEUED");
            let executed = client.call("EXEC");
            assert_eq!(executed, if interferes { "(nil)" } else { "[+OK]" });
        }
        assert_eq!(client.call(&format!("WATCH {key}")), "+OK");
        assert_eq!(client.call("UNWATCH"), "+OK");
        // Now anything may be asked again.
        assert_eq!(
            client
                .call(&format!("MGET {a} {b} {c}"))
                .matches('6')
                .count(),
            {
                [&a, &b, &c]
                    .iter()
                    .position(|k| *k == key)
                    .map_or(0, |n| n + 1)
            }
        );
    }
}

fn scripts(proxied: &Proxied) {
    let mut client = proxied.connect();
    let sha = client.call("SCRIPT LOAD return(redis.call('INCR',KEYS[1]))");
    for key in proxied.keys("script") {
        assert_eq!(
            client.call(&format!("EVAL return(redis.call('INCR',KEYS[1])) 1 {key}")),
            ":1"
        );
        assert_eq!(client.call(&format!("EVALSHA {sha} 1 {key}")), ":2");
        let read = format!("EVAL_RO return(redis.call('GET',KEYS[1])) 1 {key}");
        assert_eq!(client.call(&read), "2");
    }
    let library = "#!lua name=lib\nredis.register_function('bump',function(k,a)return(redis.call('INCR',k[1]))end)";
    let words: [&[u8]; 3] = [b"FUNCTION", b"LOAD", library.as_bytes()];
    client.send(&meltemi_tests::redis::encode(&words));
    assert_eq!(client.reply(), "lib");
    for key in proxied.keys("script") {
        assert_eq!(client.call(&format!("FCALL bump 1 {key}")), ":3");
    }
}

/// Answers come in the order of the requests, whichever shard is the faster, and what one client
/// wrote it reads.
fn pipelines_keep_their_order(proxied: &Proxied) {
    let keys = proxied.keys("pipe");
    let mut client = proxied.connect();
    let [a, b, c] = &keys;
    for round in 0..50 {
        let mut bytes = Vec::new();
        for key in &keys {
            let words = format!("SET {key} {round}");
            let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
            bytes.extend(meltemi_tests::redis::encode(&words));
        }
        for words in [
            format!("MGET {c} {a} {b}"),
            format!("GET {b}"),
            format!("DEL {a} {b} {c}"),
            format!("GET {a}"),
        ] {
            let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
            bytes.extend(meltemi_tests::redis::encode(&words));
        }
        client.send(&bytes);
        let replies: Vec<String> = (0..7).map(|_| client.reply()).collect();
        let values = format!("[{round} {round} {round}]");
        let one = round.to_string();
        assert_eq!(replies, ["+OK", "+OK", "+OK", &values, &one, ":3", "(nil)"]);
    }
}
