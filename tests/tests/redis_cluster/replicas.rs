//! Who is asked to read.

use super::Proxied;
use meltemi_tests::redis::Wire;
use meltemi_tests::{Meltemi, until};

#[test]
fn replicas_serve_reads_by_policy() {
    let Some(proxied) = Proxied::start("opTimeout: 10s") else {
        return;
    };
    let keys = proxied.keys("read");
    let mut client = proxied.connect();
    for key in &keys {
        assert_eq!(client.call(&format!("SET {key} v")), "+OK");
    }
    for n in 3..6 {
        until("the replicas have it", || {
            let size = proxied.cluster.node(n).connect().call("DBSIZE");
            (size == ":1").then_some(())
        });
    }
    // Of 60 reads: how many the primaries may and have to serve.
    for (policy, primaries) in [
        ("MASTER", 60..=60),
        ("PREFER_MASTER", 60..=60),
        ("REPLICA", 0..=0),
        ("PREFER_REPLICA", 0..=0),
        ("ANY", 5..=55),
    ] {
        let settings = format!("opTimeout: 10s, readPolicy: {policy}");
        let manifests = proxied.cluster.manifests(&settings);
        let meltemi = Meltemi::run(manifests.path());
        let mut client = Wire::connect(meltemi.address("default/edge/redis"));
        reset(&proxied);
        for _ in 0..20 {
            for key in &keys {
                assert_eq!(client.call(&format!("GET {key}")), "v", "{policy}");
            }
        }
        let [primary, replica] = reads(&proxied, "get");
        assert_eq!(primary + replica, 60, "{policy}");
        assert!(primaries.contains(&primary), "{policy}: {primary} of 60");
        reset(&proxied);
        let [a, b, c] = &keys;
        assert_eq!(client.call(&format!("MGET {a} {b} {c}")), "[v v v]");
        let [primary, replica] = reads(&proxied, "mget");
        assert_eq!(primary + replica, 3, "{policy}");
        if *primaries.end() == 0 {
            assert_eq!(primary, 0, "{policy}");
        }
        // What writes goes to primaries all the same.
        for key in &keys {
            assert_eq!(client.call(&format!("SET {key} v")), "+OK", "{policy}");
        }
    }
    a_client_may_ask_for_it(&proxied, &keys);
}

/// `READONLY` and `READWRITE` of one client.
fn a_client_may_ask_for_it(proxied: &Proxied, keys: &[String]) {
    let mut client = proxied.connect();
    for (word, served) in [("READONLY", [0, 3]), ("READWRITE", [3, 0])] {
        assert_eq!(client.call(word), "+OK");
        reset(proxied);
        for key in keys {
            assert_eq!(client.call(&format!("GET {key}")), "v");
        }
        assert_eq!(reads(proxied, "get"), served, "{word}");
    }
}

fn reset(proxied: &Proxied) {
    for node in proxied.cluster.nodes() {
        assert_eq!(node.connect().call("CONFIG RESETSTAT"), "+OK");
    }
}

/// How many of a command the primaries and the replicas served.
fn reads(proxied: &Proxied, command: &str) -> [u64; 2] {
    let served =
        |nodes: std::ops::Range<usize>| nodes.map(|n| proxied.cluster.node(n).calls(command)).sum();
    [served(0..3), served(3..6)]
}
