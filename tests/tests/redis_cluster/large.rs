//! Values that are larger than what the proxy may keep.

use std::io::Write;

use super::Proxied;

/// Bytes of the value.
const SIZE: usize = 300 * 1024 * 1024;
const PIECE: usize = 1024 * 1024;

#[test]
fn a_large_value_passes_through_a_window() {
    let Some(proxied) = Proxied::start("opTimeout: 120s") else {
        return;
    };
    let before = high_water(&proxied);
    let mut client = proxied.connect();
    let pattern: Vec<u8> = (0..PIECE).map(|n| (n % 251) as u8).collect();
    let key = proxied.cluster.key_of(1, "large");
    let head = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${SIZE}\r\n", key.len());
    client.send(head.as_bytes());
    for _ in 0..SIZE / PIECE {
        client.send(&pattern);
    }
    client.send(b"\r\n");
    assert_eq!(client.reply(), "+OK");
    assert_eq!(client.call(&format!("STRLEN {key}")), format!(":{SIZE}"));
    client.command(&format!("GET {key}"));
    assert_eq!(client.line(), format!("${SIZE}"));
    let mut piece = vec![0; PIECE];
    for n in 0..SIZE / PIECE {
        client.read(&mut piece);
        assert!(piece == pattern, "piece {n}");
    }
    assert_eq!(client.line(), "");
    assert_eq!(client.call("PING"), "+PONG");
    let grown = high_water(&proxied) - before;
    let _ = writeln!(std::io::stderr(), "300 MB through {grown} KiB");
    assert!(grown < 16 * 1024, "{grown} KiB for one value");
    assert_eq!(client.call(&format!("DEL {key}")), ":1");
}

/// The most memory that the proxy ever had, in KiB.
fn high_water(proxied: &Proxied) -> usize {
    let status = format!("/proc/{}/status", proxied.meltemi.process().pid());
    let status = std::fs::read_to_string(status).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.expect("Linux tells it")
}
