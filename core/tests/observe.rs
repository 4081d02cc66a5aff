//! What is watched of requests: operations, slow ones, hot keys.

#![allow(clippy::unwrap_used)] // Everything here is a test.

#[path = "support/pair.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod pair;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meltemi_codec::kit::sample::in_order::{request, with_payload};
use pair::{ENDPOINT, PEER, Pair, SERVICE};

const NO_TIME: Duration = Duration::ZERO;
const OK: &[u8] = b"+ok\n";

/// The lines of the metrics page about operations, but for empty and full buckets.
fn operations(pair: &Pair) -> Vec<String> {
    let page = pair.telemetry.render();
    let lines = page.lines().filter(|line| {
        line.starts_with("meltemi_operation_requests_total{")
            || line.starts_with("meltemi_operation_duration_seconds_count{")
    });
    lines.map(str::to_owned).collect()
}

fn counted(operation: &str, outcome: &str, n: u64) -> String {
    format!(
        r#"meltemi_operation_requests_total{{service="{SERVICE}",operation="{operation}",outcome="{outcome}"}} {n}"#
    )
}

fn timed(operation: &str, n: u64) -> String {
    format!(
        r#"meltemi_operation_duration_seconds_count{{service="{SERVICE}",operation="{operation}"}} {n}"#
    )
}

#[test]
fn requests_are_counted_and_timed_by_operation() {
    let mut pair = Pair::new(|service| service.operation_metrics = true);
    pair.call(&request("GET", "a"), Duration::from_millis(3), OK);
    pair.call(&request("GET", "b"), Duration::from_millis(3), b"-no\n");
    pair.call(&request("GET", "c"), Duration::from_millis(300), OK);
    pair.call(&request("SET", "a"), NO_TIME, b"!OOPS broken\n");
    // Not answered, but a request like any.
    pair.ask(&request("NOTE", "a"));
    let long = "V".repeat(65);
    pair.call(&request(&long, "a"), NO_TIME, OK);
    let expected = [
        counted("GET", "ok", 2),
        counted("GET", "application_error", 1),
        counted("NOTE", "ok", 1),
        counted("SET", "system_error", 1),
        counted("other", "ok", 1),
        timed("GET", 3),
        timed("NOTE", 1),
        timed("SET", 1),
        timed("other", 1),
    ];
    assert_eq!(operations(&pair), expected);
    let bucket = |bound| {
        format!(
            r#"meltemi_operation_duration_seconds_bucket{{service="{SERVICE}",operation="GET",le="{bound}"}} 2"#
        )
    };
    let page = pair.telemetry.render();
    assert!(page.contains(&bucket("0.004096")), "{page}");
    assert!(page.contains(&bucket("0.262144")), "{page}");
}

#[test]
fn what_the_proxy_answers_itself_is_counted_as_well() {
    let mut pair = Pair::new(|service| service.operation_metrics = true);
    // Larger than the protocol allows: refused before it has a route.
    let refused = format!("PUT a *{}\n", 65 << 20);
    pair.ask(refused.as_bytes());
    // Its client leaves before the answer.
    let mut leaving = Pair::new(|service| service.operation_metrics = true);
    leaving.ask(&request("GET", "a"));
    leaving.engine.failed(leaving.client, leaving.now);
    assert_eq!(
        operations(&pair),
        [counted("PUT", "local", 1), timed("PUT", 1)]
    );
    assert_eq!(
        operations(&leaving),
        [counted("GET", "local", 1), timed("GET", 1)]
    );
}

#[test]
fn operations_are_counted_only_where_the_service_asks_for_it() {
    let mut pair = Pair::new(|_| {});
    pair.call(&request("GET", "a"), NO_TIME, OK);
    assert_eq!(operations(&pair), [""; 0]);
    pair.configure(|service| service.operation_metrics = true);
    pair.call(&request("GET", "a"), NO_TIME, OK);
    pair.configure(|_| {});
    pair.call(&request("GET", "a"), NO_TIME, OK);
    assert_eq!(
        operations(&pair),
        [counted("GET", "ok", 1), timed("GET", 1)]
    );
}

/// The lines that are logged meanwhile.
fn logged(run: impl FnOnce()) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

const THRESHOLD: Duration = Duration::from_millis(50);

fn slow_pair() -> Pair {
    Pair::new(|service| service.slow_request_threshold = Some(THRESHOLD))
}

#[test]
fn a_slow_request_is_logged_with_its_key_and_nothing_else_of_it() {
    let lines = logged(|| {
        let mut pair = slow_pair();
        let secret = with_payload("SET user:\x1b1 token=hunter2", b"hunter3");
        pair.call(&secret, THRESHOLD - Duration::from_millis(1), OK);
        pair.call(&secret, THRESHOLD, b"-no\n");
        let long = "k".repeat(129);
        pair.call(&request("GET", &long), 3 * THRESHOLD, OK);
    });
    let [first, second] = &lines[..] else {
        panic!("two lines, not {lines:#?}");
    };
    let start = " WARN meltemi::slow: slow request";
    let expected = format!(
        "{start} service={SERVICE} route=\"all\" operation=SET key=user:\\u{{1b}}1 client={PEER} \
         endpoint={ENDPOINT} duration_ms=50.0 outcome=application_error flag=- suppressed=0"
    );
    assert_eq!(*first, expected);
    let cut = format!("operation=GET key={}... client=", "k".repeat(128));
    assert!(second.contains(&cut), "{second}");
    assert!(second.contains("duration_ms=150.0 outcome=ok"), "{second}");
}

#[test]
fn a_slow_request_whose_client_has_left_is_logged() {
    let lines = logged(|| {
        let mut pair = slow_pair();
        pair.ask(&request("GET", "a"));
        pair.now += THRESHOLD;
        // Not slow, when their client leaves.
        pair.ask(&request("GET", "b"));
        pair.engine.failed(pair.client, pair.now);
    });
    let [line] = &lines[..] else {
        panic!("one line, not {lines:#?}");
    };
    assert!(line.contains("key=a"), "{line}");
    assert!(line.contains("outcome=local flag=DC"), "{line}");
}

#[test]
fn slow_requests_do_not_flood_the_log() {
    let mut pair = slow_pair();
    let lines = logged(|| {
        // All at the same time: what arrived together is late together.
        for _ in 0..15 {
            pair.ask(&request("GET", "a"));
        }
        pair.call(b"", THRESHOLD, &OK.repeat(15));
    });
    assert_eq!(lines.len(), 10);
    pair.now += Duration::from_secs(1);
    let lines = logged(|| pair.call(&request("GET", "a"), THRESHOLD, OK));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].ends_with("suppressed=5"), "{lines:?}");
}

/// The keys of the one service with their requests.
fn hot(pair: &mut Pair) -> Vec<(String, u64)> {
    let mut services = pair.engine.hot_keys(pair.now);
    assert_eq!(services.len(), 1);
    let found = services.remove(0);
    assert_eq!(found.service, SERVICE);
    let mut keys = found.summary.keys;
    keys.sort_by(|a, b| b.count.total_cmp(&a.count));
    let keys = keys.into_iter();
    keys.map(|hot| (String::from_utf8(hot.key).unwrap(), hot.count as u64))
        .collect()
}

#[test]
fn the_keys_that_are_asked_for_most_are_known() {
    let mut pair = Pair::new(|_| {});
    for n in 0..40 {
        pair.call(&request("GET", "hot"), NO_TIME, OK);
        if n % 4 == 0 {
            pair.call(&request("SET", "warm"), NO_TIME, OK);
        }
    }
    // A request without a key.
    pair.call(b"FLUSH\n", NO_TIME, OK);
    let expected = [("hot".to_owned(), 40), ("warm".to_owned(), 10)];
    assert_eq!(hot(&mut pair), expected);
    // A new configuration does not begin anew.
    pair.configure(|service| service.operation_metrics = true);
    assert_eq!(hot(&mut pair), expected);
    pair.now += Duration::from_secs(60);
    assert_eq!(
        hot(&mut pair),
        [("hot".to_owned(), 20), ("warm".to_owned(), 5)]
    );
}

#[test]
fn one_hot_key_among_many_is_found() {
    let mut pair = Pair::new(|_| {});
    for n in 0..20_000 {
        let cold = format!("cold:{n}");
        let key = if n % 10 == 0 { "hot" } else { &cold };
        pair.call(&request("GET", key), NO_TIME, OK);
    }
    let found = hot(&mut pair);
    assert_eq!(found[0].0, "hot");
    assert!((1_500..2_500).contains(&found[0].1), "{:?}", found[0]);
    assert_eq!(found.len(), 128);
}

#[test]
fn a_protocol_without_keys_has_none() {
    let mut pair = Pair::new(|service| service.protocol = Some("sample-by-id".into()));
    assert!(pair.engine.hot_keys(pair.now).is_empty());
    // A protocol that changes is another service: what was counted is gone.
    pair.configure(|_| {});
    assert_eq!(hot(&mut pair), []);
}
