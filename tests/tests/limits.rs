//! Local rate limits of a MetaRouter before real peers: exactly what a bucket holds gets through, and
//! the rest is an error in the words of its protocol.

use std::io::Write;

use meltemi_tests::redis::{self, Server, Wire, encode};
use meltemi_tests::thrift::wire::{Message, ONEWAY, connect};
use meltemi_tests::thrift::{HOST, wire};
use meltemi_tests::{Endpoint, Manifests, Meltemi, until};

const REDIS: &str = "default/edge/redis";
const LIMITED: &str = "-ERR proxy: a rate limit was reached";
const LIMITED_TOTAL: &str = "meltemi_local_rate_limit_limited_total";

/// So long that nothing is added while a test runs.
const HOUR: &str = "tokensPerFill: 1, fillInterval: 1h";

fn router(host: &str, limit: &str) -> String {
    format!(
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata:\n  name: shop\nspec:\n  \
         hosts: [{host}]\n  gateways: [edge]\n  localRateLimit:\n{limit}"
    )
}

fn default_bucket(tokens: u32) -> String {
    format!("    tokenBucket: {{ maxTokens: {tokens}, {HOUR} }}\n")
}

struct Cache {
    server: Server,
    manifests: Manifests,
    meltemi: Meltemi,
}

impl Cache {
    fn start(limit: &str, arguments: &[&str]) -> Option<Self> {
        if !Server::is_installed() {
            return None;
        }
        let server = Server::start(&[]);
        let manifests = redis::manifests(&[server.address()]);
        manifests.write("routes.yaml", &router("cache.demo", limit));
        let meltemi = Meltemi::run_with(manifests.path(), arguments);
        Some(Self {
            server,
            manifests,
            meltemi,
        })
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address(REDIS))
    }

    /// How often the server itself was asked for a command.
    fn served(&self, command: &str) -> u64 {
        let stats = self.server.connect().call("INFO commandstats");
        let name = format!("cmdstat_{command}:calls=");
        let count = stats.split(&name).nth(1);
        let count = count.and_then(|rest| rest.split(',').next());
        count.map_or(0, |count| count.parse().expect("a number"))
    }
}

/// How many of a burst of so many `GET`s on one connection are served, in one write or one by one.
fn burst(client: &mut Wire, count: usize, at_once: bool) -> usize {
    let get = encode(&[b"GET", b"nothing"]);
    let mut replies = vec![];
    if at_once {
        client.send(&get.repeat(count));
        replies.extend((0..count).map(|_| client.reply()));
    } else {
        for _ in 0..count {
            client.send(&get);
            replies.push(client.reply());
        }
    }
    for reply in &replies {
        assert!(["(nil)", LIMITED].contains(&reply.as_str()), "{reply}");
    }
    replies.iter().filter(|reply| *reply == "(nil)").count()
}

#[test]
fn a_burst_over_two_workers_gets_exactly_what_the_bucket_holds() {
    let Some(it) = Cache::start(&default_bucket(137), &["--workers", "2"]) else {
        return;
    };
    // The dispatcher gives each worker half of the connections.
    let mut clients: Vec<_> = (0..8).map(|_| it.connect()).collect();
    let served: usize = std::thread::scope(|scope| {
        let bursts = clients.iter_mut().enumerate();
        let bursts: Vec<_> = bursts
            .map(|(i, client)| scope.spawn(move || burst(client, 50, i % 2 == 0)))
            .collect();
        bursts
            .into_iter()
            .map(|it| it.join().expect("a burst"))
            .sum()
    });
    assert_eq!(served, 137);
    assert_eq!(it.served("get"), 137);
    let count = |name: &str| {
        let name = format!("meltemi_local_rate_limit_{name}_total");
        it.meltemi
            .metric(&name, &["bucket=\"default/shop default\""])
    };
    assert_eq!((count("ok"), count("limited")), (137, 400 - 137));

    // An update that leaves the bucket as it is leaves its tokens, too.
    let timeout = "  routes:\n  - name: all\n    timeout: 7s\n    match: {}\n";
    let changed = router("cache.demo", &default_bucket(137)) + timeout;
    it.manifests.write("routes.yaml", &changed);
    until("the other timeout", || {
        let dump = it.meltemi.get("/config_dump")?.body;
        dump.contains("\"7s\"").then_some(())
    });
    assert_eq!(burst(&mut clients[0], 20, true), 0);

    // One with other numbers is another bucket.
    let changed = router("cache.demo", &default_bucket(5)) + timeout;
    it.manifests.write("routes.yaml", &changed);
    until("the other bucket", || {
        let dump = it.meltemi.get("/config_dump")?.body;
        dump.contains("\"max_tokens\":5,")
            .then_some(())
            .or_else(|| dump.contains("\"max_tokens\": 5,").then_some(()))
    });
    let served = until("a token", || {
        let served = burst(&mut clients[1], 20, true);
        (served > 0).then_some(served)
    });
    assert_eq!(served + burst(&mut clients[2], 20, false), 5);
}

#[test]
fn the_first_condition_that_matches_says_which_bucket() {
    let limit = format!(
        "    conditions:\n    \
         - {{ match: {{ attributes: {{ command: {{ exact: get }}, key: {{ prefix: hot }} }} }}, tokenBucket: {{ maxTokens: 2, {HOUR} }} }}\n    \
         - {{ match: {{ attributes: {{ command: {{ exact: get }} }} }}, tokenBucket: {{ maxTokens: 3, {HOUR} }} }}\n"
    );
    let Some(it) = Cache::start(&limit, &["--workers", "1"]) else {
        return;
    };
    let mut client = it.connect();
    let mut count = |command: &str| {
        let replies: Vec<_> = (0..6).map(|_| client.call(command)).collect();
        replies.iter().filter(|it| **it != LIMITED).count()
    };
    assert_eq!(
        [count("GET hot:1"), count("GET cold"), count("SET a 1")],
        [2, 3, 6]
    );
    assert_eq!(count("GET hot:2"), 0);
    let limited = |bucket: &str| it.meltemi.metric(LIMITED_TOTAL, &[bucket]);
    assert_eq!(limited("bucket=\"default/shop conditions[0]\""), 4 + 6);
    assert_eq!(limited("bucket=\"default/shop conditions[1]\""), 3);
}

#[test]
fn a_limit_lies_over_a_redis_service() {
    let limit = default_bucket(4);
    let Some(it) = Cache::start(&limit, &["--workers", "1"]) else {
        return;
    };
    let service = "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisService\nmetadata:\n  name: cache\nspec:\n  \
                   host: [cache.demo]\n  gateways: [edge]\n  redis:\n  \
                   - match: { key: { prefix: 'user:', removePrefix: true } }\n    \
                     route: { host: cache.demo }\n  - route: { host: cache.demo }\n";
    it.manifests.write("service-rules.yaml", service);
    until("the RedisService", || {
        let dump = it.meltemi.get("/config_dump")?.body;
        dump.contains("remove_prefix\":{")
            .then_some(())
            .or_else(|| dump.contains("remove_prefix\": {").then_some(()))
    });
    let mut client = it.connect();
    // The bucket is one, whatever the route.
    for (command, reply) in [
        ("SET user:1 x", "+OK"),
        ("GET 1", "x"),
        ("GET user:1", "x"),
        ("GET other", "(nil)"),
        ("GET user:1", LIMITED),
        ("GET 1", LIMITED),
    ] {
        assert_eq!(client.call(command), reply, "{command}");
    }
}

#[test]
fn a_transaction_of_which_a_command_was_limited_is_not_executed() {
    let limit = format!(
        "    conditions:\n    \
         - {{ match: {{ attributes: {{ command: {{ regex: 'set|exec|discard' }} }} }}, tokenBucket: {{ maxTokens: 3, {HOUR} }} }}\n"
    );
    let Some(it) = Cache::start(&limit, &["--workers", "1"]) else {
        return;
    };
    let mut client = it.connect();
    for (command, reply) in [
        ("MULTI", "+OK"),
        ("SET a 1", "+QUEUED"),
        ("SET b 1", "+QUEUED"),
        ("SET c 1", "+QUEUED"),
        ("SET d 1", LIMITED),
    ] {
        assert_eq!(client.call(command), reply, "{command}");
    }
    // What ends it needs no token.
    let refused = client.call("EXEC");
    assert!(refused.starts_with("-EXECABORT"), "{refused}");
    assert_eq!(client.call("GET a"), "(nil)");
    assert_eq!(it.server.connect().call("DBSIZE"), ":0");
}

fn thrift(limit: &str, port: u16) -> (Manifests, Meltemi) {
    let manifests = Manifests::thrift_gateway();
    let endpoint = Endpoint {
        port,
        version: "v1",
        locality: "r1/z1/s1",
    };
    manifests.service(HOST, &[endpoint]);
    manifests.write("routes.yaml", &router(HOST, limit));
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "2"]);
    (manifests, meltemi)
}

#[test]
fn a_oneway_call_without_a_token_is_dropped_and_counted() {
    let server = wire::Scripted::echo();
    let limit = format!(
        "    conditions:\n    \
         - {{ match: {{ attributes: {{ type: {{ exact: oneway }} }} }}, tokenBucket: {{ maxTokens: 1, {HOUR} }} }}\n"
    );
    let (_manifests, meltemi) = thrift(&limit, server.port());
    let mut stream = connect(meltemi.address("default/edge/thrift")).expect("the proxy listens");
    for seq in 0..5 {
        let mut oneway = Message::call("fire", seq, vec![0]);
        oneway.kind = ONEWAY;
        stream.write_all(&oneway.framed()).expect("the proxy reads");
    }
    // The next answer is of the next call, on a connection that goes on.
    let call = Message::call("label", 9, vec![0]);
    stream.write_all(&call.framed()).expect("the proxy reads");
    let answer = Message::read(&mut stream).expect("an answer");
    assert_eq!((answer.seq, answer.name.as_str()), (9, "label"));
    meltemi.counts(LIMITED_TOTAL, &[], 4);
}
