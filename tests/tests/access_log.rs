//! The access log of some of the exchanges, before a real server.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use meltemi_tests::redis::{Server, manifests};
use meltemi_tests::{Meltemi, until};

/// Sent in one write, so that most of them are one of a run.
const REQUESTS: usize = 5_000;

#[test]
fn so_many_percent_of_a_pipeline_are_logged() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let manifests = manifests(&[server.address()]);
    let log = tempfile::NamedTempFile::new().expect("a file");
    let path = log.path().to_str().expect("a path");
    let arguments = [
        "--workers",
        "1",
        "--access-log",
        path,
        "--access-log-percent",
        "10",
    ];
    let meltemi = Meltemi::run_with(manifests.path(), &arguments);
    let mut client = TcpStream::connect(meltemi.address("default/edge/redis")).expect("it listens");
    client
        .write_all("ECHO hello\r\n".repeat(REQUESTS).as_bytes())
        .expect("it reads");
    let mut answers = BufReader::new(client)
        .lines()
        .map(|line| line.expect("it answers"));
    for _ in 0..REQUESTS {
        assert_eq!(answers.next().as_deref(), Some("$5"));
        assert_eq!(answers.next().as_deref(), Some("hello"));
    }
    drop(answers);
    let lines = || {
        std::fs::read_to_string(log.path())
            .expect("the log")
            .lines()
            .count()
    };
    // 500, give or take five standard deviations.
    until("the log is written", || {
        (394..=606).contains(&lines()).then_some(())
    });
    meltemi.counts(
        "meltemi_requests_total",
        &["outcome=\"ok\""],
        REQUESTS as u64,
    );
    let line = std::fs::read_to_string(log.path()).expect("the log");
    assert!(
        line.lines()
            .all(|line| line.contains(r#""command":"echo""#)),
        "{line}"
    );
}
