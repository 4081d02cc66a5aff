//! What becomes of requests that meet a change of their cluster at a moment of the test's choice.

use meltemi_tests::redis::{Asked, Scripted, Wire, cluster, pipeline};
use meltemi_tests::{Manifests, Meltemi};

/// One worker before the first node of a scripted cluster, so that all clients share connections.
struct Proxy {
    meltemi: Meltemi,
    _manifests: Manifests,
}

impl Proxy {
    fn of(nodes: &Scripted, settings: &str) -> Self {
        let manifests = cluster::manifests(&[nodes.address(0)], settings);
        Self {
            meltemi: Meltemi::run_with(manifests.path(), &["--workers", "1"]),
            _manifests: manifests,
        }
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.meltemi.address("default/edge/redis"))
    }
}

/// `MOVED`, or `ASK`, to a port.
fn redirect(kind: &str, port: u16) -> Option<Vec<u8>> {
    Some(format!("-{kind} 12539 127.0.0.1:{port}\r\n").into_bytes())
}

fn ok() -> Option<Vec<u8>> {
    Some(b"+OK\r\n".to_vec())
}

/// Where the second node listens, which the first learns from its first command.
fn second(words: &str) -> u16 {
    let port = words.rsplit(' ').next().and_then(|port| port.parse().ok());
    port.expect("a command ends with a port")
}

#[test]
fn later_requests_do_not_overtake_one_that_is_on_its_way_to_an_old_owner() {
    // `ki` and `{ki}2` have one slot, of which the first node knows nothing any more; but it is slow to
    // say so of the first request.
    let nodes = Scripted::start(2, |asked: &Asked<'_>| match (asked.node, asked.words) {
        (0, words) if words.starts_with("BLPOP") => {
            redirect("MOVED", second(words.trim_end_matches(" 7")))
        }
        (0, words) if words.starts_with("SET") && asked.stage == 0 => None,
        (0, words) if words.starts_with("SET") => redirect("MOVED", second(words)),
        _ => ok(),
    });
    let port = nodes.address(1).port();
    let proxy = Proxy::of(&nodes, "opTimeout: 60s");
    let (mut first, mut other) = (proxy.connect(), proxy.connect());
    let slow = format!("SET ki 1 {port}");
    first.command(&slow);
    nodes.until_sent(0, &slow);
    // Another client's request, on a connection of its own, tells where the slot is now.
    assert_eq!(other.call(&format!("BLPOP {{ki}}2 {port} 7")), "+OK");
    assert_eq!(
        other.call(&format!("SET {{ki}}3 3 {port}")),
        "+OK",
        "it is known"
    );
    let late = format!("SET ki 2 {port}");
    first.command(&late);
    let read_on = other.call(&format!("GET {{ki}}4 {port}"));
    assert_eq!(read_on, "+OK", "the proxy has read on");
    nodes.turn();
    assert_eq!([first.reply(), first.reply()], ["+OK", "+OK"]);
    let at_new: Vec<_> = nodes
        .log()
        .into_iter()
        .filter(|(node, _)| *node == 1)
        .collect();
    let place = |words: &str| at_new.iter().position(|(_, it)| it == words);
    assert!(place(&slow) < place(&late), "{at_new:?}");
    assert!(place(&slow).is_some(), "{at_new:?}");
}

#[test]
fn what_is_tried_again_is_not_overtaken() {
    let nodes = Scripted::start(1, |asked: &Asked<'_>| match asked.words {
        "SET ki 1" if asked.times == 1 => Some(b"-CLUSTERDOWN The cluster is down\r\n".to_vec()),
        _ => ok(),
    });
    let proxy = Proxy::of(&nodes, "opTimeout: 60s");
    let mut client = proxy.connect();
    // Nothing follows: it waits for better times.
    assert_eq!(client.call("SET ki 1"), "+OK");
    let twice = vec![(0, "SET ki 1".to_owned()); 2];
    assert_eq!(nodes.log(), twice);

    let nodes = Scripted::start(1, |asked: &Asked<'_>| match asked.words {
        "SET ki 1" if asked.times == 1 => Some(b"-CLUSTERDOWN The cluster is down\r\n".to_vec()),
        _ => ok(),
    });
    let proxy = Proxy::of(&nodes, "opTimeout: 60s");
    let mut client = proxy.connect();
    assert_eq!(client.call("SET ki 0"), "+OK", "the owner is known");
    // The server has the second one already: to send the first again would undo it.
    client.send(&pipeline(&["SET ki 1", "SET ki 2"]));
    let replies = [client.reply(), client.reply()];
    assert_eq!(replies, ["-CLUSTERDOWN The cluster is down", "+OK"]);
    assert_eq!(nodes.log().len(), 3, "{:?}", nodes.log());
    // What follows concerns another key: the order does not matter.
    let nodes = Scripted::start(1, |asked: &Asked<'_>| match asked.words {
        "SET ki 1" if asked.times == 1 => Some(b"-TRYAGAIN x\r\n".to_vec()),
        _ => ok(),
    });
    let proxy = Proxy::of(&nodes, "opTimeout: 60s");
    let mut client = proxy.connect();
    client.send(&pipeline(&["SET ki 1", "SET other 2"]));
    assert_eq!([client.reply(), client.reply()], ["+OK", "+OK"]);
}

#[test]
fn a_request_is_not_sent_to_and_fro_for_ever() {
    let nodes = Scripted::start(2, |asked: &Asked<'_>| match asked.words {
        words if words.starts_with("GET ki") => {
            let (_, ports) = words.split_once(" ki ").unwrap_or((words, "0 0"));
            let mut ports = ports.split(' ').filter_map(|port| port.parse().ok());
            redirect("MOVED", ports.nth(1 - asked.node)?)
        }
        _ => ok(),
    });
    let ports = [0, 1].map(|n| nodes.address(n).port());
    let proxy = Proxy::of(&nodes, "opTimeout: 60s");
    let mut client = proxy.connect();
    let refused = client.call(&format!("GET ki ki {} {}", ports[0], ports[1]));
    assert!(
        refused.starts_with("-ERR proxy: its key is moving"),
        "{refused}"
    );
    assert_eq!(nodes.log().len(), 6, "{:?}", nodes.log());
    assert_eq!(client.call("SET ki 1"), "+OK");
}

#[test]
fn a_shard_without_nodes_is_an_error_of_its_keys_alone() {
    let nodes = Scripted::start(2, |_: &Asked<'_>| ok());
    // Slot 12539 is of a node that failed.
    nodes.set_shards(&[(0, 9999, 0), (10_000, 14_999, 7), (15_000, 16_383, 1)]);
    let proxy = Proxy::of(&nodes, "opTimeout: 60s");
    let mut client = proxy.connect();
    for _ in 0..20 {
        assert_eq!(client.call("TIME"), "+OK", "any other node serves it");
    }
    let refused = client.call("GET ki");
    assert!(
        refused.starts_with("-ERR proxy: no healthy endpoint"),
        "{refused}"
    );
    assert_eq!(client.call("GET a"), "+OK", "slot 15495");
    // It gets one while a request waits for it.
    client.command("GET ki");
    nodes.set_shards(&[(0, 9999, 0), (10_000, 16_383, 1)]);
    assert_eq!(client.reply(), "+OK");
    assert_eq!(nodes.log().last(), Some(&(1, "GET ki".to_owned())));
}
