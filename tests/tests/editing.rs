//! Manifests that are rewritten in place, slowly, while clients are connected.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use meltemi_tests::{Endpoint, Manifests, Meltemi, until};

/// Everything in one file, as `kubectl get -o yaml > all.yaml` would rewrite it.
fn in_one_file() -> (Manifests, String) {
    let manifests = Manifests::dubbo_gateway();
    let endpoint = Endpoint {
        port: 1,
        version: "v1",
        locality: "r1/z1/s1",
    };
    manifests.service("hello.test", &[endpoint]);
    manifests.routes("hello.test", "");
    let mut all = String::new();
    for entry in fs::read_dir(manifests.path()).expect("a directory") {
        let path = entry.expect("an entry").path();
        all.push_str(&fs::read_to_string(&path).expect("a manifest"));
        all.push_str("---\n");
        fs::remove_file(path).expect("a manifest that was there");
    }
    manifests.write("all.yaml", &all);
    (manifests, all)
}

fn open(meltemi: &Meltemi) -> Vec<String> {
    let lines = meltemi.process().lines().into_iter();
    lines.filter(|l| l.starts_with("listening ")).collect()
}

/// A second Gateway, whose listener shows that a change was seen.
fn mark(manifests: &Manifests, all: &str, name: &str, meltemi: &Meltemi) -> SocketAddr {
    let mut documents = all.split("---\n");
    let gateway = documents.find(|document| document.contains("kind: Gateway"));
    let text = gateway
        .expect("a Gateway")
        .replace("name: edge", &format!("name: {name}"));
    manifests.write(&format!("{name}.yaml"), &text);
    meltemi.address(&format!("default/{name}/dubbo"))
}

#[test]
fn a_listener_stays_open_while_its_file_is_being_written() {
    let (manifests, all) = in_one_file();
    let meltemi = Meltemi::run(manifests.path());
    let address = meltemi.address("default/edge/dubbo");
    let mut file = File::create(manifests.path().join("all.yaml")).expect("the file is there");
    mark(&manifests, &all, "empty", &meltemi);
    TcpStream::connect(address).expect("what is empty is being written");
    // Valid YAML, as far as it goes: without the rest of its documents.
    let (first, rest) = all.split_once("---\n").expect("several documents");
    writeln!(file, "{first}---").expect("an open file");
    mark(&manifests, &all, "cut", &meltemi);
    TcpStream::connect(address).expect("what is cut is being written");
    let rest = rest.replace(
        "  servers:\n",
        "  servers:\n    - {name: more, bind: 127.0.0.1, port: {number: 0, name: tcp-dubbo}}\n",
    );
    file.write_all(rest.as_bytes()).expect("an open file");
    drop(file);
    meltemi.address("default/edge/more");
    TcpStream::connect(address).expect("the same address");
    assert_eq!(open(&meltemi).len(), 4, "{:?}", open(&meltemi));
}

#[test]
fn a_file_that_stays_empty_withdraws_its_objects() {
    let (manifests, _) = in_one_file();
    let meltemi = Meltemi::run(manifests.path());
    let address = meltemi.address("default/edge/dubbo");
    File::create(manifests.path().join("all.yaml")).expect("the file is there");
    until("the listener is closed", || {
        TcpStream::connect(address).is_err().then_some(())
    });
    assert!(meltemi.process().said().contains("all.yaml"));
}
