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
#[path = "support/requests.rs"]
mod requests;
#[path = "support/server.rs"]
mod server;

use std::{collections::HashSet, fs, path::Path};

use meltemi_redis::command::{self, Command, Learned, keys};
use server::{Server, Value};

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
        let found = command::find(name.as_bytes(), sub);
        assert_eq!(found.map(|command| command.name), Some(own.name));
    }
}

#[test]
fn keys_are_where_the_server_finds_them() {
    let Some(mut server) = Server::start("keys of requests against COMMAND GETKEYS") else {
        return;
    };
    let mut agreed = HashSet::new();
    for request in requests::requests() {
        let arguments: Vec<&str> = request.iter().map(String::as_str).collect();
        let sub = arguments.get(1).map(|sub| sub.as_bytes());
        let command = command::find(arguments[0].as_bytes(), sub).unwrap();
        let arg = |index: usize| arguments.get(index).map(|it| it.as_bytes());
        let found: Vec<&str> = keys(command.keys, arguments.len(), arg)
            .map(|index| arguments[index])
            .collect();
        match server.ask(&[&["COMMAND", "GETKEYS"], arguments.as_slice()].concat()) {
            Value::List(keys) => {
                let keys: Vec<&str> = keys.iter().map(Value::text).collect();
                assert_eq!(found, keys, "{request:?}");
                agreed.insert(command.name);
            }
            Value::Error(error) if error.contains("no key arguments") => {
                // Servers do not call a channel a key, although it has a slot.
                let channels = command.keys.iter().all(|spec| spec.not_key);
                assert!(channels || found.is_empty(), "{request:?}: {found:?}");
            }
            // A syntax error: where it is sent does not matter. GETKEYS wants an argument.
            Value::Error(error) => assert!(
                error.contains("Invalid ") || arguments.len() == 1,
                "{request:?}: {error}"
            ),
            other => panic!("{request:?}: {other:?}"),
        }
    }
    for command in command::all().iter().flat_map(with_subcommands) {
        let has_keys = command.keys.iter().any(|spec| !spec.not_key);
        assert_eq!(agreed.contains(command.name), has_keys, "{}", command.name);
    }
}

#[test]
fn what_is_learned_of_a_command_is_what_the_table_has_of_it() {
    let Some(mut server) = Server::start("learned commands against the command table") else {
        return;
    };
    for hello in ["2", "3"] {
        server.ask_raw(&["HELLO", hello]);
        for command in command::all() {
            let learned = Learned::read(&server.ask_raw(&["COMMAND", "INFO", command.name]));
            same(&learned.unwrap(), command);
        }
        let unknown = server.ask_raw(&["COMMAND", "INFO", "nosuch"]);
        assert_eq!(Learned::read(&unknown), None);
    }
}

fn same(learned: &Learned, command: &Command) {
    assert_eq!(&*learned.name, command.name.as_bytes());
    assert_eq!(learned.arity, command.arity, "{}", command.name);
    assert_eq!(learned.flags, command.flags, "{}", command.name);
    if overrides::OVERRIDES
        .iter()
        .any(|own| own.name == command.name && own.keys.is_some())
    {
        assert!(!learned.complete, "{}", command.name);
    } else {
        assert_eq!(learned.keys, command.keys, "{}", command.name);
        assert!(learned.complete, "{}", command.name);
    }
    assert_eq!(learned.subcommands.len(), command.subcommands.len());
    for command in command.subcommands {
        let learned = learned.subcommands.iter();
        let mut learned = learned.filter(|it| *it.name == *command.name.as_bytes());
        same(learned.next_back().unwrap(), command);
    }
}

fn with_subcommands(command: &'static Command) -> impl Iterator<Item = &'static Command> {
    std::iter::once(command).chain(command.subcommands)
}
