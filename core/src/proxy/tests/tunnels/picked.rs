//! Who gets a tunnel.

use std::collections::HashMap;

use meltemi_policy::{HashPolicy, Hashed, Hashing};

use super::*;
use crate::config::{LbPolicy, Limits};

#[test]
fn an_endpoint_that_cannot_be_connected_to_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let options = ProxyOptions {
        access_log: Destination::File(log.clone()),
        ..alone()
    };
    let (dead, alive) = (dead(), upstream(named));
    let mut proxy = Running::with(passing(&[dead.clone(), alive.clone()]), options);
    for _ in 0..4 {
        assert_eq!(name(&mut connect(&proxy)), port(&alive));
    }
    let failures = format!(r#"meltemi_upstream_connect_failures_total{{cluster="{CLUSTER}"}}"#);
    assert!(proxy.metric(&failures) >= Some(1.0));
    wait("the ejection", || {
        let page = proxy.json("/clusters");
        page["clusters"][CLUSTER]["endpoints"][0]["ejected"] == true
    });
    wait("their end", || counted(&proxy, "connections") == Some(0.0));
    proxy.stop();
    proxy.join().unwrap();
    let lines = std::fs::read_to_string(log).unwrap();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    let of = |address: &Address, result: &str| serde_json::json!({ "endpoint": address.to_string(), "result": result });
    let passed_over = lines.iter().filter(|line| {
        line["attempts"] == serde_json::json!([of(&dead, "connect_failure"), of(&alive, "ok")])
    });
    assert!(passed_over.count() >= 1, "{lines:?}");
}

#[test]
fn where_there_is_nobody_the_client_is_reset_and_counted() {
    let rows = [
        ("UH", passing(&[])),
        ("UF", passing(&[dead(), dead()])),
        ("NR", {
            let mut without = passing(&[]);
            without.clusters.clear();
            without
        }),
    ];
    for (flag, snapshot) in rows {
        let proxy = Running::start(snapshot);
        is_reset(&mut connect(&proxy));
        wait(flag, || closed(&proxy, flag) == Some(1.0));
        assert_eq!(counted(&proxy, "connections_opened_total"), Some(1.0));
    }
}

#[test]
fn there_are_no_more_connections_than_the_cluster_allows() {
    let limited = with_cluster(passing(&[upstream(named)]), |cluster| {
        cluster.limits = Limits {
            connections: Some(2),
            ..cluster.limits
        };
    });
    let proxy = Running::start(limited);
    let mut clients = [connect(&proxy), connect(&proxy)];
    for client in &mut clients {
        name(client);
    }
    is_reset(&mut connect(&proxy));
    wait("the count", || closed(&proxy, "UO") == Some(1.0));
    drop(clients);
    wait("room", || counted(&proxy, "connections") == Some(0.0));
    name(&mut connect(&proxy));
}

fn spread(proxy: &Running, n: usize) -> HashMap<u16, usize> {
    let mut clients: Vec<_> = (0..n).map(|_| connect(proxy)).collect();
    let mut spread = HashMap::new();
    for client in &mut clients {
        *spread.entry(name(client)).or_default() += 1;
    }
    spread
}

#[test]
fn who_has_fewer_gets_the_next() {
    let endpoints = [upstream(named), upstream(named)];
    let least = with_cluster(passing(&endpoints), |cluster| {
        cluster.lb = LbPolicy::LeastRequest;
    });
    let proxy = Running::with(least, alone());
    let spread = spread(&proxy, 10);
    assert!(spread.values().all(|n| (4..=6).contains(n)), "{spread:?}");
}

#[test]
fn who_comes_from_one_address_goes_to_one_endpoint() {
    let endpoints: Vec<_> = (0..4).map(|_| upstream(named)).collect();
    let hashed = with_cluster(passing(&endpoints), |cluster| {
        cluster.hashing = Some(Hashing::Maglev { table_size: 65_537 });
        cluster.hash_policy = vec![HashPolicy {
            of: Hashed::SourceAddress,
            terminal: false,
        }];
    });
    let proxy = Running::start(hashed);
    assert_eq!(spread(&proxy, 12).len(), 1);
}
