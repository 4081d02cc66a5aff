//! `meltemi demo`: it ends well, says what it shows in each of its forms, and leaves the files that it names.

use std::fs;
use std::process::Command;

use meltemi_tests::{Process, binary};
use serde_json::Value;
use tempfile::TempDir;

/// Runs it to its end; the lines that it said, and the directory that it wrote to.
fn demo(arguments: &[&str]) -> (Vec<String>, TempDir) {
    let directory = TempDir::with_prefix("meltemi-demo-").expect("a temporary directory");
    let mut command = Command::new(binary());
    command
        .args(["demo", "--act", "1", "--directory"])
        .arg(directory.path())
        .args(arguments);
    let mut process = Process::spawn("meltemi demo", &mut command);
    let status = process.wait();
    assert!(status.success(), "{status}\n{}", process.said());
    (process.lines(), directory)
}

fn is(event: &Value, name: &str) -> bool {
    event["event"] == name
}

#[test]
fn programs_read_one_object_a_line() {
    let (lines, directory) = demo(&["--json"]);
    let events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(is(&events[0], "begin"), "{}", events[0]);
    let acts = events.iter().filter(|event| is(event, "act")).count();
    assert_eq!(acts, 4);
    for over in events.iter().filter(|event| is(event, "act over")) {
        let claims = over["claims"].as_array().expect("claims");
        assert!(!claims.is_empty(), "{over}");
        assert!(claims.iter().all(|claim| claim["holds"] == true), "{over}");
    }
    let end = events.last().expect("an end");
    assert!(is(end, "end") && end["as_claimed"] == true, "{end}");
    let calls = end["calls"].as_u64().expect("a number");
    let answered = end["answered"].as_u64().expect("a number");
    assert!(answered > 1_000 && calls - answered < 40, "{end}");
    assert_eq!((&end["wrong"], &end["unanswered"]), (&0.into(), &0.into()));

    let router = fs::read_to_string(directory.path().join("manifests/router.yaml"))
        .expect("the manifests stay");
    assert_eq!(router.matches("weight: 50").count(), 2, "{router}");
    let log = fs::read_to_string(directory.path().join("access.log")).expect("the log stays");
    assert_eq!(log.lines().count() as u64, calls);
}

#[test]
fn a_pipe_gets_plain_lines() {
    let (lines, _directory) = demo(&[]);
    let text = lines.join("\n");
    assert!(!text.contains('\x1b'), "{text}");
    for said in [
        "1. as the manifests say",
        "2. a rule changes",
        "3. a provider dies",
        "v1-eu-a killed",
        "4. it is back",
        "everything was seen as claimed",
    ] {
        assert!(text.contains(said), "no {said:?} in\n{text}");
    }
}
