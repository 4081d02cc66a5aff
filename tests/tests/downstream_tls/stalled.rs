//! Clients that do not get on with their handshake stand in nobody's way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use meltemi_tests::certificates::Authority;
use meltemi_tests::redis::Wire;
use meltemi_tests::until;

use super::{Edge, NAME, SIMPLE, files, redis};

/// A handshake record that promises more than comes: the first bytes of a ClientHello.
const HALF: &[u8] = &[22, 3, 1, 0x0f, 0xff, 1, 0, 0x0f, 0xfb, 3, 3];

#[test]
fn half_a_handshake_is_closed_in_time_and_stalls_nobody() {
    let Some(server) = redis() else { return };
    let ca = Authority::new("ca");
    let it = Edge::start(
        &[server.address()],
        SIMPLE,
        &files(&ca.issue("edge", &[NAME]), &ca),
    );
    let Some(initiator) = it.initiator(&ca, None, "TLSv1_3") else {
        return;
    };
    let mut client = Wire::connect(initiator.address());
    assert_eq!(client.call("SET k v"), "+OK");

    let since = Instant::now();
    let mut silent = TcpStream::connect(it.address).unwrap();
    let mut half: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(it.address).unwrap())
        .collect();
    for stalled in &mut half {
        stalled.write_all(HALF).unwrap();
    }
    // One that only looks whether the port is open.
    drop(TcpStream::connect(it.address).unwrap());
    // And some that speak another language.
    for _ in 0..20 {
        let mut plain = TcpStream::connect(it.address).unwrap();
        plain.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
        let mut heard = Vec::new();
        let _ = plain.read_to_end(&mut heard);
        assert!(!heard.contains(&b'+'), "{heard:?}");
    }
    for _ in 0..500 {
        assert_eq!(client.call("GET k"), "v");
    }
    assert!(
        since.elapsed() < Duration::from_secs(9),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(Wire::connect(initiator.address()).call("GET k"), "v");

    // What is left of them goes after ten seconds.
    for stalled in half.iter_mut().chain([&mut silent]) {
        stalled
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut heard = Vec::new();
        let _ = stalled.read_to_end(&mut heard);
    }
    let taken = since.elapsed();
    assert!(
        (Duration::from_secs(9)..Duration::from_secs(25)).contains(&taken),
        "{taken:?}"
    );
    until("they are counted", || {
        (it.failures("timeout") == 201).then_some(())
    });
    assert_eq!(it.failures("plaintext"), 20);
    assert_eq!(client.call("GET k"), "v");
    until("only the one client is left", || {
        (it.metric("meltemi_downstream_connections{", "service") == 1).then_some(())
    });
}
