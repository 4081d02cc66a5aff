//! Values that are larger than what the proxy may keep.

use meltemi_tests::redis::pipeline;

use super::Proxied;

/// Bytes of the value.
const SIZE: usize = 300 * 1024 * 1024;
const PIECE: usize = 1024 * 1024;

#[test]
fn large_values_pass_through_a_window() {
    let Some(proxied) = Proxied::start("opTimeout: 120s") else {
        return;
    };
    let before = high_water(&proxied);
    several_of_several_shards(&proxied);
    one_of_300_megabytes(&proxied);
    let grown = high_water(&proxied) - before;
    println!("{grown} KiB more");
    assert!(grown < 24 * 1024, "{grown} KiB for values of 300 MB");
}

/// Answers of three shards to a client that does not read them; others are served meanwhile.
fn several_of_several_shards(proxied: &Proxied) {
    const LENGTH: usize = 40 * PIECE;
    let keys = proxied.keys("several");
    let mut client = proxied.connect();
    for key in &keys {
        let set = format!("SETRANGE {key} {} x", LENGTH - 1);
        assert_eq!(client.call(&set), format!(":{LENGTH}"));
    }
    let gets: Vec<String> = keys.iter().map(|key| format!("GET {key}")).collect();
    let gets: Vec<&str> = gets.iter().map(String::as_str).collect();
    client.send(&pipeline(&gets));
    let mut first = vec![0; PIECE];
    assert_eq!(client.line(), format!("${LENGTH}"));
    client.read(&mut first);
    let mut other = proxied.connect();
    for _ in 0..20 {
        for key in &keys {
            assert_eq!(other.call(&format!("STRLEN {key}")), format!(":{LENGTH}"));
        }
    }
    let mut rest = vec![0; LENGTH - PIECE + 2];
    client.read(&mut rest);
    for _ in 1..keys.len() {
        assert_eq!(client.line(), format!("${LENGTH}"));
        let mut all = vec![0; LENGTH + 2];
        client.read(&mut all);
        assert!(all.ends_with(b"\0x\r\n"));
    }
    for key in &keys {
        assert_eq!(client.call(&format!("DEL {key}")), ":1");
    }
}

fn one_of_300_megabytes(proxied: &Proxied) {
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
