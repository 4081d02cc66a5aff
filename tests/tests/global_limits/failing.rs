//! The service does not decide: it is frozen, killed, or never was.

use std::fs;
use std::time::{Duration, Instant};

use meltemi_tests::{RateLimitService, until};

use super::shop::{BY_KEY, CONFIG, LIMITED, Shop, UNDECIDED, UNREACHABLE, service_entry};

/// What a deadline may be late by on a machine that has much else to do.
const LATE: Duration = Duration::from_secs(5);

#[test]
fn a_frozen_service_costs_its_time_and_no_more() {
    let Some(service) = RateLimitService::start(CONFIG) else {
        return;
    };
    for (deny, expected) in [(false, "(nil)"), (true, UNDECIDED)] {
        let limit = format!("{BY_KEY}, requestTimeout: 100ms, denyOnFail: {deny}");
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let path = log.path().to_str().expect("a path");
        let arguments = ["--workers", "1", "--access-log", path];
        let it = Shop::start(service.address(), &limit, &arguments);
        let mut client = it.connect();
        let key = format!("apple-{deny}");
        until("a verdict", || {
            client.call(&format!("GET {key}"));
            (it.count("ok") > 0).then_some(())
        });
        let before = it.count("error");
        service.process().signal("STOP");
        for _ in 0..5 {
            let start = Instant::now();
            assert_eq!(client.call(&format!("GET {key}")), expected);
            let took = start.elapsed();
            assert!(took >= Duration::from_millis(100), "{took:?}");
            assert!(took < LATE, "{took:?}");
        }
        assert_eq!(it.count("error"), before + 5);
        assert_eq!(it.count("timeout"), before + 5);
        let allowed = it.count("failure_mode_allowed");
        assert_eq!(allowed, if deny { 0 } else { before + 5 });
        service.process().signal("CONT");
        // What it was asked in vain may count, but it decides again.
        until("a limit", || {
            (client.call(&format!("GET {key}")) == LIMITED).then_some(())
        });
        let logged = until("the lines", || {
            let text = fs::read_to_string(path).ok()?;
            text.contains("\"RL\"").then_some(text)
        });
        assert_eq!(logged.contains("\"RLSE\""), deny, "{logged}");
    }
}

/// The requests of a pipeline keep their order, so each waits for the one before it.
#[test]
fn a_pipeline_waits_in_vain_once() {
    let Some(service) = RateLimitService::start(CONFIG) else {
        return;
    };
    for (deny, expected) in [(false, "(nil)"), (true, UNDECIDED)] {
        let limit = format!("{BY_KEY}, requestTimeout: 2s, denyOnFail: {deny}");
        let it = Shop::start(service.address(), &limit, &["--workers", "1"]);
        let mut client = it.connect();
        let key = format!("pear-{deny}");
        until("a verdict", || {
            client.call(&format!("GET {key}"));
            (it.count("ok") > 0).then_some(())
        });
        let before = it.count("timeout");
        service.process().signal("STOP");
        let start = Instant::now();
        client.send(format!("GET {key}\r\n").repeat(50).as_bytes());
        for _ in 0..50 {
            assert_eq!(client.reply(), expected);
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_secs(2), "{took:?}");
        assert!(took < Duration::from_secs(2) + LATE, "{took:?}");
        assert_eq!(it.count("timeout"), before + 50);
        // What it sends afterwards is asked about again.
        service.process().signal("CONT");
        until("a limit", || {
            (client.call(&format!("GET {key}")) == LIMITED).then_some(())
        });
    }
}

/// One worker has them all: whoever waits for the service keeps nobody else waiting.
#[test]
fn a_request_that_waits_keeps_back_its_own_clients_requests_alone() {
    let Some(service) = RateLimitService::start(CONFIG) else {
        return;
    };
    let limit = format!("{BY_KEY}, requestTimeout: 3600s, denyOnFail: true");
    let it = Shop::start(service.address(), &limit, &["--workers", "1"]);
    let (mut waiting, mut other, mut gone) = (it.connect(), it.connect(), it.connect());
    assert_eq!(other.call("GET pear"), "(nil)");
    service.process().signal("STOP");
    waiting.send(b"SET apple 1\r\nDBSIZE\r\nGET apple\r\n");
    gone.send(b"SET apple 2\r\n");
    until("both wait", || (it.in_flight() >= 2).then_some(()));
    for _ in 0..100 {
        assert_eq!(other.call("DBSIZE"), ":0");
    }
    // Who leaves takes its request along. (One that only sends no more waits for its answer.)
    let resets = socket2::Socket::from(gone.writer());
    resets
        .set_linger(Some(Duration::ZERO))
        .expect("an option of sockets");
    drop((gone, resets));
    until("one is gone", || (it.in_flight() == 1).then_some(()));
    service.process().signal("CONT");
    let replies = [waiting.reply(), waiting.reply(), waiting.reply()];
    assert_eq!(replies, ["+OK", ":1", "1"]);
    assert_eq!(it.in_flight(), 0);
}

#[test]
fn a_service_that_was_killed_is_asked_again_when_it_is_back() {
    let Some(mut service) = RateLimitService::start(CONFIG) else {
        return;
    };
    for (deny, expected) in [(false, "(nil)"), (true, UNREACHABLE)] {
        let limit = format!("{BY_KEY}, requestTimeout: 60s, denyOnFail: {deny}");
        let it = Shop::start(service.address(), &limit, &["--workers", "2"]);
        let key = format!("apple-{deny}");
        let mut client = it.connect();
        let said: Vec<_> = (0..7).map(|_| client.call(&format!("GET {key}"))).collect();
        assert_eq!(said[..5], ["(nil)"; 5]);
        assert_eq!(said[5..], [LIMITED; 2]);
        assert_eq!(it.count("error"), 0);
        service.process().signal("KILL");
        until("the service is missed", || {
            (client.call(&format!("GET {key}")) == expected).then_some(())
        });
        // Nobody waits for what is not there.
        let start = Instant::now();
        for _ in 0..200 {
            assert_eq!(client.call(&format!("GET {key}")), expected);
        }
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(it.count("error") > 200);
        assert!(it.count("unreachable") > 200);
        service.start_again();
        // Redis has kept the counts.
        until("it is asked again", || {
            (client.call(&format!("GET {key}")) == LIMITED).then_some(())
        });
        let errors = it.count("error");
        for _ in 0..50 {
            assert_eq!(client.call(&format!("GET {key}")), LIMITED);
        }
        assert_eq!(it.count("error"), errors);
    }
}

/// Its address is another one: the configuration says so, and nothing else.
#[test]
fn a_service_is_found_where_its_serviceentry_says() {
    let Some(service) = RateLimitService::start(CONFIG) else {
        return;
    };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let limit = format!("{BY_KEY}, requestTimeout: 60s, denyOnFail: true");
    let it = Shop::start(nowhere, &limit, &["--workers", "2"]);
    let mut client = it.connect();
    assert_eq!(client.call("GET apple"), UNREACHABLE);
    it.manifests
        .write("ratelimit.yaml", &service_entry(&[service.address()]));
    until("it is found", || {
        (client.call("GET apple") == "(nil)").then_some(())
    });
    // Of two, one that is not there costs a request now and then.
    it.manifests.write(
        "ratelimit.yaml",
        &service_entry(&[nowhere, service.address()]),
    );
    until("the other is missed", || {
        (client.call("GET pear") == UNREACHABLE).then_some(())
    });
    until("a limit", || {
        (client.call("GET pear") == LIMITED).then_some(())
    });
}
