//! Headers as they arrive: in pieces, late, or not at all.

use super::*;

#[test]
fn a_header_may_come_in_pieces() {
    let proxy = start();
    for (first, then) in (0..CAPTURED.len()).map(|at| CAPTURED.split_at(at)) {
        let mut client = Client(tunnel(&proxy, first));
        std::thread::sleep(Duration::from_millis(2));
        client.0.write_all(then).unwrap();
        client.call(1, b"hello");
    }
    // With the first request at once, and byte by byte.
    let mut at_once = CAPTURED.to_vec();
    at_once.extend(meltemi_codec::kit::sample::by_id::request(
        3, "say", b"first",
    ));
    let mut client = Client(tunnel(&proxy, &at_once));
    assert_eq!(client.receive().1, b"first");
    let mut client = Client(tunnel(&proxy, b""));
    for byte in at_once {
        client.0.write_all(&[byte]).unwrap();
    }
    assert_eq!(client.receive().1, b"first");
    assert_eq!(all_refused(&proxy), 0.0);
}

#[test]
fn what_is_no_header_is_closed_and_counted() {
    let proxy = start();
    let v4 = [10, 0, 0, 1, 10, 98, 0, 10, 1, 1, 0x51, 0x90];
    let twice = [&v4[..], b"\xd0\0\x0aspiffe://a\xd0\0\x0aspiffe://a"].concat();
    let huge = [&CAPTURED[..14], b"\xff\xff"].concat();
    for (first, reason) in [
        (b"*1\r\n$4\r\nPING\r\n".to_vec(), "missing"),
        (
            b"PROXY TCP4 10.0.0.1 10.98.0.10 1 20880\r\n".to_vec(),
            "missing",
        ),
        (of(0x11, 0x11, &v4), "malformed"),
        (of(0x21, 0x31, &[0; 216]), "malformed"),
        (of(0x21, 0x11, &v4[..7]), "malformed"),
        (of(0x21, 0x11, &twice), "malformed"),
        (huge, "too_long"),
    ] {
        let before = refused(&proxy, reason).unwrap();
        is_closed(tunnel(&proxy, &first));
        assert_eq!(refused(&proxy, reason), Some(before + 1.0), "{reason}");
    }
    // The end of the connection is the end of its header.
    let cut = tunnel(&proxy, &CAPTURED[..20]);
    cut.shutdown(std::net::Shutdown::Write).unwrap();
    is_closed(cut);
    assert_eq!(refused(&proxy, "incomplete"), Some(1.0));
    assert_eq!(all_refused(&proxy), 8.0);
    Client(tunnel(&proxy, CAPTURED)).call(1, b"and the next is served");
}

#[test]
fn a_header_that_takes_too_long_is_not_waited_for() {
    let proxy = start_with(Settings {
        header: Duration::from_millis(100),
        ..Settings::default()
    });
    is_closed(tunnel(&proxy, &CAPTURED[..20]));
    is_closed(tunnel(&proxy, b""));
    assert_eq!(refused(&proxy, "timeout"), Some(2.0));
}

#[test]
fn a_probe_is_no_error() {
    let proxy = start();
    is_closed(tunnel(&proxy, &of(0x20, 0, b"")));
    is_closed(tunnel(&proxy, &of(0x20, 0x11, &[0; 12])));
    drop(tunnel(&proxy, b""));
    is_closed(tunnel(&proxy, &of(0x20, 0, b"")));
    assert_eq!(all_refused(&proxy), 0.0);
}
