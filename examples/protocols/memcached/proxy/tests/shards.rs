//! Keys over several servers: each lives on one, and a `get` of many is one answer.

#[path = "support/client.rs"]
mod client;
#[path = "support/peers.rs"]
mod peers;

use client::dialogue;
use peers::{Memcached, Proxy, has};

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

#[test]
fn a_get_of_many_keys_is_split_over_their_servers() {
    if !has("memcached", &["-V"]) {
        return;
    }
    let servers = [Memcached::start(), Memcached::start(), Memcached::start()];
    let proxy = Proxy::before(&servers.each_ref());
    let store = |n: usize| format!("set key{n} 0 0 4\r\n{n:04}\r\n").into_bytes();
    let stored = dialogue(proxy.address, &(0..90).map(store).collect::<Vec<_>>());
    assert!(stored.iter().all(|answer| answer == b"STORED\r\n"));

    let names: Vec<_> = (0..100).map(|n| format!("key{n}")).collect();
    let get = format!("get {}\r\n", names.join(" ")).into_bytes();
    let value = |n: usize| format!("VALUE key{n} 0 4\r\n{n:04}\r\n");
    let all: String = (0..90).map(value).chain(["END\r\n".to_owned()]).collect();
    let through = dialogue(proxy.address, &[get.clone(), b"get key7\r\n".to_vec()]);
    assert_eq!(text(&through[0]), all);
    assert_eq!(text(&through[1]), format!("{}END\r\n", value(7)));

    // Each key is on one server, each server has a share, and in base64 it is the same key.
    let mut total = 0;
    for server in &servers {
        let answers = dialogue(server.address, std::slice::from_ref(&get));
        let found = text(&answers[0]).matches("VALUE").count();
        assert!(
            (15..=45).contains(&found),
            "{found} of 90 keys on one server"
        );
        total += found;
    }
    assert_eq!(total, 90);
    let base64 = dialogue(proxy.address, &[b"mg a2V5Nw== b v\r\n".to_vec()]);
    assert_eq!(text(&base64[0]), "VA 4\r\n0007\r\n");

    let flushed = dialogue(proxy.address, &[b"flush_all\r\n".to_vec(), get]);
    assert_eq!(text(&flushed[0]), "OK\r\n");
    assert_eq!(text(&flushed[1]), "END\r\n");
    let stats = dialogue(proxy.address, &[b"stats\r\n".to_vec()]);
    assert!(
        text(&stats[0]).starts_with("CLIENT_ERROR"),
        "{}",
        text(&stats[0])
    );
}
