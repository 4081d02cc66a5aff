//! Requests that a route has sent again, through real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use meltemi_codec::kit::sample::by_id::{HEADER, Header, Kind, SYSTEM_ERROR, frame, response};

use super::LISTENER;
use super::harness::{CLUSTER, Running, any_port, dead, snapshot, tcp_echo, upstream, wait};
use crate::config::{Address, RetryBudget, RetryOn, RetryPolicy, Share, Snapshot};
use crate::proxy::ProxyOptions;

fn policy(on: RetryOn) -> RetryPolicy {
    RetryPolicy {
        attempts: 2,
        per_try_timeout: None,
        on: vec![on],
        backoff: Duration::from_millis(1),
        non_idempotent: true,
    }
}

fn retrying(endpoints: &[Address], policy: RetryPolicy) -> Snapshot {
    let mut snapshot = snapshot("v1", &[(LISTENER, any_port())], endpoints);
    let routes = Arc::make_mut(snapshot.routes.get_mut("echo-routes").unwrap());
    Arc::make_mut(&mut routes.routes[0]).retry = Some(policy);
    Arc::make_mut(snapshot.clusters.get_mut(CLUSTER).unwrap()).outlier = None;
    snapshot
}

/// The next request's header, all of it read.
fn request(stream: &mut TcpStream) -> Option<Header> {
    let mut head = [0; HEADER];
    stream.read_exact(&mut head).ok()?;
    let header = Header::read(&head)?;
    let mut rest = vec![0; header.size() as usize - HEADER];
    stream.read_exact(&mut rest).ok()?;
    Some(header)
}

/// Answers every request with an error of its system.
fn failing() -> Address {
    upstream(|mut stream| {
        while let Some(header) = request(&mut stream) {
            let answer = response(header.id, header.dialect, SYSTEM_ERROR, b"broken");
            stream.write_all(&answer).unwrap();
        }
    })
}

/// Hangs up on every request.
fn resetting() -> Address {
    upstream(|mut stream| {
        request(&mut stream);
    })
}

/// Never answers.
fn silent() -> Address {
    upstream(|mut stream| while request(&mut stream).is_some() {})
}

fn retries(proxy: &Running) -> Option<f64> {
    proxy.metric(&format!(r#"meltemi_retries_total{{cluster="{CLUSTER}"}}"#))
}

#[test]
fn a_failure_that_the_route_names_is_made_good_by_another_endpoint() {
    let with_limit = RetryPolicy {
        per_try_timeout: Some(Duration::from_millis(30)),
        ..policy(RetryOn::Timeout)
    };
    for (bad, policy) in [
        (failing(), policy(RetryOn::SystemError)),
        (resetting(), policy(RetryOn::ResetBeforeBytes)),
        (silent(), with_limit),
    ] {
        let proxy = Running::start(retrying(&[bad, tcp_echo()], policy.clone()));
        let mut client = proxy.client(LISTENER);
        for id in 0..6 {
            client.call(id, b"hello");
        }
        // Who has hung up is asked after the other for a while.
        assert!(retries(&proxy) >= Some(1.0), "{policy:?}");
    }
}

fn hedging(endpoints: &[Address], delay: u64) -> Snapshot {
    let mut snapshot = retrying(endpoints, policy(RetryOn::ConnectFailure));
    let routes = Arc::make_mut(snapshot.routes.get_mut("echo-routes").unwrap());
    let route = Arc::make_mut(&mut routes.routes[0]);
    route.retry = None;
    route.hedge = Some(Duration::from_millis(delay));
    route.idempotent = true;
    snapshot
}

#[test]
fn an_endpoint_that_is_slow_does_not_keep_a_request_waiting_alone() {
    let proxy = Running::start(hedging(&[silent(), tcp_echo()], 20));
    let mut client = proxy.client(LISTENER);
    for id in 0..6 {
        client.call(id, b"hello");
    }
    assert!(retries(&proxy) >= Some(2.0));
    wait("nothing left under way", || {
        let active = format!(r#"meltemi_upstream_attempts_in_flight{{cluster="{CLUSTER}"}}"#);
        proxy.metric(&active) == Some(0.0)
    });
}

#[test]
fn an_error_waits_for_the_other_endpoint_and_is_told_where_there_is_none() {
    let late_failing = || {
        upstream(|mut stream| {
            while let Some(header) = request(&mut stream) {
                std::thread::sleep(Duration::from_millis(60));
                let answer = response(header.id, header.dialect, SYSTEM_ERROR, b"broken");
                stream.write_all(&answer).unwrap();
            }
        })
    };
    let proxy = Running::start(hedging(&[late_failing(), silent()], 10));
    let mut client = proxy.client(LISTENER);
    for id in 0..4 {
        // The other endpoint never answers: what fails first is not told, so that the client's own
        // patience decides.
        client.send(id, b"hello");
    }
    wait("both endpoints asked", || retries(&proxy) >= Some(4.0));
    let alone = Running::start(hedging(&[late_failing()], 10));
    let mut client = alone.client(LISTENER);
    client.send(1, b"hello");
    assert_eq!(client.receive().1, b"broken");
    assert_eq!(retries(&alone), Some(0.0));
}

/// Hangs up on the first request of each connection after 30 ms, and tells those of the others how long
/// its client waits.
fn telling_deadlines(hang_up: bool) -> Address {
    upstream(move |mut stream| {
        while let Some(header) = request(&mut stream) {
            if hang_up {
                std::thread::sleep(Duration::from_millis(30));
                return;
            }
            let told = header.detail.to_string();
            let answer = response(header.id, header.dialect, 0, told.as_bytes());
            stream.write_all(&answer).unwrap();
        }
    })
}

#[test]
fn what_is_left_of_a_deadline_is_passed_on() {
    let asked = |proxy: &Running, stated: u32| -> u32 {
        let mut client = proxy.client(LISTENER);
        let header = Header {
            detail: stated,
            ..Header::new(Kind::Request, 1)
        };
        client.0.write_all(&frame(header, &[], b"?")).unwrap();
        let (_, told) = client.receive();
        String::from_utf8(told).unwrap().parse().unwrap()
    };
    let mut snapshot = retrying(
        &[telling_deadlines(true), telling_deadlines(false)],
        policy(RetryOn::ResetBeforeBytes),
    );
    let proxy = Running::start(snapshot.clone());
    let told: Vec<_> = (0..4).map(|_| asked(&proxy, 2_000)).collect();
    assert!(
        told.contains(&2_000),
        "untouched where it came at once: {told:?}"
    );
    let later = told.iter().filter(|told| **told <= 1_970).count();
    assert!(later >= 1, "less after a repetition: {told:?}");
    assert_eq!(asked(&proxy, 0), 0, "none where the message says none");

    let routes = Arc::make_mut(snapshot.routes.get_mut("echo-routes").unwrap());
    Arc::make_mut(&mut routes.routes[0]).timeout = Some(Duration::from_millis(1_500));
    let proxy = Running::start(snapshot);
    let told: Vec<_> = (0..4).map(|_| asked(&proxy, 2_000)).collect();
    assert!(told.iter().all(|told| *told <= 1_500), "{told:?}");
    assert!(told.contains(&1_500), "{told:?}");
    assert!(asked(&proxy, 1_000) <= 1_000);
}

#[test]
fn what_the_route_does_not_name_is_told_at_once() {
    let proxy = Running::start(retrying(&[failing()], policy(RetryOn::Timeout)));
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hello");
    assert_eq!(client.receive().1, b"broken");
    assert_eq!(retries(&proxy), Some(0.0));
}

#[test]
fn what_may_have_been_done_is_not_done_again_unless_the_rule_says_so() {
    let cautious = RetryPolicy {
        non_idempotent: false,
        ..policy(RetryOn::SystemError)
    };
    let mut snapshot = retrying(&[failing(), tcp_echo()], cautious);
    let proxy = Running::start(snapshot.clone());
    let mut client = proxy.client(LISTENER);
    let mut told = 0;
    for id in 0..6 {
        client.send(id, b"hello");
        told += u32::from(client.receive().1 == b"broken");
    }
    assert!(told > 0);
    assert_eq!(retries(&proxy), Some(0.0));

    let routes = Arc::make_mut(snapshot.routes.get_mut("echo-routes").unwrap());
    Arc::make_mut(&mut routes.routes[0]).idempotent = true;
    snapshot.version = "v2".into();
    proxy.snapshots.send(Arc::new(snapshot)).unwrap();
    wait("the route's word that repeating does no harm", || {
        client.send(9, b"hello");
        client.receive().1 == b"hello" && retries(&proxy) > Some(0.0)
    });
}

#[test]
fn attempts_end_and_the_last_answer_is_passed_on() {
    let proxy = Running::start(retrying(&[failing()], policy(RetryOn::SystemError)));
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hello");
    assert_eq!(client.receive().1, b"broken");
    assert_eq!(retries(&proxy), Some(2.0));
}

#[test]
fn nobody_to_connect_to_is_asked_again_after_a_pause() {
    let dead = dead();
    let Address::Tcp(address) = dead else {
        unreachable!("it is a TCP address")
    };
    let patient = RetryPolicy {
        attempts: 20,
        backoff: Duration::from_millis(40),
        ..policy(RetryOn::ConnectFailure)
    };
    let proxy = Running::start(retrying(&[dead], patient));
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hello");
    wait("a repetition", || retries(&proxy) > Some(0.0));
    let listener = std::net::TcpListener::bind(address).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let header = request(&mut stream).unwrap();
        stream
            .write_all(&response(header.id, header.dialect, 0, b"at last"))
            .unwrap();
    });
    assert_eq!(client.receive().1, b"at last");
    server.join().unwrap();
}

#[test]
fn a_storm_of_failures_stays_within_the_budget() {
    let slow = RetryPolicy {
        attempts: 10,
        backoff: Duration::from_secs(60),
        ..policy(RetryOn::SystemError)
    };
    let mut snapshot = retrying(&[failing()], slow);
    let cluster = Arc::make_mut(snapshot.clusters.get_mut(CLUSTER).unwrap());
    cluster.retry_budget = RetryBudget {
        share: Share::NONE,
        min_concurrency: 3,
    };
    let options = ProxyOptions {
        workers: 1.try_into().ok(),
        drain_time: Duration::from_millis(10),
        ..ProxyOptions::default()
    };
    let proxy = Running::with(snapshot, options);
    let mut client = proxy.client(LISTENER);
    for id in 0..20 {
        client.send(id, b"hello");
    }
    // Three wait for their turn; all others are told at once, though their rule would go on.
    for _ in 0..17 {
        assert_eq!(client.receive().1, b"broken");
    }
    assert_eq!(retries(&proxy), Some(3.0));
}

#[test]
fn the_access_log_has_every_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ProxyOptions {
        access_log: crate::access_log::Destination::File(log.clone()),
        ..ProxyOptions::default()
    };
    let endpoints = [failing()];
    let proxy = Running::with(retrying(&endpoints, policy(RetryOn::SystemError)), options);
    let mut client = proxy.client(LISTENER);
    client.send(1, b"hello");
    client.receive();
    wait("the line", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.matches("system_error").count() >= 3
    });
}
