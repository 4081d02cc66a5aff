//! What could reach the server of another key is refused, and nothing behind a goodbye is read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use meltemi_tests::redis::{Proxied, Server, Wire, encode};

const ROUTES: &str = "\
redis:
  - match: { key: { prefix: 'user:', removePrefix: true } }
    route: { host: users.demo }
  - route: { host: cache.demo }
";

/// All commands in one write, then as many replies.
fn pipeline(client: &mut Wire, commands: &[&str]) -> Vec<String> {
    let bytes: Vec<u8> = commands
        .iter()
        .flat_map(|command| {
            let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
            encode(&words)
        })
        .collect();
    client.send(&bytes);
    commands.iter().map_while(|_| client.try_reply()).collect()
}

#[test]
fn no_request_strays_from_the_server_of_its_key() {
    if !Server::is_installed() {
        return;
    }
    let (cache, users) = (Server::start(&[]), Server::start(&[]));
    let proxied = Proxied::start(&[("cache.demo", &cache), ("users.demo", &users)], ROUTES);
    let mut client = proxied.connect();
    let elsewhere = "-ERR proxy: its key belongs to another server than the connection that this \
                     client has for itself";

    let large = "v".repeat(300_000);
    let refused = client.call(&format!("MSET user:a {large} user:b y c z"));
    assert_eq!(
        refused,
        "-ERR proxy: the request is too large to be divided among shards"
    );
    assert_eq!(client.call(&format!("SET user:a {large}")), "+OK");
    assert_eq!(users.connect().call("STRLEN a"), ":300000");

    let replies = pipeline(&mut client, &["MULTI", "SET c 1", "SET user:1 2", "EXEC"]);
    assert_eq!(replies[..3], ["+OK", "+QUEUED", elsewhere]);
    assert!(replies[3].starts_with("-EXECABORT"), "{}", replies[3]);
    // What is behind a transaction is no longer bound by it.
    let commands = ["MULTI", "SET user:5 1", "EXEC", "SET c 9", "GET user:5"];
    let replies = pipeline(&mut client, &commands);
    assert_eq!(replies, ["+OK", "+QUEUED", "[+OK]", "+OK", "1"]);
    let replies = pipeline(
        &mut client,
        &["WATCH f", "SET user:6 x", "UNWATCH", "SET user:6 y"],
    );
    assert_eq!(replies, ["+OK", elsewhere, "+OK", "+OK"]);

    let mut keys: Vec<String> = ["c", "1", "5", "6", "user:1", "user:5", "user:6"]
        .map(|key| format!("{} {}", cache.connect().call(&format!("EXISTS {key}")), key))
        .into();
    keys.retain(|key| key.starts_with(":1"));
    assert_eq!(keys, [":1 c"], "on the server of all other keys");
}

#[test]
fn a_goodbye_is_the_last_that_is_read_of_a_client() {
    if !Server::is_installed() {
        return;
    }
    let cache = Server::start(&[]);
    let proxied = Proxied::start(
        &[("cache.demo", &cache)],
        "redis: [{ route: { host: cache.demo } }]\n",
    );
    let mut client = proxied.connect();
    let replies = pipeline(&mut client, &["INCR a", "QUIT", "INCR a"]);
    assert_eq!(replies, [":1", "+OK"]);
    assert_eq!(cache.connect().call("GET a"), "1");
    // What came before it is answered, also where the client waits.
    let mut client = proxied.connect();
    let replies = pipeline(
        &mut client,
        &["SET a 1", "BLPOP l 0.2", "GET a", "QUIT", "GET a"],
    );
    assert_eq!(replies, ["+OK", "(nil)", "1", "+OK"]);
    let mut client = proxied.connect();
    let replies = pipeline(&mut client, &["SUBSCRIBE a", "QUIT"]);
    assert_eq!(replies, ["[subscribe a :1]", "+OK"]);
}
