use std::time::{Duration, Instant};

use super::*;
use crate::telemetry::{OutcomeLabel, ResponseFlag};

fn entry() -> Entry {
    Entry {
        start: Instant::now(),
        service: "default/echo".into(),
        protocol: "sample",
        route: "canary".into(),
        owner: "MetaRouter/default/echo".into(),
        destination: "outbound|20880|v1|echo".into(),
        endpoint: "127.0.0.1:2".into(),
        locality: "eu/eu-1/a".into(),
        attempts: vec![
            Attempt {
                endpoint: "127.0.0.1:1".into(),
                result: "connect_failure",
            },
            Attempt {
                endpoint: "127.0.0.1:2".into(),
                result: "ok",
            },
        ],
        attributes: vec![("method".into(), "say \"hi\"\n".into())],
        peer: "127.0.0.1:5".into(),
        principal: "spiffe://td/ns/a/sa/b".into(),
        duration: Duration::from_millis(3),
        upstream: Some(Duration::from_micros(2500)),
        request_bytes: 100,
        response_bytes: 200,
        outcome: OutcomeLabel::Ok,
        code: 20,
        flag: ResponseFlag::None,
        detail: String::new(),
    }
}

#[test]
fn destinations_are_words_or_paths() {
    for (text, expected) in [
        ("off", Destination::Off),
        ("-", Destination::Stdout),
        ("a/b.log", Destination::File("a/b.log".into())),
    ] {
        assert_eq!(text.parse(), Ok(expected));
    }
}

#[test]
fn one_line_an_exchange() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let dropped = Arc::new(AtomicU64::new(0));
    let destination = Destination::File(path.clone());
    let (log, writer) = Writer::start(&destination, Arc::clone(&dropped))
        .unwrap()
        .unwrap();
    log.write(entry());
    log.write(Entry {
        upstream: None,
        endpoint: String::new(),
        flag: ResponseFlag::NoHealthyUpstream,
        detail: "all of them are ejected".into(),
        outcome: OutcomeLabel::Local,
        ..entry()
    });
    drop(log);
    writer.finish();

    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [first, second] = lines.as_slice() else {
        panic!("{text}")
    };
    assert_eq!(first["attributes"]["method"], "say \"hi\"\n");
    assert_eq!(first["attempts"][0]["result"], "connect_failure");
    assert_eq!(first["duration_us"], 3000);
    assert_eq!(first["upstream_us"], 2500);
    assert_eq!(first["flag"], "-");
    assert_eq!(first["detail"], serde_json::Value::Null);
    assert_eq!(second["detail"], "all of them are ejected");
    assert_eq!(second["endpoint"], serde_json::Value::Null);
    assert_eq!(second["upstream_us"], serde_json::Value::Null);
    assert_eq!(
        (&second["flag"], &second["reason"]),
        (&"UH".into(), &"no_healthy_upstream".into())
    );
    assert!(first["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
}

#[test]
fn what_finds_no_room_is_counted() {
    let (entries, waiting) = std::sync::mpsc::sync_channel(1);
    let dropped = Arc::new(AtomicU64::new(0));
    let log = AccessLog {
        entries,
        dropped: Arc::clone(&dropped),
        percent: 100.0,
    };
    log.write(entry());
    log.write(entry());
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
    drop(waiting);
    log.write(entry());
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let destination = Destination::File("/nonexistent/access.log".into());
    let error = Writer::start(&destination, Arc::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot open the access log /nonexistent/access.log"
    );
}
