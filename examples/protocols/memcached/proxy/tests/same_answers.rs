//! What a client hears through the proxy is what it hears from memcached itself, byte for byte.

#[path = "support/client.rs"]
mod client;
#[path = "support/peers.rs"]
mod peers;

use client::{conversation, dialogue};
use peers::{Memcached, Proxy, has};

/// A server that is asked directly, and another behind the proxy: they know the same.
struct Pair {
    direct: Memcached,
    _behind: Memcached,
    proxy: Proxy,
}

fn pair() -> Option<Pair> {
    has("memcached", &["-V"]).then(|| {
        let behind = Memcached::start();
        Pair {
            direct: Memcached::start(),
            proxy: Proxy::before(&[&behind]),
            _behind: behind,
        }
    })
}

fn same(pieces: &[Vec<u8>]) {
    let Some(pair) = pair() else { return };
    let direct = dialogue(pair.direct.address, pieces);
    let proxied = dialogue(pair.proxy.address, pieces);
    for ((piece, direct), proxied) in pieces.iter().zip(&direct).zip(&proxied) {
        let text = |bytes: &[u8]| {
            let bytes = bytes.get(..200).unwrap_or(bytes);
            String::from_utf8_lossy(bytes).into_owned()
        };
        let (piece, direct_text, proxied_text) = (text(piece), text(direct), text(proxied));
        assert!(
            direct == proxied,
            "to {piece:?} memcached says {direct_text:?}, through the proxy {proxied_text:?}"
        );
    }
    // All at once, in one pipeline; the counters of `cas` are further now on both sides.
    let all = pieces.concat();
    let direct = conversation(pair.direct.address, &all);
    let proxied = conversation(pair.proxy.address, &all);
    let (direct, proxied) = (
        String::from_utf8_lossy(&direct).into_owned(),
        String::from_utf8_lossy(&proxied).into_owned(),
    );
    assert!(direct == proxied, "{direct:.2000}\nbut\n{proxied:.2000}");
}

fn pieces(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

#[test]
fn text_commands() {
    same(&pieces(&[
        "get a\r\n",
        "set a 1 0 2\r\nhi\r\n",
        "get a\r\n",
        "gets a b a\r\n",
        "set b 0 0 0\r\n\r\n",
        "get a b c\r\n",
        "add a 0 0 1\r\nx\r\n",
        "add c 0 0 7\r\nEND\r\n\r\n\r\n",
        "get c\n",
        "append a 0 0 1\r\n!\r\n",
        "prepend a 0 0 1\r\n.\r\n",
        "replace zz 0 0 1\r\nx\r\n",
        "cas a 0 0 1 1\r\nx\r\n",
        "cas zz 0 0 1 1\r\nx\r\n",
        "gat 100 a b\r\n",
        "gats 0 a\r\n",
        "touch a 0\r\n",
        "touch zz 0\r\n",
        "set n 0 0 1\r\n5\r\n",
        "incr n 10\r\n",
        "decr n 100\r\n",
        "incr a 1\r\n",
        "incr zz 1\r\n",
        "delete a\r\n",
        "delete a 0\r\n",
        "version\r\n",
        "flush_all\r\n",
        "get b\r\n",
    ]));
}

#[test]
fn nobody_hears_what_he_did_not_ask_for() {
    same(&pieces(&[
        "set a 1 0 2 noreply\r\nhi\r\n",
        "get a\r\n",
        "add a 1 0 2 noreply\r\nno\r\n",
        "append a 0 0 1 noreply\r\n!\r\n",
        "cas a 1 0 2 999 noreply\r\nno\r\n",
        "get a\r\n",
        "set n 0 0 1 noreply\r\n1\r\n",
        "incr n 2 noreply\r\n",
        "decr n 1 noreply\r\n",
        "get n\r\n",
        "touch n 100 noreply\r\n",
        "delete a 0 noreply\r\n",
        "delete a noreply\r\n",
        "get a\r\n",
        "flush_all 0 noreply\r\n",
        "flush_all noreply\r\n",
        "get n\r\n",
    ]));
}

#[test]
fn meta_commands() {
    same(&pieces(&[
        "mg a v\r\n",
        "ms a 2 T0 F5\r\nhi\r\n",
        "mg a\r\n",
        "mg a v f k t s O123 q\r\n",
        "mg zz v q\r\n",
        "ms Zm9v 2 b k\r\nhi\r\n",
        "get foo\r\n",
        "mg Zm9v b k v\r\n",
        "ms a 2 q\r\nho\r\n",
        "ms a 2 ME q\r\nno\r\n",
        "ms a 2 MR O9 q k\r\nha\r\n",
        "mg a v\r\nmg zz v q\r\nmg b v q O2\r\n",
        "ma n N0 J5 v\r\n",
        "ma n D3 v\r\n",
        "ma n q\r\n",
        "ma n v q\r\n",
        "ma zz q\r\n",
        "md a q\r\n",
        "md a q\r\n",
        "md a\r\n",
        "me zz\r\n",
        "mg a q q\r\n",
        "ms a 2 X\r\nhi\r\n",
    ]));
}

#[test]
fn what_is_wrong() {
    same(&pieces(&[
        "\r\n",
        "GET a\r\n",
        "get\r\n",
        "hello world\r\n",
        "set a 0 0\r\n",
        "incr a x\r\n",
        "touch a x\r\n",
        "mg\r\n",
        "flush_all x\r\n",
        &format!("mg {}\r\n", "k".repeat(251)),
        "set a 0 0 1\r\n123\r\n",
        "get a\r\n",
    ]));
}

#[test]
fn large_values() {
    let store = |key: &str, size: usize, rest: &str| {
        let value = key.repeat(size / key.len());
        format!("set {key} 0 0 {}{rest}\r\n{value}\r\n", value.len()).into_bytes()
    };
    let mut pieces = vec![
        store("aaaa", 400_000, ""),
        store("bbbb", 900_000, " noreply"),
        store("cccc", 100, ""),
        store("dddd", 2_000_000, ""),
        store("eeee", 2_000_000, " noreply"),
    ];
    for line in [
        "get aaaa\r\n",
        "get cccc aaaa zzzz bbbb dddd eeee\r\n",
        "mg bbbb v\r\n",
        "get cccc\r\n",
    ] {
        pieces.push(line.as_bytes().to_vec());
    }
    same(&pieces);
}

/// A server that finds a key too long forgets what it has not answered yet
/// (`process_get_command`: "kill any stacked responses"): that must not reach it.
#[test]
fn no_answer_is_forgotten() {
    let Some(pair) = pair() else { return };
    let long = "k".repeat(251);
    let pipeline = format!("set a 0 0 1\r\nx\r\nget a\r\nget {long}\r\nget a\r\n");
    let proxied = conversation(pair.proxy.address, pipeline.as_bytes());
    let value = "VALUE a 0 1\r\nx\r\nEND\r\n";
    let all = format!("STORED\r\n{value}CLIENT_ERROR bad command line format\r\n{value}");
    assert_eq!(String::from_utf8_lossy(&proxied), all);
}

/// Data of a command that a server takes for wrong before it has read its size: it would run it.
#[test]
fn data_is_never_run_as_commands() {
    let Some(pair) = pair() else { return };
    let long = "k".repeat(251);
    let smuggled = format!("set {long} 0 0 16\r\nset x 0 0 1\r\n!\r\n\r\n");
    let proxied = dialogue(
        pair.proxy.address,
        &[smuggled.into_bytes(), b"get x\r\n".to_vec()],
    );
    assert!(proxied[0].starts_with(b"CLIENT_ERROR bad command line format"));
    assert_eq!(proxied[1], b"END\r\n");
}

#[test]
fn clients_that_share_a_connection_hear_their_own_answers() {
    let Some(pair) = pair() else { return };
    let address = pair.proxy.address;
    let client = |n: usize| {
        let mut pieces = Vec::new();
        for round in 0..50 {
            let key = format!("key-{n}-{round}");
            let value = format!("{n}:{round}");
            let size = value.len();
            pieces.push(format!("set {key} 0 0 {size} noreply\r\n{value}\r\n").into_bytes());
            pieces
                .push(format!("ms {key} 2000000 q\r\n{}\r\n", "x".repeat(2_000_000)).into_bytes());
            pieces.push(format!("get {key} none\r\nmg {key} v q\r\nmg none v q\r\n").into_bytes());
        }
        let answers = dialogue(address, &pieces);
        for (round, answers) in answers.chunks(3).enumerate() {
            let value = format!("{n}:{round}");
            let size = value.len();
            assert!(answers[0].is_empty());
            assert_eq!(answers[1], b"SERVER_ERROR object too large for cache\r\n");
            // A server removes what it could not replace.
            let text = String::from_utf8_lossy(&answers[2]);
            assert!(
                text == "END\r\n"
                    || text
                        == format!(
                            "VALUE key-{n}-{round} 0 {size}\r\n{value}\r\nEND\r\nVA {size}\r\n{value}\r\n"
                        ),
                "{text}"
            );
        }
    };
    std::thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || client(n));
        }
    });
}
