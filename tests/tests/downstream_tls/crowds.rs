//! Many clients at once: those that begin handshakes and do not end them, and those that one address sends.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use meltemi_tests::certificates::Authority;
use meltemi_tests::redis::{Server, Wire, manifests};
use meltemi_tests::{Meltemi, until};

use super::{Edge, NAME, SIMPLE, files, prepared, redis};

/// A handshake record that promises more than comes: the first bytes of a ClientHello.
const HALF: &[u8] = &[22, 3, 1, 0x0f, 0xff, 1, 0, 0x0f, 0xfb, 3, 3];

const MOST: usize = 100;
const FLOOD: usize = 800;

/// How much of its memory is in use, in KiB.
fn resident(meltemi: &Meltemi) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", meltemi.process().pid()));
    let status = status.unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// One before a Redis, whose clients ask for these names.
fn started(ca: &Authority, hosts: &str) -> Option<(Edge, Server)> {
    let server = redis()?;
    let own = ca.issue("edge", &[NAME]);
    let manifests = prepared(&[server.address()], SIMPLE, &files(&own, ca));
    let path = manifests.path().join("gateway.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.replace("hosts: ['*']", &format!("hosts: [{hosts}]"));
    manifests.write("gateway.yaml", &text);
    let most = MOST.to_string();
    let options = ["--workers", "1", "--max-handshakes", &most];
    let meltemi = Meltemi::run_with(manifests.path(), &options);
    let address = meltemi.address("default/edge/redis");
    let it = Edge {
        manifests,
        meltemi,
        address,
    };
    Some((it, server))
}

/// Of clients that are told apart by the name that they ask for, and of those that are not.
#[test]
fn a_flood_of_handshakes_is_bounded_and_touches_nobody() {
    for hosts in ["'*'", "edge.demo"] {
        let ca = Authority::new("ca");
        let Some((it, _server)) = started(&ca, hosts) else {
            return;
        };
        let Some(initiator) = it.initiator(&ca, None, "TLSv1_3") else {
            return;
        };
        let mut client = Wire::connect(initiator.address());
        assert_eq!(client.call("SET k v"), "+OK");
        let before = resident(&it.meltemi);

        let mut flood = Vec::new();
        for i in 0..FLOOD {
            let mut half = TcpStream::connect(it.address).unwrap();
            half.write_all(HALF).unwrap();
            flood.push(half);
            if i % 100 == 0 {
                assert_eq!(client.call("GET k"), "v");
                assert_eq!(Wire::connect(initiator.address()).call("GET k"), "v");
            }
        }
        let refused = (FLOOD - MOST) as u64;
        until("those that are too many are refused", || {
            (it.failures("overload") >= refused).then_some(())
        });
        // The oldest of them.
        for half in flood.iter_mut().take(100) {
            half.set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let read = half.read(&mut [0; 64]);
            let is_over = match &read {
                Ok(0) => true,
                Err(error) => error.kind() == ErrorKind::ConnectionReset,
                Ok(_) => false,
            };
            assert!(is_over, "{read:?}");
        }
        assert_eq!(client.call("GET k"), "v");
        assert_eq!(Wire::connect(initiator.address()).call("GET k"), "v");
        let grown = resident(&it.meltemi).saturating_sub(before);
        assert!(grown < 48 * 1024, "{grown} KiB more");
        assert_eq!(initiator.refusals(), Vec::<String>::new());
    }
}

fn plain(annotation: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{ name: edge, annotations: {{{annotation}}} }}\n\
         spec:\n  servers:\n  - name: redis\n    bind: 127.0.0.1\n    \
         port: {{ number: 0, name: tcp-redis, protocol: TCP }}\n    hosts: ['*']\n"
    )
}

#[test]
fn a_source_has_as_many_connections_as_it_may() {
    let Some(server) = redis() else { return };
    let log = tempfile::NamedTempFile::new().unwrap();
    let manifests = manifests(&[server.address()]);
    let bound = "meltemi.io/max-connections-per-source: '3'";
    manifests.write("gateway.yaml", &plain(bound));
    let path = log.path().to_str().unwrap();
    let options = ["--workers", "2", "--access-log", path];
    let meltemi = Meltemi::run_with(manifests.path(), &options);
    let address = meltemi.address("default/edge/redis");
    let connect = || {
        let mut wire = Wire::connect(address);
        let answer = wire.try_call("PING");
        (wire, answer)
    };
    let mut held: Vec<_> = (0..3).map(|_| connect()).collect();
    assert!(held.iter().all(|(_, answer)| answer.is_some()));
    assert_eq!(connect().1, None);
    let labels = ["listener=\"default/edge/redis\""];
    let limited = meltemi.metric("meltemi_downstream_connections_limited_total", &labels);
    assert_eq!(limited, 1);
    until("it is logged", || {
        let text = std::fs::read_to_string(log.path()).unwrap();
        let line = text
            .lines()
            .find(|it| it.contains("max_connections_per_source: 127.0.0.1"))?;
        assert!(line.contains("\"flag\":\"UO\""), "{line}");
        Some(())
    });
    // Who goes makes room; those that were there are served all the time.
    held.pop();
    until("there is room", || connect().1);
    let served = held
        .iter_mut()
        .all(|(wire, _)| wire.call("PING") == "+PONG");
    assert!(served);
    // Another bound is for connections that begin then.
    manifests.write("gateway.yaml", &plain(""));
    until("there is no bound", || {
        let page = meltemi.get("/config_dump")?.body;
        page.contains("\"max_connections_per_source\": null")
            .then_some(())
    });
    let more: Vec<_> = (0..5).map(|_| connect()).collect();
    assert!(more.iter().all(|(_, answer)| answer.is_some()));
}
