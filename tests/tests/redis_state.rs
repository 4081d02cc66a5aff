//! What a client does to its connection is no other client's business, and costs the server a connection
//! for exactly as long as it must.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::process::Command;

use meltemi_tests::redis::{Server, Wire, encode, manifests};
use meltemi_tests::{Manifests, Meltemi, Process, binary, until};

struct Proxied {
    server: Server,
    meltemi: Meltemi,
    address: SocketAddr,
    _manifests: Manifests,
}

impl Proxied {
    fn start() -> Option<Self> {
        if !Server::is_installed() {
            return None;
        }
        let server = Server::start(&[]);
        let manifests = manifests(&[server.address()]);
        let meltemi = Meltemi::run_with(manifests.path(), &["--workers", "1"]);
        let address = meltemi.address("default/edge/redis");
        Some(Self {
            server,
            meltemi,
            address,
            _manifests: manifests,
        })
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }

    /// The server's clients, but for the one that asks.
    fn clients(&self) -> Vec<String> {
        let mut wire = self.server.connect();
        let id = wire.call("CLIENT ID");
        let own = format!("id={} ", id.trim_start_matches(':'));
        let list = wire.call("CLIENT LIST");
        let others = list.lines().filter(|line| !line.starts_with(&own));
        others
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Waits until the server has so many clients.
    fn has_clients(&self, n: usize) {
        until(&format!("the server has {n} clients"), || {
            (self.clients().len() == n).then_some(())
        });
    }

    fn has_a_client_with(&self, part: &str) {
        until(&format!("a client with {part}"), || {
            self.clients()
                .iter()
                .any(|line| line.contains(part))
                .then_some(())
        });
    }
}

#[test]
fn a_database_a_user_a_name_and_a_protocol_are_one_clients_own() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let (mut a, mut b) = (proxied.connect(), proxied.connect());
    assert_eq!(a.call("SET k zero"), "+OK");
    assert_eq!(a.call("SELECT 1"), "+OK");
    assert_eq!(b.call("GET k"), "zero");
    assert_eq!(a.call("GET k"), "(nil)");
    assert_eq!(a.call("SET k one"), "+OK");
    assert_eq!(
        (b.call("GET k"), a.call("GET k")),
        ("zero".into(), "one".into())
    );

    assert_eq!(b.call("ACL SETUSER eve on >pw ~* +@all -set"), "+OK");
    assert_eq!(a.call("AUTH eve pw"), "+OK");
    assert_eq!(
        (a.call("ACL WHOAMI"), b.call("ACL WHOAMI")),
        ("eve".into(), "default".into())
    );
    assert!(a.call("SET k 1").starts_with("-NOPERM"));
    assert_eq!(b.call("SET k zero"), "+OK");
    assert!(b.call("AUTH eve wrong").starts_with("-WRONGPASS"));
    assert_eq!(b.call("ACL WHOAMI"), "default");
    assert_eq!(
        a.call("GET k"),
        "one",
        "the database of a new user is the old one"
    );

    assert_eq!(a.call("CLIENT SETNAME alice"), "+OK");
    assert_eq!(
        (a.call("CLIENT GETNAME"), b.call("CLIENT GETNAME")),
        ("alice".into(), "(nil)".into())
    );
    assert!(a.call("HELLO 3").starts_with("{server redis"));
    a.command("HGETALL none");
    b.command("HGETALL none");
    assert_eq!((a.reply(), b.reply()), ("{}".into(), "[]".into()));
    assert_eq!(a.call("RESET"), "+RESET");
    assert_eq!(
        (a.call("GET k"), a.call("ACL WHOAMI")),
        ("zero".into(), "default".into())
    );
    // Plain connections: of database 0 and 1, of eve, of eve in RESP3.
    assert!(proxied.clients().len() <= 4, "{:?}", proxied.clients());
    assert!(
        proxied
            .clients()
            .iter()
            .all(|line| !line.contains("name=alice"))
    );
}

#[test]
fn a_watched_key_and_a_transaction_are_one_clients_own() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let (mut a, mut b) = (proxied.connect(), proxied.connect());
    assert_eq!(a.call("WATCH k"), "+OK");
    assert_eq!(b.call("SET k b"), "+OK");
    assert_eq!(a.call("MULTI"), "+OK");
    assert_eq!(a.call("SET k a"), "+QUEUED");
    assert_eq!(b.call("GET k"), "b", "another client is in no transaction");
    assert_eq!(a.call("EXEC"), "(nil)");
    assert_eq!(b.call("GET k"), "b");
    assert_eq!(a.call("MULTI"), "+OK");
    assert_eq!(a.call("INCR n"), "+QUEUED");
    assert_eq!(a.call("EXEC"), "[:1]");
    proxied.has_clients(2);
    assert!(
        proxied
            .clients()
            .iter()
            .all(|line| line.contains("multi=-1") && !line.contains("flags=x"))
    );
    // What was freed serves others: no third connection for the next transaction.
    assert_eq!(b.call("MULTI"), "+OK");
    assert_eq!(b.call("INCR n"), "+QUEUED");
    assert_eq!(b.call("DISCARD"), "+OK");
    assert_eq!(b.call("GET n"), "1");
    proxied.has_clients(2);
}

#[test]
fn what_follows_a_transaction_in_one_write_keeps_its_connection() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let (mut a, mut b) = (proxied.connect(), proxied.connect());
    let words = ["MULTI", "SET k 1", "EXEC", "WATCH k"];
    for words in words {
        a.command(words);
    }
    let replies: Vec<_> = words.iter().map(|_| a.reply()).collect();
    assert_eq!(replies, ["+OK", "+QUEUED", "[+OK]", "+OK"]);
    assert_eq!(b.call("SET k 2"), "+OK");
    // Were the connection back among those of all, this would take it.
    assert_eq!(b.call("MULTI"), "+OK");
    assert_eq!(b.call("SET other 1"), "+QUEUED");
    assert_eq!(b.call("EXEC"), "[+OK]");
    assert_eq!(a.call("MULTI"), "+OK");
    assert_eq!(a.call("SET k 3"), "+QUEUED");
    assert_eq!(a.call("EXEC"), "(nil)");

    let words = ["SUBSCRIBE x", "UNSUBSCRIBE x", "SUBSCRIBE y"];
    let mut at_once = Vec::new();
    for words in words {
        at_once.extend(encode(
            &words.split(' ').map(str::as_bytes).collect::<Vec<_>>(),
        ));
    }
    a.send(&at_once);
    let replies: Vec<_> = words.iter().map(|_| a.reply()).collect();
    assert_eq!(
        replies,
        ["[subscribe x :1]", "[unsubscribe x :0]", "[subscribe y :1]"]
    );
    assert_eq!(b.call("PUBLISH y hello"), ":1");
    assert_eq!(a.reply(), "[message y hello]");
}

#[test]
fn subscriptions_of_all_kinds_reach_their_client_alone() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let (mut a, mut b, mut c) = (proxied.connect(), proxied.connect(), proxied.connect());
    assert_eq!(c.call("PING"), "+PONG");
    let before = proxied.clients().len();
    assert_eq!(a.call("SUBSCRIBE one"), "[subscribe one :1]");
    assert_eq!(b.call("PSUBSCRIBE o*"), "[psubscribe o* :1]");
    assert_eq!(b.call("SSUBSCRIBE one"), "[ssubscribe one :1]");
    assert_eq!(c.call("PUBLISH one hello"), ":2");
    assert_eq!(c.call("SPUBLISH one shard"), ":1");
    assert_eq!(a.reply(), "[message one hello]");
    assert_eq!(b.reply(), "[pmessage o* one hello]");
    assert_eq!(b.reply(), "[smessage one shard]");
    assert!(a.call("GET k").starts_with("-ERR Can't execute 'get'"));
    assert_eq!(a.call("PING"), "[pong ]");
    proxied.has_clients(before + 2);
    assert_eq!(a.call("UNSUBSCRIBE"), "[unsubscribe one :0]");
    assert_eq!(a.call("SET k 1"), "+OK");

    assert!(a.call("HELLO 3").starts_with('{'));
    assert_eq!(a.call("SUBSCRIBE three"), "push[subscribe three :1]");
    assert_eq!(
        a.call("GET k"),
        "1",
        "RESP3 allows any command between pushes"
    );
    assert_eq!(c.call("PUBLISH three 3"), ":1");
    assert_eq!(a.reply(), "push[message three 3]");
    drop((a, b));
    until("nobody listens", || {
        (c.call("PUBLISH three 4") == ":0").then_some(())
    });
    assert_eq!(c.call("PUBSUB NUMPAT"), ":0");
}

#[test]
fn a_subscription_survives_what_else_its_client_says() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let (mut a, mut b) = (proxied.connect(), proxied.connect());
    assert!(a.call("HELLO 3").starts_with('{'));
    assert_eq!(a.call("SUBSCRIBE ch"), "push[subscribe ch :1]");
    assert!(a.call("HELLO 2").starts_with('['));
    assert_eq!(b.call("PUBLISH ch 1"), ":1");
    assert_eq!(a.reply(), "[message ch 1]");
    assert!(
        a.call("CLIENT REPLY OFF")
            .starts_with("-ERR Can't execute 'client|reply'")
    );
    assert_eq!(a.call("RESET"), "+RESET");

    // In a transaction the second channel's confirmation comes behind the answer to EXEC.
    assert_eq!(a.call("MULTI"), "+OK");
    assert_eq!(a.call("SUBSCRIBE one two"), "+QUEUED");
    assert_eq!(a.call("EXEC"), "[[subscribe one :1]]");
    assert_eq!(a.reply(), "[subscribe two :2]");
    assert_eq!(a.call("PING"), "[pong ]");
    assert_eq!(b.call("PUBLISH two 2"), ":1");
    assert_eq!(a.reply(), "[message two 2]");

    // Who may not subscribe is not subscribed.
    assert_eq!(b.call("ACL SETUSER deaf on >pw ~* +@all -subscribe"), "+OK");
    let mut c = proxied.connect();
    assert_eq!(c.call("AUTH deaf pw"), "+OK");
    assert!(c.call("SUBSCRIBE ch").starts_with("-NOPERM"));
    assert_eq!(c.call("SELECT 1"), "+OK");
    c.command("CLIENT REPLY SKIP");
    c.command("GET k");
    assert_eq!(c.call("ECHO heard"), "heard");
}

#[test]
fn what_is_popped_has_a_reader() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let mut b = proxied.connect();
    assert_eq!(b.call("PING"), "+PONG");
    let before = proxied.clients().len();
    for blocking in [
        "BLPOP list 0",
        "BRPOP list 60",
        "BLMOVE list other LEFT LEFT 0",
        "BLMPOP 0 1 list LEFT",
    ] {
        let mut a = proxied.connect();
        a.command(blocking);
        proxied.has_a_client_with("flags=b");
        assert_eq!(b.call("GET k"), "(nil)", "others do not wait");
        drop(a);
        until("its connection closes", || {
            (!proxied
                .clients()
                .iter()
                .any(|line| line.contains("flags=b")))
            .then_some(())
        });
        assert_eq!(b.call("RPUSH list element"), ":1");
        assert_eq!(b.call("LPOP list"), "element", "{blocking}");
    }
    let mut a = proxied.connect();
    a.command("BLPOP list 0");
    proxied.has_a_client_with("flags=b");
    assert_eq!(b.call("RPUSH list x"), ":1");
    assert_eq!(a.reply(), "[list x]");
    proxied.has_clients(before + 1);
    // The connection that waited waits for the next one.
    a.command("BZPOPMIN zset 0");
    proxied.has_a_client_with("cmd=bzpopmin");
    assert_eq!(b.call("ZADD zset 1 m"), ":1");
    assert_eq!(a.reply(), "[zset m 1]");
    proxied.has_clients(before + 1);
}

#[test]
fn what_a_client_leaves_behind_closes_with_it() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let mut b = proxied.connect();
    assert_eq!(b.call("PING"), "+PONG");
    let before = proxied.clients().len();
    for state in [
        &["WATCH k"][..],
        &["MULTI", "SET k 1"],
        &["SUBSCRIBE ch"],
        &["PSUBSCRIBE c*"],
        &["SSUBSCRIBE ch"],
        &["MONITOR"],
        &["CLIENT TRACKING ON BCAST"],
        &["CLIENT NO-EVICT ON"],
        &["MULTI", "SELECT 3", "EXEC"],
    ] {
        let mut a = proxied.connect();
        if state[0].contains("TRACKING") {
            a.call("HELLO 3");
        }
        for words in state {
            let reply = a.call(words);
            assert!(!reply.starts_with('-'), "{words}: {reply}");
        }
        drop(a);
        until(&format!("{state:?} is gone"), || {
            let clean = |line: &String| line.contains(" db=0 sub=0 psub=0 ssub=0 multi=-1 ");
            let plain = |line: &String| line.contains("flags=N ");
            let clients = proxied.clients();
            clients
                .iter()
                .all(|line| clean(line) && plain(line))
                .then_some(())
        });
        assert_eq!(b.call("GET k"), "(nil)", "{state:?}");
    }
    assert!(
        proxied.clients().len() <= before + 2,
        "{:?}",
        proxied.clients()
    );
}

#[test]
fn monitor_tracking_and_silence_are_one_clients_own() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let (mut a, mut b) = (proxied.connect(), proxied.connect());
    assert_eq!(a.call("MONITOR"), "+OK");
    assert_eq!(b.call("SET seen 1"), "+OK");
    until("the monitor sees it", || {
        a.reply().contains("\"seen\"").then_some(())
    });

    let mut c = proxied.connect();
    assert!(c.call("HELLO 3").starts_with('{'));
    assert_eq!(c.call("CLIENT TRACKING ON"), "+OK");
    assert_eq!(c.call("GET seen"), "1");
    assert_eq!(b.call("SET seen 2"), "+OK");
    assert_eq!(c.reply(), "push[invalidate [seen]]");

    let mut d = proxied.connect();
    d.command("CLIENT REPLY OFF");
    d.command("SET silent 1");
    assert_eq!(b.call("PING"), "+PONG");
    assert_eq!(d.call("CLIENT REPLY ON"), "+OK");
    d.command("CLIENT REPLY SKIP");
    d.command("GET silent");
    assert_eq!(d.call("ECHO heard"), "heard");
    assert_eq!(b.call("GET silent"), "1");
}

#[test]
fn plain_clients_share_few_connections() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let mut clients: Vec<_> = (0..500).map(|_| proxied.connect()).collect();
    for round in 0..4 {
        for (n, client) in clients.iter_mut().enumerate() {
            client.command(&format!("SET k{n} {round}"));
            client.command(&format!("GET k{n}"));
        }
        for client in &mut clients {
            assert_eq!(
                (client.reply(), client.reply()),
                ("+OK".into(), round.to_string())
            );
        }
    }
    assert!(proxied.clients().len() <= 8, "{:?}", proxied.clients());
}

#[test]
fn a_shells_limit_of_open_files_is_no_limit() {
    if !Server::is_installed() {
        return;
    }
    let server = Server::start(&[]);
    let manifests = manifests(&[server.address()]);
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "ulimit -S -n 100; exec \"$0\" run --admin 127.0.0.1:0 -f \"$1\"",
        ])
        .arg(binary())
        .arg(manifests.path());
    let meltemi = Meltemi::of(Process::spawn("meltemi", &mut shell));
    let address = meltemi.address("default/edge/redis");
    let mut clients: Vec<_> = (0..150).map(|_| Wire::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.call("PING"), "+PONG");
    }
}

#[test]
fn hundreds_wait_and_listen_at_once() {
    let Some(proxied) = Proxied::start() else {
        return;
    };
    let mut b = proxied.connect();
    let mut waiting: Vec<_> = (0..200).map(|_| proxied.connect()).collect();
    let mut listening: Vec<_> = (0..200).map(|_| proxied.connect()).collect();
    for client in &mut waiting {
        client.command("BLPOP queue 0");
    }
    for client in &mut listening {
        assert_eq!(client.call("SUBSCRIBE news"), "[subscribe news :1]");
    }
    until("all of them wait", || {
        let blocked = proxied
            .clients()
            .iter()
            .filter(|line| line.contains("flags=b"))
            .count();
        (blocked == waiting.len()).then_some(())
    });
    assert_eq!(b.call("PUBLISH news now"), ":200");
    for client in &mut listening {
        assert_eq!(client.reply(), "[message news now]");
    }
    for n in 0..waiting.len() {
        b.call(&format!("RPUSH queue {n}"));
    }
    let mut got: Vec<usize> = waiting
        .iter_mut()
        .map(|client| {
            client
                .reply()
                .trim_matches(['[', ']'])
                .split(' ')
                .next_back()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    got.sort_unstable();
    assert_eq!(got, (0..waiting.len()).collect::<Vec<_>>());
    drop((waiting, listening));
    until("nobody listens", || {
        (b.call("PUBLISH news then") == ":0").then_some(())
    });
    let ready = proxied.meltemi.get("/ready").unwrap();
    assert_eq!(ready.status, 200, "{}", ready.body);
}
