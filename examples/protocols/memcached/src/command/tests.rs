use super::*;

fn command(line: &str) -> Command<'_> {
    match Command::front(line.as_bytes()) {
        Ok(Front::Command(command)) => command,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn wrong(line: &str) -> &'static str {
    match Command::front(line.as_bytes()) {
        Ok(Front::Wrong(len, answer)) if len == line.len() => answer,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn keys_are_found_where_they_are() {
    for (line, keys) in [
        ("get a\r\n", &["a"][..]),
        ("gets a b  c\n", &["a", "b", "c"]),
        (" get a\r\n", &["a"]),
        ("gat 10 a b\r\n", &["a", "b"]),
        ("set a 1 0 2\r\n", &["a"]),
        ("mg a v k\r\n", &["a"]),
        ("flush_all 10\r\n", &[]),
    ] {
        let keys: Vec<_> = keys.iter().map(|key| key.as_bytes()).collect();
        assert_eq!(command(line).keys().collect::<Vec<_>>(), keys, "{line:?}");
    }
    assert_eq!(command("mg Zm9v b\r\n").key().as_deref(), Some(&b"foo"[..]));
    assert_eq!(command("gat 10 a b\r\n").before_keys(), b"gat 10 ");
}

#[test]
fn data_is_part_of_the_message() {
    assert_eq!(command("set a 0 0 5\r\n").size(), 13 + 5 + 2);
    assert_eq!(command("cas a 0 -1 0 9\r\n").size(), 16 + 2);
    assert_eq!(command("ms a 2 T0\r\n").size(), 11 + 2 + 2);
    assert_eq!(command("incr a 5\r\n").size(), 10);
}

#[test]
fn what_a_client_does_not_want_to_hear() {
    for (line, hidden, quiet) in [
        ("set a 0 0 1 noreply\r\n", hidden::ALL, " noreply"),
        ("delete a 0 noreply\r\n", hidden::ALL, " noreply"),
        ("flush_all noreply\r\n", hidden::ALL, " noreply"),
        ("get noreply\r\n", 0, ""),
        ("mg a v q k\r\n", hidden::EN, " q"),
        ("ms a 1 q\r\n", hidden::HD, " q"),
        ("ma a v q\r\n", hidden::HD | hidden::VA, " q"),
        ("md a q q\r\n", 0, ""),
    ] {
        let command = command(line);
        let (at, len) = command.quiet;
        let found = (command.hidden, &line[at..at + len]);
        assert_eq!(found, (hidden, quiet), "{line:?}");
    }
}

#[test]
fn what_a_server_would_not_take_is_answered_as_it_would() {
    let long = format!("get {}\r\n", "k".repeat(251));
    for (line, answer) in [
        ("\r\n", "ERROR"),
        ("GET a\r\n", "ERROR"),
        ("get\r\n", "ERROR"),
        ("set a 0 0\r\n", "ERROR"),
        ("delete a 1\r\n", "CLIENT_ERROR"),
        ("incr a x\r\n", "CLIENT_ERROR invalid numeric delta"),
        ("touch a x\r\n", "CLIENT_ERROR invalid exptime"),
        ("get a\0b\r\n", "CLIENT_ERROR"),
        (&long, "CLIENT_ERROR"),
    ] {
        assert!(wrong(line).starts_with(answer), "{line:?}: {}", wrong(line));
    }
}

#[test]
fn data_of_a_wrong_command_is_no_command() {
    let long = format!("set {} 0 0 9\r\n", "k".repeat(251));
    let flags = format!("ms a 9{}\r\n", " k".repeat(17));
    for line in [
        "set a x 0 9\r\n",
        "set a 0 0 9 reply\r\n",
        "cas a 0 0 9 x\r\n",
        "set a\0 0 0 9\r\n",
        &long,
        &flags,
    ] {
        match Command::front(line.as_bytes()) {
            Ok(Front::WrongWithData(command)) => {
                assert_eq!(command.size(), line.len() as u64 + 9 + 2);
            }
            other => panic!("{line:?}: {other:?}"),
        }
    }
    for line in ["set a 0 0 x\r\n", "set a 0 0 -1\r\n", "ms a 4294967296\r\n"] {
        assert!(Command::front(line.as_bytes()).is_err(), "{line:?}");
    }
}

#[test]
fn a_line_ends_somewhere() {
    let get = format!("get {}", "k ".repeat(20_000));
    assert_eq!(Command::front(get.as_bytes()), Ok(Front::Incomplete));
    let gat = format!("gat 1 {}", "k ".repeat(2000));
    assert!(Command::front(gat.as_bytes()).is_err());
    assert!(Command::front(&[b'g'; 70_000]).is_err());
    assert!(Command::front(b"\x80\x00").is_err());
}

#[test]
fn a_connection_is_known_by_its_first_command() {
    for (head, sniff) in [
        (&b""[..], Sniff::Need(1)),
        (b"ge", Sniff::Need(3)),
        (b"get ", Sniff::Yes),
        (b"version\r\n", Sniff::Yes),
        (b"GET / HTTP/1.1\r\n", Sniff::No),
        (b"getx", Sniff::No),
        (b"\x80", Sniff::No),
    ] {
        assert_eq!(super::sniff(head), sniff, "{head:?}");
    }
}
