//! Any order of commands: what a client has done before must not tell it from one at the server.

use std::sync::Arc;

use meltemi_redis::resp::{ReplyScan, Scanned};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use crate::{
    peer::{RedisServer, messages, wait},
    proxy::Proxy,
    words::cmd,
};

/// Each is answered once, whatever came before. (`CLIENT GETNAME` within `MULTI` does tell: the name
/// is the proxy's until the client has a connection of its own.)
const COMMANDS: [&str; 43] = [
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH k",
    "WATCH k l",
    "UNWATCH",
    "RESET",
    "SELECT 0",
    "SELECT 1",
    "SELECT 99",
    "SELECT x",
    "SET k v",
    "SET k w",
    "GET k",
    "INCR n",
    "LPUSH l a",
    "LPOP l",
    "LPUSH k wrong",
    "MGET k n",
    "DEL k l",
    "PING",
    "PING x",
    "ECHO e",
    "SUBSCRIBE c",
    "SUBSCRIBE d",
    "UNSUBSCRIBE c",
    "UNSUBSCRIBE d",
    "PSUBSCRIBE p*",
    "PUNSUBSCRIBE p*",
    "SSUBSCRIBE s",
    "SUNSUBSCRIBE s",
    "CLIENT SETNAME n",
    "CLIENT NO-EVICT off",
    "NOSUCH x",
    "GET",
    "ECHO",
    "BLPOP none 0.001",
    "HELLO 2",
    "HELLO 3",
    "CLIENT TRACKING off",
    "XREAD BLOCK 1 STREAMS s1 $",
];

/// What a client is sent: `HELLO` tells a connection's id, which only its server knows.
fn plain(command: &str, answer: &[u8]) -> String {
    let hello = command.starts_with("HELLO") && !answer.starts_with(b"-");
    let answer = if hello { &answer[..2] } else { answer };
    // Those that are executed in a transaction tell it too.
    let text = answer.escape_ascii().to_string();
    let mut parts = text.split("$2\\r\\nid\\r\\n:");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    first + &rest.collect::<String>()
}

fn directly(server: &RedisServer, commands: &[&str]) -> Vec<String> {
    let mut client = server.connect();
    let mut seen = Vec::new();
    for command in commands {
        client.send(&cmd(command));
        wait(command, || {
            client.poll();
            messages(&client.received) >= 1
        });
        seen.push(plain(command, &std::mem::take(&mut client.received)));
    }
    seen
}

fn proxied(server: &RedisServer, commands: &[&str]) -> Vec<String> {
    let mut proxy = Proxy::new(Arc::new(meltemi_redis::protocol()), server.links());
    let mut seen = Vec::new();
    for command in commands {
        proxy.send(&cmd(command));
        wait(command, || {
            proxy.work();
            messages(&proxy.output) >= 1
        });
        seen.push(plain(command, &std::mem::take(&mut proxy.output)));
    }
    seen
}

/// All at once: what was sent behind a command must not change what it does.
fn pipelined(server: &RedisServer, commands: &[&str]) -> Vec<String> {
    let mut proxy = Proxy::new(Arc::new(meltemi_redis::protocol()), server.links());
    let bytes: Vec<u8> = commands.iter().flat_map(|command| cmd(command)).collect();
    proxy.send(&bytes);
    wait("all answers", || {
        proxy.work();
        messages(&proxy.output) >= commands.len()
    });
    let mut rest = proxy.output.as_slice();
    let mut seen = Vec::new();
    for command in commands {
        let Ok(Scanned::End(end)) = ReplyScan::default().feed(rest) else {
            panic!("{}", rest.escape_ascii());
        };
        seen.push(plain(command, &rest[..end]));
        rest = &rest[end..];
    }
    seen
}

#[test]
fn no_order_of_commands_tells() {
    let Some(server) = RedisServer::start("any order of commands", &[]) else {
        return;
    };
    let fresh = || assert_eq!(server.connect().ask(&cmd("FLUSHALL")), b"+OK\r\n");
    let commands = vec(prop::sample::select(COMMANDS.to_vec()), 1..30);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let done = runner.run(&commands, |commands| {
        fresh();
        let direct = directly(&server, &commands);
        fresh();
        let proxied = proxied(&server, &commands);
        prop_assert_eq!(&proxied, &direct, "{:?}", commands);
        fresh();
        let pipelined = pipelined(&server, &commands);
        prop_assert_eq!(&pipelined, &direct, "{:?}", commands);
        Ok(())
    });
    if let Err(failure) = done {
        panic!("{failure}");
    }
}
