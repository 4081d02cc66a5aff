//! The same words to a real server and through both codecs: a client cannot tell.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "peer/broken.rs"]
mod broken;
#[path = "peer/password.rs"]
mod password;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "peer/random.rs"]
mod random;
#[path = "peer/resp3.rs"]
mod resp3;
#[path = "peer/scenarios.rs"]
mod scenarios;
#[path = "support/words.rs"]
mod words;

use std::sync::Arc;

use broken::BROKEN;
use meltemi_codec::Protocol;
use password::PASSWORD;
use peer::{Direct, RedisServer, messages, wait};
use proxy::Proxy;
use resp3::RESP3;
use scenarios::{SCENARIOS, Scenario};
use words::cmd;

/// The bytes of a line of a scenario: raw bytes, a command of another client's, or a command.
enum Line {
    Client(Vec<u8>),
    Other(Vec<u8>),
}

fn line(text: &str) -> Line {
    if let Some(other) = text.strip_prefix("! ") {
        return Line::Other(cmd(other));
    }
    Line::Client(match text.strip_prefix("raw ") {
        Some(raw) => raw.into(),
        None => text.split(" ;; ").flat_map(cmd).collect(),
    })
}

fn another(server: &RedisServer, scenario: &Scenario) -> Direct {
    let mut other = server.connect();
    if let Some(auth) = scenario.admin {
        assert_eq!(other.ask(&cmd(auth)), b"+OK\r\n");
    }
    other
}

fn directly(server: &RedisServer, scenario: &Scenario, first: &str) -> Vec<String> {
    let (mut client, mut other) = (server.connect(), another(server, scenario));
    if !first.is_empty() {
        client.ask(&cmd(first));
    }
    let mut seen = Vec::new();
    for (text, count) in scenario.lines {
        match line(text) {
            Line::Other(command) => drop(other.ask(&command)),
            Line::Client(bytes) => client.send(&bytes),
        }
        wait(&format!("{}: {text}, directly", scenario.name), || {
            client.poll();
            messages(&client.received) >= *count
        });
        seen.push(
            std::mem::take(&mut client.received)
                .escape_ascii()
                .to_string(),
        );
    }
    seen
}

fn proxied(server: &RedisServer, scenario: &Scenario, first: &str) -> Vec<String> {
    let mut proxy = Proxy::new(Arc::new(meltemi_redis::protocol()), server.links());
    let mut other = another(server, scenario);
    if !first.is_empty() {
        proxy.send(&cmd(first));
        wait(first, || {
            proxy.work();
            messages(&proxy.output) == 1
        });
        proxy.output.clear();
    }
    let mut seen = Vec::new();
    for (text, count) in scenario.lines {
        match line(text) {
            Line::Other(command) => drop(other.ask(&command)),
            Line::Client(bytes) => proxy.send(&bytes),
        }
        wait(
            &format!("{}: {text}, through the proxy", scenario.name),
            || {
                proxy.work();
                messages(&proxy.output) >= *count
            },
        );
        seen.push(std::mem::take(&mut proxy.output).escape_ascii().to_string());
    }
    clean(&mut other, &mut proxy, scenario.name);
    seen
}

/// Connections that serve others next are as they were opened.
fn clean(other: &mut Direct, proxy: &mut Proxy<peer::Links<'_>>, name: &str) {
    proxy.work();
    if proxy.pinned().is_some() {
        return;
    }
    let list = String::from_utf8(other.ask(&cmd("CLIENT LIST TYPE normal"))).unwrap();
    let clients = list.lines().filter(|line| line.contains("fd="));
    for client in clients.filter(|client| !client.contains("cmd=client|list")) {
        assert!(
            client.contains(" sub=0 psub=0 ssub=0 multi=-1 "),
            "{name}: {client}"
        );
        assert!(client.contains(" name= "), "{name}: {client}");
        assert!(
            !client.contains(" flags=x") && !client.contains(" flags=b"),
            "{name}: {client}"
        );
    }
}

fn compare(server: &RedisServer, scenario: &Scenario, first: &str) {
    let mut other = another(server, scenario);
    let mut prepare = || {
        other.ask(&cmd("FLUSHALL"));
        for command in scenario.before {
            let answer = other.ask(&cmd(command));
            assert!(
                !answer.starts_with(b"-"),
                "{command}: {}",
                answer.escape_ascii()
            );
        }
    };
    prepare();
    let direct = directly(server, scenario, first);
    prepare();
    let proxied = proxied(server, scenario, first);
    for ((text, _), (direct, proxied)) in scenario.lines.iter().zip(direct.iter().zip(&proxied)) {
        assert_eq!(proxied, direct, "{}: {text}", scenario.name);
    }
}

#[test]
fn a_client_cannot_tell() {
    let options = ["--enable-debug-command", "yes"];
    let Some(server) = RedisServer::start("codecs against a server", &options) else {
        return;
    };
    for scenario in SCENARIOS.iter().chain(BROKEN) {
        compare(&server, scenario, "");
    }
    for scenario in RESP3 {
        compare(&server, scenario, "HELLO 3");
    }
}

#[test]
fn a_client_with_a_password_cannot_tell() {
    let options = ["--requirepass", "secret"];
    let Some(server) = RedisServer::start("codecs against a server with a password", &options)
    else {
        return;
    };
    for scenario in PASSWORD {
        compare(&server, scenario, "");
    }
}

/// The proxy has a password for clients, and another one for the server.
#[test]
fn passwords_of_both_sides_are_their_own() {
    let options = ["--requirepass", "secret"];
    let Some(server) = RedisServer::start("passwords of both sides", &options) else {
        return;
    };
    let settings = [("password", "front"), ("upstreamPassword", "secret")];
    let protocol = || meltemi_redis::protocol().configure(&settings).unwrap();
    let mut proxy = Proxy::new(protocol(), server.links());
    for (line, said) in [
        ("GET k", "-NOAUTH Authentication required.\r\n"),
        (
            "AUTH secret",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        ),
        ("AUTH front", "+OK\r\n"),
        ("SET k v", "+OK\r\n"),
        ("SELECT 1", "+OK\r\n"),
        ("GET k", "$-1\r\n"),
        // A connection that is released after `RESET` serves the next as it was opened.
        ("WATCH k", "+OK\r\n"),
        ("RESET", "+RESET\r\n"),
        ("AUTH front", "+OK\r\n"),
        ("GET k", "$1\r\nv\r\n"),
        ("SELECT 1", "+OK\r\n"),
        ("SET k one", "+OK\r\n"),
        ("GET k", "$3\r\none\r\n"),
        // One of the client's own is a new client's.
        ("CLIENT NO-EVICT on", "+OK\r\n"),
        ("RESET", "+RESET\r\n"),
        ("AUTH default front", "+OK\r\n"),
        ("GET k", "$1\r\nv\r\n"),
    ] {
        proxy.send(&cmd(line));
        wait(line, || {
            proxy.work();
            messages(&proxy.output) == 1
        });
        let seen = std::mem::take(&mut proxy.output);
        assert_eq!(String::from_utf8(seen).unwrap(), said, "{line}");
    }
    assert_eq!(proxy.opened(), 2, "one for each database");
}
