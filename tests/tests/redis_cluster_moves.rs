//! A Redis Cluster that changes under its clients: slots move, nodes fail and come back.

use std::time::Instant;

use meltemi_tests::redis::{Cluster, Server, Wire, cluster};
use meltemi_tests::{Manifests, Meltemi, until};

#[path = "redis_cluster_moves/slots.rs"]
mod slots;

const EDGE: &str = "default/edge/redis";

/// A proxy before a cluster.
struct Proxy {
    meltemi: Meltemi,
    _manifests: Manifests,
}

impl Proxy {
    fn of(manifests: Manifests) -> Self {
        Self {
            meltemi: Meltemi::run(manifests.path()),
            _manifests: manifests,
        }
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address(EDGE))
    }
}

/// What a client may be told while a cluster changes.
fn is_excused(reply: &str) -> bool {
    ["-ERR proxy: ", "-CLUSTERDOWN ", "-LOADING "]
        .iter()
        .any(|kind| reply.starts_with(kind))
}

#[test]
fn a_primary_that_is_killed_is_followed_by_its_replica() {
    if !Server::is_installed() {
        return;
    }
    let mut cluster = Cluster::start();
    let proxy = Proxy::of(cluster.manifests("opTimeout: 2s"));
    let mut client = proxy.connect();
    let [lost, kept] = [0, 1].map(|node| cluster.key_of(node, "fail"));
    for key in [&lost, &kept] {
        assert_eq!(client.call(&format!("SET {key} 1")), "+OK");
    }
    until("the replica has it", || {
        let size = cluster.node(3).connect().call("DBSIZE");
        (size == ":1").then_some(())
    });
    cluster.node_mut(0).kill();
    let killed = Instant::now();
    until("the replica serves", || {
        let reply = client.call(&format!("GET {lost}"));
        assert!(reply == "1" || is_excused(&reply), "{reply}");
        let other = client.call(&format!("INCR {kept}"));
        assert!(other.starts_with(':') || is_excused(&other), "{other}");
        (reply == "1").then_some(())
    });
    let promoted = until("the replica is a primary", || {
        cluster.node(3).is_primary().then_some(killed.elapsed())
    });
    println!("promoted and served after {promoted:?}");
    assert_eq!(client.call(&format!("INCR {lost}")), ":2");
    assert_eq!(client.call("DBSIZE"), ":2");
    // It comes back as the replica of the other, which then is killed too.
    assert!(cluster.node_mut(0).run());
    cluster.settle();
    cluster.node_mut(3).kill();
    until("the first serves again", || {
        let reply = client.call(&format!("GET {lost}"));
        assert!(reply == "2" || is_excused(&reply), "{reply}");
        (reply == "2").then_some(())
    });
}

/// A primary that hangs does not close its connections: what was sent to it has no answer.
#[test]
fn a_primary_that_hangs_is_followed_by_its_replica() {
    if !Server::is_installed() {
        return;
    }
    let cluster = Cluster::start();
    let proxy = Proxy::of(cluster.manifests("opTimeout: 300ms"));
    let mut client = proxy.connect();
    let key = cluster.key_of(1, "hang");
    assert_eq!(client.call(&format!("SET {key} 1")), "+OK");
    until("the replica has it", || {
        let size = cluster.node(4).connect().call("DBSIZE");
        (size == ":1").then_some(())
    });
    cluster.node(1).signal("STOP");
    let mut failed = 0;
    until("the replica serves", || {
        let reply = client.call(&format!("INCR {key}"));
        failed += u32::from(is_excused(&reply));
        assert!(reply == ":2" || is_excused(&reply), "{reply}");
        (reply == ":2").then_some(())
    });
    assert!(failed > 0, "nothing was lost");
    // What the hanging one still answers, it answers nobody.
    cluster.node(1).signal("CONT");
    for n in 0..200 {
        assert_eq!(client.call(&format!("ECHO {n}")), n.to_string());
    }
    until("the old primary follows the new one", || {
        (!cluster.node(1).is_primary()).then_some(())
    });
    assert_eq!(client.call(&format!("INCR {key}")), ":3");
}

/// Nobody is there at the start; then everybody moves.
#[test]
fn all_nodes_may_be_away_and_come_back_elsewhere() {
    if !Server::is_installed() {
        return;
    }
    let mut cluster = Cluster::start();
    let key = cluster.key_of(2, "away");
    for n in 0..6 {
        cluster.node_mut(n).kill();
    }
    let proxy = Proxy::of(cluster.manifests("opTimeout: 5s"));
    let mut client = proxy.connect();
    let reply = client.call("GET x");
    assert!(is_excused(&reply), "{reply}");
    // The seeds keep their ports, all others change theirs; who knows whom is written down.
    for n in 0..6 {
        assert!(cluster.node_mut(n).run());
    }
    let started = Instant::now();
    until("the cluster serves", || {
        let reply = client.call(&format!("SET {key} 1"));
        assert!(reply == "+OK" || is_excused(&reply), "{reply}");
        (reply == "+OK").then_some(())
    });
    println!("served {:?} after the start", started.elapsed());
    cluster.settle();
    for n in 2..6 {
        cluster.node_mut(n).kill();
    }
    for n in 2..6 {
        // A port that was free a moment ago may be somebody else's now.
        let node = cluster.node_mut(n);
        let starts = (0..9).any(|_| {
            node.change_ports();
            node.run()
        });
        assert!(starts);
    }
    cluster.introduce(0);
    cluster.settle();
    until("the moved nodes serve", || {
        let reply = client.call(&format!("SET {key} 2"));
        assert!(reply == "+OK" || is_excused(&reply), "{reply}");
        (reply == "+OK").then_some(())
    });
    for n in 0..3 {
        let key = cluster.key_of(n, "all");
        assert_eq!(client.call(&format!("SET {key} 1")), "+OK");
    }
}

/// The nodes call themselves by names that nobody can look up, and some by none.
#[test]
fn nodes_may_have_names() {
    if !Server::is_installed() {
        return;
    }
    let cluster = Cluster::start();
    for (n, node) in cluster.nodes().iter().enumerate() {
        let mut wire = node.connect();
        let name = format!("CONFIG SET cluster-announce-hostname node-{n}.invalid");
        assert_eq!(wire.call(&name), "+OK");
        let preferred = "CONFIG SET cluster-preferred-endpoint-type hostname";
        assert_eq!(wire.call(preferred), "+OK");
    }
    until("all know the names", || {
        let knows = |n: usize| {
            let shards = cluster.node(n).connect().call("CLUSTER SHARDS");
            (0..6).all(|n| shards.contains(&format!("endpoint node-{n}.invalid")))
        };
        (0..6).all(knows).then_some(())
    });
    // What the nodes tell of each other is not what only a redirect has named.
    let settings = "opTimeout: 5s, maxUpstreamUnknownConnections: 0";
    for kind in ["hostname", "ip", "unknown-endpoint"] {
        for node in cluster.nodes() {
            let preferred = format!("CONFIG SET cluster-preferred-endpoint-type {kind}");
            assert_eq!(node.connect().call(&preferred), "+OK");
        }
        let proxy = Proxy::of(cluster::manifests(&cluster.seeds()[..1], settings));
        let mut client = proxy.connect();
        for from in 0..3 {
            let key = cluster.key_of(from, "named");
            assert_eq!(client.call(&format!("SET {key} 1")), "+OK", "{kind}");
            // A redirect names them in the same way.
            let (slot, to) = (cluster.slot(&key), (from + 1) % 3);
            cluster.move_slot(slot, from, to);
            assert_eq!(client.call(&format!("GET {key}")), "1", "{kind}");
            cluster.move_slot(slot, to, from);
            assert_eq!(client.call(&format!("DEL {key}")), ":1", "{kind}");
        }
    }
}
