//! A hash of what requests are like decides which server they go to: real servers, each of which says
//! who it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use meltemi_tests::redis::{Server, Wire, manifests};
use meltemi_tests::{Manifests, Meltemi, binary, until};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

const KEYS: usize = 60;

/// Three servers, each with all keys, whose values are its address.
fn servers() -> Vec<Server> {
    let servers: Vec<Server> = (0..3).map(|_| Server::start(&[])).collect();
    for server in &servers {
        let mut wire = server.connect();
        for key in 0..KEYS {
            wire.call(&format!("SET k{key} {}", server.address()));
        }
    }
    servers
}

/// Meltemi before them, with this `consistentHash` and these routes.
fn before(servers: &[Server], hash: &str, routes: &str) -> (Manifests, Meltemi) {
    let addresses: Vec<SocketAddr> = servers.iter().map(Server::address).collect();
    let manifests = manifests(&addresses);
    let rule = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cache}}\nspec:\n  \
         host: cache.demo\n  trafficPolicy:\n    loadBalancer: {{consistentHash: {hash}}}\n"
    );
    manifests.write("rule.yaml", &rule);
    if !routes.is_empty() {
        let routes = format!(
            "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\nmetadata: {{name: cache}}\n\
             spec: {{hosts: [cache.demo], gateways: [edge], routes: {routes}}}\n"
        );
        manifests.write("routes.yaml", &routes);
    }
    let meltemi = Meltemi::run(manifests.path());
    (manifests, meltemi)
}

/// A client at an address of loopback.
fn client(meltemi: &Meltemi, from: u8) -> Wire {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let own = SocketAddr::from((Ipv4Addr::new(127, 0, 0, from), 0));
    socket.bind(&own.into()).expect("loopback");
    let proxy = meltemi.address("default/edge/redis");
    socket.connect(&proxy.into()).expect("the proxy listens");
    Wire::on(socket.into())
}

fn explained(manifests: &Manifests, arguments: &[&str]) -> String {
    let mut command = Command::new(binary());
    let output = command
        .args([
            "explain",
            "--output",
            "json",
            "--service",
            "cache.demo",
            "-f",
        ])
        .arg(manifests.path())
        .args(arguments)
        .output()
        .expect("meltemi runs");
    assert!(output.status.success(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let endpoint = &answer["destinations"][0]["key"]["endpoint"];
    endpoint.as_str().expect("an endpoint").to_owned()
}

/// Who answers each source, and that it is who `explain` says.
fn of_sources(manifests: &Manifests, meltemi: &Meltemi) -> BTreeMap<u8, String> {
    let sources = 1..=40;
    let owners: BTreeMap<u8, String> = sources
        .map(|source| (source, client(meltemi, source).call("GET k0")))
        .collect();
    for source in [1, 2, 3] {
        let address = format!("127.0.0.{source}");
        let said = explained(manifests, &["--source", &address]);
        assert_eq!(owners[&source], said, "{address}");
    }
    owners
}

#[test]
fn a_source_has_one_server() {
    if !Server::is_installed() {
        return;
    }
    let servers = servers();
    for hash in [
        "{useSourceIp: true}",
        "{useSourceIp: true, maglev: {tableSize: 251}}",
    ] {
        let (manifests, meltemi) = before(&servers, hash, "");
        let owners = of_sources(&manifests, &meltemi);
        assert_eq!(owners.values().collect::<BTreeSet<_>>().len(), 3);
        for (source, owner) in &owners {
            // On another connection, about whatever.
            let mut again = client(&meltemi, *source);
            for key in 0..10 {
                assert_eq!(
                    again.call(&format!("GET k{key}")),
                    *owner,
                    "{hash} {source}"
                );
            }
        }
    }
}

#[test]
fn a_value_has_one_server_and_what_lacks_it_has_any() {
    if !Server::is_installed() {
        return;
    }
    let servers = servers();
    // The protocol's own key would be another hash; the route's policy comes before the cluster's.
    let by_rule = ("{attribute: key, maglev: {}}", "");
    let by_route = (
        "{useSourceIp: true, maglev: {}}",
        "[{name: all, route: [{destination: {host: cache.demo}}], hashPolicy: [key]}]",
    );
    let by_header = ("{httpHeaderName: key, maglev: {}}", "");
    let mut seen = vec![];
    for (hash, routes) in [by_rule, by_route, by_header] {
        let (manifests, meltemi) = before(&servers, hash, routes);
        let owners = |from| -> Vec<String> {
            let mut wire = client(&meltemi, from);
            (0..KEYS)
                .map(|key| wire.call(&format!("GET k{key}")))
                .collect()
        };
        let first = owners(1);
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3);
        assert_eq!(first, owners(2), "{hash}");
        for key in [0, 7] {
            let attribute = format!("key=k{key}");
            assert_eq!(first[key], explained(&manifests, &["--attr", &attribute]));
        }
        // INFO has no key.
        let mut wire = client(&meltemi, 3);
        let mut ports = BTreeSet::new();
        until("all servers are asked for what has nothing to hash", || {
            let info = wire.call("INFO server");
            let port = info.split("tcp_port:").nth(1)?;
            ports.insert(
                port.chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>(),
            );
            (ports.len() == 3).then_some(())
        });
        seen.push(first);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_connection_has_one_server() {
    if !Server::is_installed() {
        return;
    }
    let servers = servers();
    let (_manifests, meltemi) = before(&servers, "{connection: true}", "");
    let mut owners = BTreeSet::new();
    for _ in 0..30 {
        let mut wire = client(&meltemi, 1);
        let owner = wire.call("GET k0");
        for key in 1..5 {
            assert_eq!(wire.call(&format!("GET k{key}")), owner);
        }
        owners.insert(owner);
    }
    assert_eq!(owners.len(), 3);
}

#[test]
fn a_source_whose_server_is_gone_has_one_other() {
    if !Server::is_installed() {
        return;
    }
    let mut servers = servers();
    let (manifests, meltemi) = before(&servers, "{useSourceIp: true, maglev: {}}", "");
    let owners = of_sources(&manifests, &meltemi);
    let gone = servers.remove(0);
    let (lost, address) = (gone.address().to_string(), gone.address());
    drop(gone);
    until("nobody listens there", || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });
    for (source, owner) in owners {
        let mut wire = client(&meltemi, source);
        let now = wire.call("GET k0");
        match owner == lost {
            true => assert_ne!(now, lost),
            false => assert_eq!(now, owner),
        }
        assert_eq!(wire.call("GET k1"), now, "{source}");
    }
}

#[test]
fn a_value_that_is_asked_for_too_often_overflows() {
    if !Server::is_installed() {
        return;
    }
    let servers = servers();
    let blocked = |servers: &[Server]| -> Vec<usize> {
        let of = |server: &Server| {
            let info = server.connect().call("INFO clients");
            let count = info.split("blocked_clients:").nth(1)?;
            let digits = count.chars().take_while(char::is_ascii_digit);
            digits.collect::<String>().parse().ok()
        };
        servers.iter().filter_map(of).collect()
    };
    for (factor, most) in [("", 12), (", hashBalanceFactor: 100", 5)] {
        let hash = format!("{{attribute: key, maglev: {{}}{factor}}}");
        let addresses: Vec<SocketAddr> = servers.iter().map(Server::address).collect();
        let manifests = manifests(&addresses);
        let rule = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cache}}\nspec:\n  \
             host: cache.demo\n  trafficPolicy:\n    loadBalancer: {{consistentHash: {hash}}}\n"
        );
        manifests.write("rule.yaml", &rule);
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
        let mut waiting = vec![];
        for count in 1..=12 {
            let mut wire = client(&meltemi, 1);
            wire.command("BLPOP queue 0");
            waiting.push(wire);
            until("the request waits at a server", || {
                (blocked(&servers).iter().sum::<usize>() == count).then_some(())
            });
        }
        let counts = blocked(&servers);
        assert_eq!(counts.iter().max(), Some(&most), "{counts:?}");
        drop(waiting);
        until("nobody waits", || {
            (blocked(&servers).iter().sum::<usize>() == 0).then_some(())
        });
    }
}
