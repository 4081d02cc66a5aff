//! Every field of a RedisService and a RedisDestination, over real servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use meltemi_tests::redis::{Proxied, Server, Wire};
use meltemi_tests::until;

const ROUTES: &str = "\
settings: { caseInsensitive: true }
redis:
  - match: { key: { prefix: 'user:', removePrefix: true } }
    route: { host: users.demo }
  - match: { key: { prefix: 'user:admin:' } }
    route: { host: admins.demo }
  - route: { host: cache.demo }
";

struct Three {
    cache: Server,
    users: Server,
    admins: Server,
    proxied: Proxied,
}

impl Three {
    fn start() -> Option<Self> {
        if !Server::is_installed() {
            return None;
        }
        let (cache, users, admins) = (Server::start(&[]), Server::start(&[]), Server::start(&[]));
        let hosts = [
            ("cache.demo", &cache),
            ("users.demo", &users),
            ("admins.demo", &admins),
        ];
        let proxied = Proxied::start(&hosts, ROUTES);
        Some(Self {
            cache,
            users,
            admins,
            proxied,
        })
    }

    /// The keys of each server.
    fn keys(&self) -> [String; 3] {
        [&self.cache, &self.users, &self.admins].map(|server| {
            let keys = server.connect().call("KEYS *");
            let mut keys: Vec<_> = keys.trim_matches(['[', ']']).split(' ').collect();
            keys.sort_unstable();
            keys.join(" ")
        })
    }
}

#[test]
fn the_longest_prefix_decides_and_may_be_removed() {
    let Some(it) = Three::start() else { return };
    let mut client = it.proxied.connect();
    assert_eq!(client.call("SET user:1 u"), "+OK");
    assert_eq!(
        client.call("SET USER:2 v"),
        "+OK",
        "prefixes are compared without case"
    );
    assert_eq!(client.call("SET user:admin:1 a"), "+OK");
    assert_eq!(client.call("SET other c"), "+OK");
    assert_eq!(it.keys(), ["other", "1 2", "user:admin:1"]);
    assert_eq!(
        client.call("MGET user:admin:1 user:2 other user:1 user:9 nothing"),
        "[a v c u (nil) (nil)]"
    );
    assert_eq!(client.call("MSET user:3 x another y user:admin:2 z"), "+OK");
    assert_eq!(
        it.keys(),
        ["another other", "1 2 3", "user:admin:1 user:admin:2"]
    );
    assert_eq!(
        client.call("EXISTS user:1 user:admin:1 other nothing"),
        ":3"
    );
    assert_eq!(client.call("DEL user:3 another user:admin:2 nothing"), ":3");
    assert_eq!(client.call("RENAME user:2 user:4"), "+OK");
    assert!(
        client.call("RENAME user:4 other").starts_with("-CROSSSLOT"),
        "of two servers"
    );
    assert_eq!(it.keys(), ["other", "1 4", "user:admin:1"]);

    // Whatever a key is of: streams, scripts, blocking commands, lines, transactions.
    client.send(b"XADD user:s 1-1 f v\r\n");
    assert_eq!(client.reply(), "1-1");
    assert_eq!(client.call("XREAD STREAMS user:s 0"), "[[s [[1-1 [f v]]]]]");
    let set = "EVAL return(redis.call('set',KEYS[1],ARGV[1])) 1 user:e v";
    assert_eq!(client.call(set), "+OK");
    assert_eq!(client.call("RPUSH user:q e"), ":1");
    assert_eq!(client.call("BLPOP user:q 0"), "[q e]");
    assert_eq!(client.call("WATCH user:1"), "+OK");
    assert_eq!(client.call("MULTI"), "+OK");
    assert_eq!(client.call("INCR user:n"), "+QUEUED");
    assert_eq!(client.call("GET user:1"), "+QUEUED");
    assert_eq!(client.call("EXEC"), "[:1 u]");
    assert_eq!(it.keys(), ["other", "1 4 e n s", "user:admin:1"]);
}

fn mirrored(hosts: &[(&str, &Server)], settings: &str) -> Proxied {
    let spec = format!(
        "redis:\n  - route: {{ host: cache.demo }}\n    mirror:\n      \
         - {{ route: {{ host: copy.demo }}, {settings} }}\n"
    );
    Proxied::start(hosts, &spec)
}

#[test]
fn copies_are_of_writes_or_of_a_share_and_change_nothing() {
    if !Server::is_installed() {
        return;
    }
    let (cache, copy) = (Server::start(&[]), Server::start(&[]));
    let hosts = [("cache.demo", &cache), ("copy.demo", &copy)];
    let proxied = mirrored(&hosts, "excludeReadCommands: true");
    let mut client = proxied.connect();
    let mut copied = copy.connect();
    assert_eq!(client.call("SET a 1"), "+OK");
    assert_eq!(client.call("MSET b 1 c 1"), "+OK");
    assert_eq!(client.call("DEL b c"), ":2");
    assert_eq!(
        client.call("EVAL return(redis.call('incr',KEYS[1])) 1 a"),
        ":2"
    );
    assert_eq!(client.call("GET a"), "2");
    assert_eq!(client.call("SET last 1"), "+OK");
    until("the last write is copied", || {
        (copied.call("GET last") == "1").then_some(())
    });
    until("the script is copied", || {
        (copied.call("GET a") == "2").then_some(())
    });
    assert_eq!(copied.call("EXISTS b c"), ":0");
    let stats = copied.call("INFO commandstats");
    assert!(
        stats.contains("cmdstat_mset:calls=1") && stats.contains("cmdstat_del:calls=1"),
        "{stats}"
    );

    // One that is dead, or does not read, costs nobody anything.
    let mut other = proxied.connect();
    copy.process().signal("STOP");
    for n in 0..500 {
        client.command(&format!("SET k{n} {n}"));
        assert_eq!(other.call("PING"), "+PONG");
        assert_eq!(client.reply(), "+OK");
    }
    copy.process().signal("CONT");
    drop(copy);
    for n in 0..200 {
        assert_eq!(client.call(&format!("GET k{n}")), n.to_string());
        assert_eq!(client.call(&format!("SET k{n} x")), "+OK");
    }
}

#[test]
fn a_share_of_requests_is_copied() {
    if !Server::is_installed() {
        return;
    }
    let (cache, copy) = (Server::start(&[]), Server::start(&[]));
    let hosts = [("cache.demo", &cache), ("copy.demo", &copy)];
    let proxied = mirrored(&hosts, "percentage: { value: 25 }");
    let mut client = proxied.connect();
    for _ in 0..2000 {
        client.command("INCR n");
    }
    for n in 1..=2000 {
        assert_eq!(client.reply(), format!(":{n}"));
    }
    let mut copied = copy.connect();
    // Seven standard deviations from a quarter.
    until("a quarter is copied", || {
        let n: u32 = copied.call("GET n").parse().ok()?;
        (365..=635).contains(&n).then_some(())
    });
}

#[test]
fn faults_strike_whom_they_are_for() {
    if !Server::is_installed() {
        return;
    }
    let cache = Server::start(&[]);
    let spec = "\
faults:
  - { type: ERROR, percentage: { value: 100 }, commands: [GET, EXEC, WATCH, SUBSCRIBE] }
  - { type: DELAY, percentage: { value: 100 }, delay: 300ms, commands: [set] }
  - { type: ERROR, percentage: { value: 50 }, commands: [INCR] }
";
    let proxied = Proxied::start(&[("cache.demo", &cache)], spec);
    let (mut a, mut b) = (proxied.connect(), proxied.connect());
    let refused = a.call("GET k");
    assert!(
        refused.starts_with("-ERR") && refused.contains("fault"),
        "{refused}"
    );
    let start = Instant::now();
    a.command("SET k 1");
    a.command("STRLEN k");
    assert_eq!(b.call("STRLEN k"), ":0", "others are not delayed");
    assert_eq!(a.reply(), "+OK");
    assert_eq!(a.reply(), ":1", "what follows does not overtake");
    assert!(start.elapsed() >= Duration::from_millis(300));
    let failed = (0..400)
        .filter(|_| a.call("INCR n").starts_with("-ERR"))
        .count();
    assert!((130..=270).contains(&failed), "{failed} of 400");

    // What the server was not told, or was told alone, stays no one else's.
    for _ in 0..3 {
        assert_eq!(a.call("MULTI"), "+OK");
        assert_eq!(a.call("APPEND log x"), "+QUEUED");
        assert!(a.call("EXEC").contains("fault"));
        assert_eq!(a.call("STRLEN log"), ":0");
        assert_eq!(b.call("STRLEN log"), ":0");
        assert!(a.call("WATCH k").contains("fault"));
        assert!(a.call("SUBSCRIBE ch").contains("fault"));
        assert_eq!(a.call("PING"), "+PONG");
    }
    let clients = cache.connect().call("CLIENT LIST");
    let clean = clients
        .lines()
        .all(|line| line.contains(" sub=0 psub=0 ssub=0 multi=-1 "));
    assert!(clean, "{clients}");
}

/// What another proxy of Redis makes of these is one per key, refused, or wrong.
#[test]
fn a_command_is_sent_as_it_is() {
    if !Server::is_installed() {
        return;
    }
    let cache = Server::start(&[]);
    let proxied = Proxied::start(&[("cache.demo", &cache)], "");
    let mut client = proxied.connect();
    client.command("MGET a b c d e f g h i j");
    assert_eq!(client.reply().matches("(nil)").count(), 10);
    let stats = cache.connect().call("INFO commandstats");
    assert!(
        stats.contains("cmdstat_mget:calls=1,") && !stats.contains("cmdstat_get:"),
        "{stats}"
    );
    let time = client.call("TIME");
    let microseconds = time.trim_matches(['[', ']']).split(' ').nth(1).unwrap();
    assert!(microseconds.parse::<u32>().unwrap() < 1_000_000, "{time}");
    client.send(b"*0\r\n*-1\r\n\r\nPING\r\n");
    assert_eq!(client.reply(), "+PONG");
    let hello = client.call("HELLO 3");
    assert!(
        hello.starts_with("{server redis version 7") && hello.contains("proto :3"),
        "{hello}"
    );
    let id: u64 = client
        .call("CLIENT ID")
        .trim_start_matches(':')
        .parse()
        .unwrap();
    assert!(
        client
            .call("CLIENT LIST")
            .lines()
            .any(|line| line.starts_with(&format!("id={id} ")))
    );
    assert_eq!(
        client.call("COMMAND COUNT"),
        cache.connect().call("COMMAND COUNT")
    );
}

const AUTH: &str = "settings: { auth: { plain: { username: app, password: open-sesame } } }\n";

fn passwords_are_asked_of_clients(proxied: &Proxied) {
    let mut client = proxied.connect();
    for (words, reply) in [
        ("GET k", "-NOAUTH Authentication required."),
        ("HELLO 3", "-NOAUTH HELLO must be called"),
        ("AUTH open-sesame", "-WRONGPASS"),
        ("AUTH app wrong", "-WRONGPASS"),
        ("HELLO 3 AUTH app wrong", "-WRONGPASS"),
        ("GET k", "-NOAUTH"),
        ("AUTH a b c", "-ERR syntax error"),
        ("AUTH app open-sesame", "+OK"),
        // The server asks for a password that nobody gave the proxy.
        ("GET k", "-NOAUTH"),
    ] {
        let said = client.call(words);
        assert!(said.starts_with(reply), "{words}: {said}");
    }
}

#[test]
fn clients_show_one_password_and_servers_are_shown_another() {
    if !Server::is_installed() {
        return;
    }
    let cache = Server::start(&["--requirepass", "for-the-proxy"]);
    let proxied = Proxied::start(&[("cache.demo", &cache)], AUTH);
    let destination = |auth: &str| {
        format!(
            "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisDestination\nmetadata:\n  name: it\nspec:\n  \
             host: cache.demo\n  trafficPolicy:\n    connectionPool:\n      redis:\n        mode: PROXY\n        {auth}\n"
        )
    };
    passwords_are_asked_of_clients(&proxied);
    proxied.manifests().write(
        "destination.yaml",
        &destination("auth: { plain: { password: not-it } }"),
    );
    until("the wrong password is refused", || {
        let mut client = proxied.connect();
        assert_eq!(client.call("AUTH app open-sesame"), "+OK");
        client.call("GET k").starts_with("-WRONGPASS").then_some(())
    });
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: upstream\nstringData:\n  token: for-the-proxy\n";
    proxied.manifests().write("secret.yaml", secret);
    proxied.manifests().write(
        "destination.yaml",
        &destination("auth: { secret: { name: upstream } }"),
    );
    until("the right one is not", || {
        let mut client = proxied.connect();
        assert_eq!(client.call("AUTH app open-sesame"), "+OK");
        (client.call("SET k 1") == "+OK").then_some(())
    });
    let mut client = proxied.connect();
    assert!(
        client
            .call("HELLO 3 AUTH app open-sesame SETNAME me")
            .starts_with("{server redis")
    );
    assert_eq!(
        (client.call("GET k"), client.call("CLIENT GETNAME")),
        ("1".into(), "me".into())
    );
    assert_eq!(client.call("RESET"), "+RESET");
    assert!(client.call("GET k").starts_with("-NOAUTH"));
    let mut shown: String = ["/config_dump", "/clusters", "/listeners", "/metrics"]
        .map(|page| proxied.page(page))
        .concat();
    shown += &proxied.meltemi().process().said();
    for secret in ["open-sesame", "for-the-proxy", "not-it"] {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}

const BY_SECRETS: &str = "settings: { auth: { secret: { name: clients } } }\n";

const DESTINATION: &str = "\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: { name: it }
spec:
  host: cache.demo
  trafficPolicy: { connectionPool: { redis: { mode: PROXY, auth: { secret: { name: servers } } } } }
";

fn secret(name: &str, password: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{ name: {name} }}\nstringData: {{ password: {password} }}\n"
    )
}

#[test]
fn passwords_change_under_connections_that_stay() {
    if !Server::is_installed() {
        return;
    }
    let cache = Server::start(&["--requirepass", "one-for-servers"]);
    let proxied = Proxied::start(&[("cache.demo", &cache)], "");
    proxied.manifests().write(
        "secrets.yaml",
        &[
            secret("clients", "one-for-clients"),
            secret("servers", "one-for-servers"),
        ]
        .join("---\n"),
    );
    proxied.manifests().write("destination.yaml", DESTINATION);
    proxied.change(BY_SECRETS);
    let serves = |password: &str| {
        let mut client = Wire::try_connect(proxied.address())?;
        let taken = client.try_call(&format!("AUTH {password}"))? == "+OK";
        (taken && client.try_call("SET k v")? == "+OK").then_some(client)
    };
    let mut early = until("both passwords are known", || serves("one-for-clients"));
    // The server takes both while its password changes.
    let mut admin = cache.connect();
    assert_eq!(admin.call("AUTH one-for-servers"), "+OK");
    assert_eq!(admin.call("ACL SETUSER default >two-for-servers"), "+OK");
    proxied.manifests().write(
        "secrets.yaml",
        &[
            secret("clients", "two-for-clients"),
            secret("servers", "two-for-servers"),
        ]
        .join("---\n"),
    );
    let mut late = until("the new password is taken", || {
        assert_eq!(early.call("GET k"), "v", "who is there stays");
        serves("two-for-clients")
    });
    assert!(serves("one-for-clients").is_none());
    assert_eq!(admin.call("ACL SETUSER default <one-for-servers"), "+OK");
    // Whoever connects from now on shows the new one.
    assert_eq!(
        admin.call("CLIENT KILL TYPE normal SKIPME yes").get(..1),
        Some(":")
    );
    until("the servers are shown the new password", || {
        serves("two-for-clients").map(drop)
    });
    assert_eq!(early.call("PING"), "+PONG");
    assert_eq!(late.call("PING"), "+PONG");
}

#[test]
fn a_command_has_a_time_limit_and_a_blocking_one_its_own() {
    if !Server::is_installed() {
        return;
    }
    let cache = Server::start(&[]);
    let proxied = Proxied::start(
        &[("cache.demo", &cache)],
        "settings: { opTimeout: 400ms }\n",
    );
    let (mut a, mut b) = (proxied.connect(), proxied.connect());
    assert_eq!(a.call("SET k 1"), "+OK");
    let start = Instant::now();
    assert_eq!(a.call("BLPOP queue 1"), "(nil)");
    assert!(start.elapsed() >= Duration::from_secs(1));
    b.command("BLPOP queue 0");
    assert_eq!(a.call("SUBSCRIBE ch"), "[subscribe ch :1]");

    cache.process().signal("STOP");
    let mut c = proxied.connect();
    let start = Instant::now();
    let late = c.call("GET k");
    assert!(
        late.starts_with("-ERR") && late.contains("no answer"),
        "{late}"
    );
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_millis(400) && waited < Duration::from_secs(20),
        "{waited:?}"
    );
    cache.process().signal("CONT");
    // The late answer is nobody's.
    assert_eq!(c.call("ECHO next"), "next");
    assert_eq!(c.call("PUBLISH ch m"), ":1");
    assert_eq!(a.reply(), "[message ch m]");
    assert_eq!(c.call("RPUSH queue e"), ":1");
    assert_eq!(b.reply(), "[queue e]");
}

#[test]
fn requests_are_gathered_for_a_moment() {
    if !Server::is_installed() {
        return;
    }
    let cache = Server::start(&[]);
    let spec = "settings: { maxBufferSizeBeforeFlush: 1000, bufferFlushTimeout: 300ms }\n";
    let proxied = Proxied::start(&[("cache.demo", &cache)], spec);
    let mut client = proxied.connect();
    // A new connection sends at once what waited for it.
    assert_eq!(client.call("PING"), "+PONG");
    let start = Instant::now();
    assert_eq!(client.call("PING"), "+PONG");
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
    let mut other = proxied.connect();
    client.command("SET k 1");
    let long = format!("SET long {}", "x".repeat(1000));
    assert_eq!(other.call(&long), "+OK");
    assert_eq!(client.reply(), "+OK", "there was enough to send");
    assert_eq!(client.call("MULTI"), "+OK");
    assert_eq!(client.call("INCR n"), "+QUEUED");
    assert_eq!(client.call("EXEC"), "[:1]");
}

#[test]
fn commands_are_counted_keys_are_hot_and_slow_ones_are_told() {
    if !Server::is_installed() {
        return;
    }
    let cache = Server::start(&[]);
    let spec = "settings: { enableCommandStats: true, slowCommandThreshold: 200ms }\n";
    let proxied = Proxied::start(&[("cache.demo", &cache)], spec);
    let mut client = proxied.connect();
    for _ in 0..400 {
        client.command("GET hot");
    }
    for _ in 0..400 {
        assert_eq!(client.reply(), "(nil)");
    }
    assert_eq!(client.call("SET k 1"), "+OK");
    assert!(client.call("LPUSH k 1").starts_with("-WRONGTYPE"));
    assert_eq!(client.call("DEBUG SLEEP 0.3"), "+OK");
    let metrics = proxied.page("/metrics");
    let counted = |command: &str, outcome: &str, n: u32| {
        metrics.lines().any(|line| {
            line.contains(&format!("\"{command}\""))
                && line.contains(outcome)
                && line.ends_with(&format!(" {n}"))
        })
    };
    assert!(
        counted("get", "", 400) && counted("set", "", 1),
        "{metrics}"
    );
    assert!(counted("lpush", "application_error", 1), "{metrics}");
    let hot = proxied.page("/hot_keys");
    assert!(hot.contains("\"hot\""), "{hot}");
    until("the slow command is told", || {
        let said = proxied.meltemi().process().said();
        let line = said
            .lines()
            .find(|line| line.contains("slow") && line.contains("debug"))?;
        Some(line.to_owned())
    });
}

#[test]
fn a_change_applies_to_clients_that_are_there() {
    let Some(it) = Three::start() else { return };
    let mut client: Wire = it.proxied.connect();
    assert_eq!(client.call("SET user:1 u"), "+OK");
    it.proxied
        .change("redis:\n  - route: { host: admins.demo }\n");
    until("everything goes to the other host", || {
        client.call("SET user:2 u");
        (it.admins.connect().call("EXISTS user:2") == ":1").then_some(())
    });
}
