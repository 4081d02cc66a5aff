//! The command table against a real server: what `COMMAND` says, and where `COMMAND GETKEYS` finds
//! keys. `MELTEMI_BLESS=1` writes the table anew.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test fails by panicking, and does not use all that it shares"
)]

#[path = "support/generate.rs"]
mod generate;
#[path = "support/overrides.rs"]
mod overrides;
#[path = "support/server.rs"]
mod server;

use std::{fs, path::Path};

use server::Server;

#[test]
fn the_table_is_what_the_server_says() {
    let Some(mut server) = Server::start("the command table against COMMAND") else {
        return;
    };
    let table = generate::table(&server.ask(&["COMMAND"]));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/command/table.rs");
    if std::env::var("MELTEMI_BLESS").is_ok_and(|value| value == "1") {
        fs::write(&path, &table).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    let differs = written.lines().zip(table.lines()).find(|(a, b)| a != b);
    assert!(
        written == table,
        "src/command/table.rs is not what redis-server says; MELTEMI_BLESS=1 writes it: {differs:?}"
    );
}

#[test]
fn every_override_is_of_a_command_that_there_is() {
    for own in overrides::OVERRIDES {
        let (name, sub) = match own.name.split_once('|') {
            Some((name, sub)) => (name, Some(sub.as_bytes())),
            None => (own.name, None),
        };
        let found = meltemi_redis::command::find(name.as_bytes(), sub);
        assert_eq!(found.map(|command| command.name), Some(own.name));
    }
}
