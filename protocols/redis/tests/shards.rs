//! Three real servers among which a splitter divides the keys, in both versions of RESP.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/server.rs"]
mod server;
#[path = "support/shards.rs"]
mod shards;

use std::collections::{BTreeMap, BTreeSet};

use meltemi_codec::Role;
use meltemi_redis::{
    cluster::{Splitter, Unit},
    command::{self, RequestPolicy},
    resp::Reply,
};
use server::Server;
use shards::{Shards, answers};

const KEYS: usize = 100;

struct Cluster {
    servers: Vec<Server>,
    shards: Shards,
    splitter: Splitter,
}

impl Cluster {
    fn start(hello: &str) -> Option<Self> {
        let start = || Server::start("answers of several servers that become one");
        let mut servers = vec![start()?, start()?, start()?];
        for server in &mut servers {
            server.ask_raw(&["HELLO", hello]);
        }
        Some(Self {
            shards: Shards::hashed(servers.len()).primaries(),
            servers,
            splitter: Splitter::new(true, Role::Primary, Unit::Shard),
        })
    }

    fn ask(&mut self, request: &[&str]) -> Vec<u8> {
        let bytes = server::command(request);
        let servers = &mut self.servers;
        answers(&self.splitter, &self.shards, &bytes, |shard, request| {
            servers[shard].exchange(request)
        })
        .unwrap_or_else(|refusal| panic!("{request:?}: {refusal}"))
    }

    fn ask_words(&mut self, request: &str) -> String {
        let words: Vec<&str> = request.split(' ').collect();
        String::from_utf8(self.ask(&words)).unwrap()
    }

    fn fill(&mut self) {
        let words = (0..KEYS).flat_map(|n| [format!("k{n}"), format!("v{n}")]);
        let words: Vec<String> = std::iter::once("MSET".to_owned()).chain(words).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(self.ask(&words), b"+OK\r\n");
    }
}

fn with_clusters(test: impl Fn(Cluster, &str)) {
    for hello in ["2", "3"] {
        if let Some(mut cluster) = Cluster::start(hello) {
            cluster.fill();
            test(cluster, hello);
        }
    }
}

fn texts(reply: &[u8]) -> Vec<String> {
    let Some(Reply::Array(elements)) = Reply::parse(reply) else {
        panic!("{}", reply.escape_ascii());
    };
    let text = |element| String::from_utf8(Reply::parse(element).unwrap().text().unwrap().to_vec());
    elements.map(|element| text(element).unwrap()).collect()
}

#[test]
fn keys_are_found_wherever_they_are() {
    with_clusters(|mut cluster, hello| {
        let all: BTreeSet<String> = (0..KEYS).map(|n| format!("k{n}")).collect();
        assert!(
            cluster
                .servers
                .iter_mut()
                .all(|it| it.ask_raw(&["DBSIZE"]) != b":0\r\n")
        );
        assert_eq!(cluster.ask_words("DBSIZE"), ":100\r\n");
        let keys = texts(&cluster.ask(&["KEYS", "*"]));
        assert_eq!(
            (keys.len(), keys.into_iter().collect()),
            (KEYS, all.clone())
        );
        let null = if hello == "2" { "$-1\r\n" } else { "_\r\n" };
        let values = cluster.ask_words("MGET k7 nosuch k31 k7");
        assert_eq!(
            values,
            format!("*4\r\n$2\r\nv7\r\n{null}$3\r\nv31\r\n$2\r\nv7\r\n")
        );
        assert_eq!(cluster.ask_words("EXISTS k7 nosuch k31 k7"), ":3\r\n");
        assert_eq!(cluster.ask_words("TOUCH k7 nosuch k31"), ":2\r\n");
        assert_eq!(cluster.ask_words("DEL k7 nosuch k31 k7"), ":2\r\n");
        assert_eq!(cluster.ask_words("UNLINK k1 k2 k3 k4"), ":4\r\n");
        let random = cluster.ask_words("RANDOMKEY");
        assert!(all.contains(random.lines().nth(1).unwrap()), "{random}");
        assert_eq!(cluster.ask_words("FLUSHALL"), "+OK\r\n");
        assert_eq!(cluster.ask_words("RANDOMKEY"), null);
        assert_eq!(cluster.ask_words("SET only 1"), "+OK\r\n");
        for _ in 0..3 {
            assert_eq!(cluster.ask_words("RANDOMKEY"), "$4\r\nonly\r\n");
        }
    });
}

#[test]
fn a_scan_meets_every_key_once() {
    with_clusters(|mut cluster, _| {
        let mut seen = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let reply = cluster.ask(&["SCAN", &cursor, "COUNT", "7", "TYPE", "string"]);
            let Some(Reply::Array(mut elements)) = Reply::parse(&reply) else {
                panic!("{}", reply.escape_ascii());
            };
            let next = elements.reply().unwrap();
            cursor = String::from_utf8(next.text().unwrap().to_vec()).unwrap();
            for key in texts(elements.next().unwrap()) {
                *seen.entry(key).or_insert(0) += 1;
            }
            assert!(cursor.parse::<i64>().unwrap() >= 0);
            if cursor == "0" {
                break;
            }
        }
        // Nothing was added, so that no table was resized and no key is met twice.
        assert_eq!(seen.len(), KEYS);
        assert!(seen.values().all(|times| *times == 1));
        assert_eq!(cluster.ask_words("SCAN x"), "-ERR invalid cursor\r\n");
        assert!(
            cluster
                .ask_words("SCAN")
                .starts_with("-ERR wrong number of arguments")
        );
    });
}

#[test]
fn scripts_are_everywhere_or_nowhere() {
    with_clusters(|mut cluster, _| {
        let sha = cluster.ask(&["SCRIPT", "LOAD", "return 7"]);
        let sha = String::from_utf8(sha).unwrap();
        let sha = sha.lines().nth(1).unwrap();
        let exists = format!("SCRIPT EXISTS {sha} nosuch");
        assert_eq!(cluster.ask_words(&exists), "*2\r\n:1\r\n:0\r\n");
        cluster.servers[1].ask_raw(&["SCRIPT", "FLUSH"]);
        assert_eq!(cluster.ask_words(&exists), "*2\r\n:0\r\n:0\r\n");
        assert!(cluster.ask_words("SCRIPT KILL").starts_with("-NOTBUSY"));
        let library = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
        assert_eq!(
            cluster.ask(&["FUNCTION", "LOAD", library]),
            b"$3\r\nlib\r\n"
        );
        for server in &mut cluster.servers {
            assert_eq!(server.ask_raw(&["FCALL", "f", "0"]), b":1\r\n");
        }
        let twice = String::from_utf8(cluster.ask(&["FUNCTION", "LOAD", library])).unwrap();
        assert_eq!(twice, "-ERR Library 'lib' already exists\r\n");
        let stats = cluster.ask(&["FUNCTION", "STATS"]);
        assert_eq!(stats, cluster.servers[0].ask_raw(&["FUNCTION", "STATS"]));
        assert_eq!(cluster.ask_words("FUNCTION DELETE lib"), "+OK\r\n");
    });
}

#[test]
fn subscribers_are_counted_wherever_they_are() {
    with_clusters(|mut cluster, _| {
        let _subscribers = [
            cluster.servers[0].beside(&["SUBSCRIBE", "a", "b"]),
            cluster.servers[2].beside(&["SUBSCRIBE", "b"]),
            cluster.servers[2].beside(&["PSUBSCRIBE", "x*"]),
            cluster.servers[1].beside(&["SSUBSCRIBE", "s"]),
        ];
        let expected = "*6\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n$1\r\nc\r\n:0\r\n";
        assert_eq!(cluster.ask_words("PUBSUB NUMSUB a b c"), expected);
        assert_eq!(cluster.ask_words("PUBSUB NUMSUB"), "*0\r\n");
        assert_eq!(cluster.ask_words("PUBSUB NUMPAT"), ":1\r\n");
        let mut channels = texts(&cluster.ask(&["PUBSUB", "CHANNELS"]));
        channels.sort_unstable();
        assert_eq!(channels, ["a", "b"]);
        assert_eq!(texts(&cluster.ask(&["PUBSUB", "SHARDCHANNELS"])), ["s"]);
        assert_eq!(
            cluster.ask_words("PUBSUB SHARDNUMSUB s"),
            "*2\r\n$1\r\ns\r\n:1\r\n"
        );
    });
}

#[test]
fn reports_are_of_all_servers() {
    with_clusters(|mut cluster, hello| {
        let info = cluster.ask_words("INFO keyspace");
        assert!(
            info.contains("\r\ndb0:keys=100,expires=0,avg_ttl=0\r\n"),
            "{info}"
        );
        let info = cluster.ask_words("INFO");
        let kind = if hello == "2" { "$" } else { "=" };
        assert!(info.starts_with(kind) && info.contains("redis_version:7.0.15\r\n"));
        assert!(info.contains("\r\nconnected_clients:3\r\n"), "{info}");
        let doctor = cluster.ask_words("MEMORY DOCTOR");
        assert!(
            (0..3).all(|n| doctor.contains(&format!("# node-{n}:6379\n"))),
            "{doctor}"
        );
        let first = cluster.servers[0].ask_raw(&["COMMAND", "COUNT"]);
        assert_eq!(cluster.servers[2].ask_raw(&["COMMAND", "COUNT"]), first);
    });
}

/// Every command that goes to all shards or nodes, as it is called.
const CALLS: &[&str] = &[
    "ACL DELUSER nosuch",
    "ACL SETUSER alice",
    "CONFIG RESETSTAT",
    "CONFIG SET maxmemory 0",
    "DBSIZE",
    "FLUSHALL ASYNC",
    "FLUSHDB",
    "FUNCTION DELETE nosuch",
    "FUNCTION FLUSH",
    "FUNCTION KILL",
    "FUNCTION LOAD x",
    "FUNCTION RESTORE x",
    "FUNCTION STATS",
    "INFO",
    "KEYS *",
    "LATENCY DOCTOR",
    "LATENCY GRAPH command",
    "LATENCY HISTOGRAM",
    "LATENCY HISTORY command",
    "LATENCY LATEST",
    "LATENCY RESET",
    "MEMORY DOCTOR",
    "MEMORY MALLOC-STATS",
    "MEMORY PURGE",
    "MEMORY STATS",
    "PUBSUB CHANNELS",
    "PUBSUB NUMPAT",
    "PUBSUB NUMSUB a",
    "PUBSUB SHARDCHANNELS",
    "PUBSUB SHARDNUMSUB a",
    "RANDOMKEY",
    "SCRIPT EXISTS x",
    "SCRIPT FLUSH",
    "SCRIPT KILL",
    "SCRIPT LOAD x",
    "SLOWLOG GET 3",
    "SLOWLOG LEN",
    "SLOWLOG RESET",
    "WAIT 0 0",
];

/// They need a file that these servers do not have.
const NOT_CALLED: &[&str] = &["acl|load", "acl|save", "config|rewrite"];

#[test]
fn every_command_for_all_shards_has_one_answer() {
    let mut called: BTreeSet<&str> = NOT_CALLED.iter().copied().collect();
    for call in CALLS {
        let mut words = call.split(' ').map(str::as_bytes);
        let command = command::find(words.next().unwrap(), words.next()).unwrap();
        called.insert(command.name);
    }
    let everywhere = |command: &&command::Command| {
        matches!(
            command.request,
            RequestPolicy::AllNodes | RequestPolicy::AllShards
        )
    };
    let all = command::all().iter();
    let all = all.flat_map(|command| std::iter::once(command).chain(command.subcommands));
    let all: BTreeSet<&str> = all.filter(everywhere).map(|command| command.name).collect();
    assert_eq!(called, all);
    with_clusters(|mut cluster, _| {
        for call in CALLS {
            let answer = cluster.ask_words(call);
            let merged = Reply::parse(answer.as_bytes()).unwrap();
            assert!(!answer.starts_with("-ERR proxy"), "{call}: {answer}");
            // It is of the kind that one server gives.
            let words: Vec<&str> = call.split(' ').collect();
            let own = cluster.servers[0].ask_raw(&words);
            let own = Reply::parse(&own).unwrap();
            let same = std::mem::discriminant(&merged) == std::mem::discriminant(&own);
            assert!(same || *call == "RANDOMKEY", "{call}: {answer} {own:?}");
        }
    });
}
