//! The service decides.

use std::io::Write;
use std::thread;

use meltemi_tests::redis::{Wire, encode};
use meltemi_tests::thrift::HOST;
use meltemi_tests::thrift::wire::{self, Message, connect};
use meltemi_tests::{Endpoint, Manifests, Meltemi, RateLimitService, until};
use serde_json::Value;

use super::shop::{BY_KEY, CONFIG, LIMITED, PATIENT, Shop, count, router, service_entry};

/// How many of so many `GET`s of a key are served, in one write or one by one.
fn burst(client: &mut Wire, key: &str, count: usize, at_once: bool) -> usize {
    let get = encode(&[b"GET", key.as_bytes()]);
    let mut replies = vec![];
    if at_once {
        client.send(&get.repeat(count));
        replies.extend((0..count).map(|_| client.reply()));
    } else {
        replies.extend((0..count).map(|_| client.call(&format!("GET {key}"))));
    }
    for reply in &replies {
        assert!(["(nil)", LIMITED].contains(&reply.as_str()), "{reply}");
    }
    replies.iter().filter(|reply| *reply == "(nil)").count()
}

#[test]
fn each_value_has_exactly_its_requests_whoever_asks() {
    let Some(service) = RateLimitService::start(CONFIG) else {
        return;
    };
    let limit = format!("{BY_KEY}, {PATIENT}");
    let it = Shop::start(service.address(), &limit, &["--workers", "2"]);
    // The dispatcher gives each worker half of the connections.
    let served: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|_| it.connect()).collect();
        let bursts: Vec<_> = clients
            .into_iter()
            .enumerate()
            .map(|(i, mut client)| scope.spawn(move || burst(&mut client, "apple", 9, i % 2 == 0)))
            .collect();
        bursts
            .into_iter()
            .map(|it| it.join().expect("a burst"))
            .sum()
    });
    assert_eq!(served, 5);
    assert_eq!((it.count("ok"), it.count("over_limit")), (5, 6 * 9 - 5));

    // Another value is counted apart.
    let mut client = it.connect();
    assert_eq!(burst(&mut client, "pear", 9, true), 5);
    assert_eq!(burst(&mut client, "apple", 1, true), 0);
    // So is another command, of which one key alone has a limit; the service was asked about the others.
    let asked = it.count("ok");
    for (key, replies) in [
        ("stock", ["+OK", "+OK", "+OK", LIMITED, LIMITED]),
        ("apple", ["+OK"; 5]),
    ] {
        let said = [1, 2, 3, 4, 5].map(|n| client.call(&format!("SET {key} {n}")));
        assert_eq!(said, replies);
    }
    assert_eq!(it.count("ok"), asked + 3 + 5);
    // What has no key has no descriptor.
    for _ in 0..8 {
        assert_eq!(client.call("DBSIZE"), ":2");
    }
    assert_eq!(it.count("ok"), asked + 3 + 5);
    assert_eq!(it.count("error"), 0);
    // One descriptor is counted, of both together.
    let keys = service.redis().connect().call("KEYS *");
    assert!(keys.contains("shop_command_get_key_apple_"), "{keys}");
    assert_eq!(keys.matches("shop_").count(), 3, "{keys}");
}

#[test]
fn what_it_does_not_match_is_not_asked_about_and_an_update_leaves_the_counts() {
    let Some(service) = RateLimitService::start(CONFIG) else {
        return;
    };
    let limit =
        format!("match: {{ attributes: {{ key: {{ prefix: app }} }} }}, {BY_KEY}, {PATIENT}");
    let it = Shop::start(service.address(), &limit, &["--workers", "1"]);
    let mut client = it.connect();
    assert_eq!(burst(&mut client, "pear", 9, true), 9);
    assert_eq!(it.count("ok") + it.count("over_limit"), 0);
    assert_eq!(burst(&mut client, "apple", 9, false), 5);

    // Without a condition it is about all requests; its counts are the service's.
    let limit = format!("{BY_KEY}, {PATIENT}, denyOnFail: true");
    it.manifests
        .write("routes.yaml", &router("cache.demo", &limit));
    until("the other limit", || {
        let dump: Value = serde_json::from_str(&it.meltemi.get("/config_dump")?.body).ok()?;
        let text = dump.to_string();
        text.contains("\"failure_mode_deny\":true").then_some(())
    });
    let served = until("pears are limited", || {
        let served = burst(&mut client, "pear", 9, true);
        (served < 9).then_some(served)
    });
    assert_eq!(served, 5);
    assert_eq!(burst(&mut client, "apple", 3, true), 0);
}

#[test]
fn a_transaction_of_which_a_command_was_limited_is_not_executed() {
    let Some(service) = RateLimitService::start(CONFIG) else {
        return;
    };
    let limit = format!("{BY_KEY}, {PATIENT}");
    let it = Shop::start(service.address(), &limit, &["--workers", "1"]);
    let mut client = it.connect();
    let mut commands = vec!["MULTI"];
    commands.extend(["SET stock 1"; 4]);
    let said: Vec<_> = commands
        .iter()
        .map(|command| client.call(command))
        .collect();
    assert_eq!(said, ["+OK", "+QUEUED", "+QUEUED", "+QUEUED", LIMITED]);
    let refused = client.call("EXEC");
    assert!(refused.starts_with("-EXECABORT"), "{refused}");
    // A large one waits with all that is behind its head.
    let large = "x".repeat(1 << 20);
    assert_eq!(client.call(&format!("SET apple {large}")), "+OK");
    assert_eq!(client.call(&format!("SET stock {large}")), LIMITED);
    assert_eq!(client.call("STRLEN apple"), ":1048576");
    assert_eq!(client.call("EXISTS stock"), ":0");
}

fn thrift_proxy(service: &RateLimitService, port: u16) -> (Manifests, Meltemi) {
    let manifests = Manifests::thrift_gateway();
    let endpoint = Endpoint {
        port,
        version: "v1",
        locality: "r1/z1/s1",
    };
    manifests.service(HOST, &[endpoint]);
    manifests.write("ratelimit.yaml", &service_entry(&[service.address()]));
    let by_method =
        format!("descriptors: [{{ property: method, descriptorKey: method }}], {PATIENT}");
    manifests.write("routes.yaml", &router(HOST, &by_method));
    let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "2"]);
    (manifests, meltemi)
}

#[test]
fn pipelined_calls_are_answered_under_their_own_ids() {
    let Some(service) = RateLimitService::start(CONFIG) else {
        return;
    };
    let server = wire::Scripted::echo();
    let (_manifests, meltemi) = thrift_proxy(&service, server.port());
    let mut stream = connect(meltemi.address("default/edge/thrift")).expect("the proxy listens");
    let names = ["buy", "sell", "look"];
    let calls: Vec<_> = (0..60)
        .map(|seq| Message::call(names[seq % 3], seq as i32, vec![0]))
        .collect();
    let bytes: Vec<u8> = calls.iter().flat_map(Message::framed).collect();
    stream.write_all(&bytes).expect("the proxy reads");
    let mut served = 0;
    for call in &calls {
        let answer = Message::read(&mut stream).expect("an answer");
        assert_eq!((answer.seq, &answer.name), (call.seq, &call.name));
        served += usize::from(answer.exception().is_none());
    }
    assert_eq!(served, 21);
    assert_eq!(
        (count(&meltemi, "ok"), count(&meltemi, "over_limit")),
        (21, 39)
    );
}
