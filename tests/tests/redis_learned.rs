//! Commands that the table does not know are learned from the server: those of a newer one, and a module's.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use meltemi_tests::redis::{Proxied, Server, Wire, peers};

/// Each command is answered as the server itself answers it.
fn alike(direct: &mut Wire, proxied: &mut Wire, commands: &[&str]) {
    for words in commands {
        assert_eq!(proxied.call(words), direct.call(words), "{words}");
    }
}

const ROUTES: &str = "\
redis:
  - match: { key: { prefix: 'app:', removePrefix: true } }
    route: { host: app.demo }
  - route: { host: cache.demo }
";

#[test]
fn a_newer_servers_commands_are_served() {
    let Some(home) = peers() else { return };
    let start = || Server::start_program(&home.join("valkey/valkey-server"), &[]);
    let (twin, cache, app) = (start(), start(), start());
    let proxied = Proxied::start(&[("cache.demo", &cache), ("app.demo", &app)], ROUTES);
    let (mut direct, mut client) = (twin.connect(), proxied.connect());
    for hello in ["PING", "HELLO 3"] {
        let answers = (direct.call(hello), client.call(hello));
        assert_eq!(answers.0.is_empty(), answers.1.is_empty(), "{hello}");
        alike(
            &mut direct,
            &mut client,
            &[
                "SET k v",
                "SET k w IFEQ v",
                "DELIFEQ k nothing",
                "DELIFEQ k w",
                "HSET h f v g w",
                "HEXPIRE h 1000 FIELDS 1 f",
                "HPERSIST h FIELDS 1 f",
                "HTTL h FIELDS 2 f g",
                "HGETEX h FIELDS 1 f",
                "HSETEX h FIELDS 1 f x",
                "HGETALL h",
                "CLIENT CAPA redirect",
                "CLIENT NO-TOUCH ON",
                "COMMANDLOG LEN slow",
                "SCRIPT SHOW ffff",
                "CLUSTER SLOT-STATS SLOTSRANGE 0 1",
                "NO.SUCH k",
                "DEL h k",
            ],
        );
    }
    let mut client = proxied.connect();
    // With its prefix, and within a transaction that it begins.
    assert_eq!(client.call("SET app:k v"), "+OK");
    assert_eq!(client.call("DELIFEQ app:k v"), ":1");
    assert_eq!(client.call("HSETEX app:h FIELDS 1 f x"), ":1");
    assert_eq!(client.call("MULTI"), "+OK");
    assert_eq!(client.call("HSETEX app:h FIELDS 1 g y"), "+QUEUED");
    assert_eq!(client.call("EXEC"), "[:1]");
    assert_eq!(app.connect().call("HGETALL h"), "[f x g y]");
    assert_eq!(cache.connect().call("DBSIZE"), ":0");
}

#[test]
fn a_modules_commands_are_served() {
    let Some(home) = peers() else { return };
    let module = home.join("falkordb/falkordb.so");
    let arguments = [
        "--loadmodule",
        module.to_str().unwrap(),
        "THREAD_COUNT",
        "1",
    ];
    let start = || Server::start_program(&home.join("falkordb/redis-server"), &arguments);
    let (cache, app) = (start(), start());
    let proxied = Proxied::start(&[("cache.demo", &cache), ("app.demo", &app)], ROUTES);
    let mut client = proxied.connect();
    let query = |client: &mut Wire, command: &str, graph: &str, text: &str| {
        let words = [command, graph, text].map(str::as_bytes);
        client.send(&meltemi_tests::redis::encode(&words));
        client.reply()
    };
    let made = query(
        &mut client,
        "GRAPH.QUERY",
        "app:g",
        "CREATE (:City {name: 'Kos'})",
    );
    assert!(made.contains("Nodes created: 1"), "{made}");
    let found = query(
        &mut client,
        "graph.ro_query",
        "app:g",
        "MATCH (c:City) RETURN c.name",
    );
    assert!(found.contains("Kos"), "{found}");
    assert_eq!(app.connect().call("KEYS g"), "[g]");
    assert_eq!(cache.connect().call("DBSIZE"), ":0");
    let there = client.call("GRAPH.LIST");
    assert_eq!(there, "[]", "without a key it goes where such commands go");
    assert!(
        client
            .call("GRAPH.QUERY app:g")
            .starts_with("-ERR wrong number of arguments")
    );
    assert!(
        client
            .call("GRAPH.NOSUCH app:g")
            .starts_with("-ERR unknown command")
    );
}
