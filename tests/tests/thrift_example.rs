//! `examples/thrift`: it has no findings, and its README shows what it does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use meltemi_tests::thrift::{Form, Language, Peers};
use meltemi_tests::{Manifests, Meltemi, binary};
use serde_json::Value;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/thrift")
}

fn read(name: &str) -> String {
    fs::read_to_string(example().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn it_has_no_findings() {
    let checked = Command::new(binary())
        .args(["check", "-f"])
        .arg(example())
        .output()
        .expect("meltemi starts");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success() && said.contains("0 errors, 0 warnings"),
        "{said}{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

/// The manifests as they stand, but for the ports, which are of the system's choice.
#[test]
fn the_readme_shows_what_it_does() {
    let Some(peers) = Peers::find() else { return };
    let form = Form::FRAMED_BINARY.multiplexed();
    let v1 = peers.server(Language::Python, "v1", &[form]);
    let v2 = peers.server(Language::Java, "v2", &[form]);
    let readme = read("README.md");
    for line in [
        "$peers/python/server --label v1 framed:binary:multiplexed@9091",
        "$peers/java/server --label v2 framed:binary:multiplexed@9092",
    ] {
        assert!(readme.contains(line), "no {line}");
    }

    let manifests = Manifests::new();
    for name in ["destination-rule.yaml", "router.yaml"] {
        manifests.write(name, &read(name));
    }
    let gateway = read("gateway.yaml").replace("number: 9090", "number: 0");
    manifests.write("gateway.yaml", &gateway);
    let service = read("service.yaml")
        .replace(": 9091", &format!(": {}", v1.port(form)))
        .replace(": 9092", &format!(": {}", v2.port(form)));
    manifests.write("service.yaml", &service);
    let meltemi = Meltemi::run(manifests.path());
    let port = meltemi.address("default/thrift/tcp-thrift").port();

    let shown = readme.lines().filter(|line| line.starts_with('{'));
    let shown: Vec<Value> = shown
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let (answers, orders): (Vec<_>, Vec<_>) =
        shown.iter().partition(|line| line.get("answers").is_some());
    assert_eq!((orders.len(), answers.len()), (3, 3));
    let mut client = peers.client(Language::Node);
    for (order, shown) in orders.into_iter().zip(answers) {
        let mut order = order.clone();
        if let Some(number) = order.get_mut("port") {
            *number = port.into();
        }
        client.order(&order);
        assert_eq!(Value::from(client.answers()), shown["answers"], "{order}");
    }
}
