//! `meltemi new-protocol`: what it writes builds, keeps the contract, and proxies its protocol.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use meltemi_tests::{Meltemi, Process, binary, until};
use tempfile::TempDir;

#[path = "support/cargo.rs"]
mod cargo;

use cargo::{command, pin_versions};

/// Runs Cargo to its end; what it said.
fn cargo(directory: &Path, arguments: &[&str]) -> String {
    let output = command("cargo", directory).args(arguments).output();
    let output = output.expect("cargo starts");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "cargo {arguments:?}\n{said}");
    said
}

/// A server of the new protocol, on a port of the system's choice.
fn server(directory: &Path, name: &str) -> (Process, String) {
    let mut run = command("cargo", directory);
    run.args([
        "run",
        "--quiet",
        "--example",
        "server",
        "--",
        "127.0.0.1:0",
        name,
    ]);
    let server = Process::spawn(name, &mut run);
    let (port, _) = server.line(0, "where it listens", |line| {
        let (_, port) = line.rsplit_once(':')?;
        Some(port.to_owned())
    });
    (server, port)
}

/// Replaces some text of a file, which has to be there.
fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("a file of the template");
    assert!(text.contains(from), "no {from:?} in\n{text}");
    fs::write(file, text.replace(from, to)).expect("written");
}

/// Both crates have examples of the same names in the one target directory.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn is_complete(name: &str, kind: &str) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let place = TempDir::with_prefix("meltemi-new-protocol-").expect("a temporary directory");
    is_written_once(place.path(), &[name, kind]);
    let directory = place.path().join(name);
    pin_versions(&directory);
    let tested = cargo(&directory, &["test"]);
    for test in ["ids_round_trip", "a_request_reaches_the_server"] {
        assert!(tested.contains(test), "{tested}");
    }
    cargo(&directory, &["fmt", "--all", "--check"]);
    is_proxied(&directory, name);
}

/// The command says what to do next, and a second one touches nothing.
fn is_written_once(place: &Path, arguments: &[&str]) {
    let new = || {
        let mut new = Command::new(binary());
        new.arg("new-protocol").args(arguments);
        new.current_dir(place).output().expect("meltemi starts")
    };
    let written = new();
    let said = String::from_utf8_lossy(&written.stdout);
    assert!(written.status.success(), "{written:?}");
    let name = arguments.first().expect("a name");
    assert!(
        said.contains(&format!("cd {name}\n  cargo test\n")),
        "{said}"
    );
    let refused = new();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("exists already"), "{said}");
}

/// `cargo run -- run -f manifests` routes between two servers, and sees a change of the route.
fn is_proxied(directory: &Path, name: &str) {
    let ((_one, first), (_two, second)) = (server(directory, "one"), server(directory, "two"));
    let manifests = directory.join("manifests");
    edit(&manifests.join("gateway.yaml"), "number: 7070", "number: 0");
    let service = manifests.join("service.yaml");
    edit(&service, ": 7071", &format!(": {first}"));
    edit(&service, ": 7072", &format!(": {second}"));
    let check = ["run", "--quiet", "--", "check", "-f", "manifests"];
    let checked = cargo(directory, &check);
    assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
    let mut run = command("cargo", directory);
    run.args(["run", "--quiet", "--", "run"]);
    run.args(["--admin", "127.0.0.1:0", "-f", "manifests"]);
    let meltemi = Meltemi::of(Process::spawn("meltemi", &mut run));
    let address = meltemi.address(&format!("default/{name}/tcp-{name}"));
    let address = address.to_string();
    let ask = || {
        let client = ["run", "--quiet", "--example", "client", "--"];
        cargo(directory, &[&client[..], &[&address, "GET", "a"]].concat())
    };
    assert_eq!(ask(), "OK one does GET a\n");
    let router = manifests.join("router.yaml");
    edit(&router, "subset: one", "subset: two");
    until("the other server answers", || {
        (ask() == "OK two does GET a\n").then_some(())
    });
}

#[test]
fn by_id() {
    is_complete("telemetry", "--by-id");
}

#[test]
fn in_order() {
    is_complete("keeper", "--in-order");
}

#[test]
fn help_teaches() {
    let help = Command::new(binary())
        .args(["new-protocol", "--help"])
        .output();
    let help = String::from_utf8(help.expect("meltemi starts").stdout).expect("text");
    for words in [
        "--by-id",
        "--in-order",
        "cargo test",
        "Example:",
        "look at an answer",
    ] {
        assert!(help.contains(words), "no {words:?} in\n{help}");
    }
}

#[test]
fn a_name_that_is_none_is_refused_with_one_that_is() {
    let refused = Command::new(binary())
        .args(["new-protocol", "My-Proto"])
        .output();
    let said = String::from_utf8(refused.expect("meltemi starts").stderr).expect("text");
    assert!(said.contains("for instance `myproto`"), "{said}");
}
