//! A row of the Redis table, as the command line writes it.

use std::str::FromStr;

use thiserror::Error;

use crate::suite::RowPlan;
use crate::wire::{Command, Request};

/// `COMMAND[@SERVERS]:LOAD`, such as `mget@4:50x1`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RedisRow(pub(super) RowPlan);

#[derive(Debug, Error)]
#[error(
    "expected get, set or mget, then `@` and a number of servers if there are several, then `:` \
     and `serial` or CONNECTIONSxDEPTH, such as mget@4:50x1"
)]
pub(super) struct ParseRowError;

impl FromStr for RedisRow {
    type Err = ParseRowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (what, shape) = text.split_once(':').ok_or(ParseRowError)?;
        let (command, servers) = what.split_once('@').unwrap_or((what, "1"));
        let command = [Command::Get, Command::Set, Command::Mget]
            .into_iter()
            .find(|known| known.name() == command)
            .ok_or(ParseRowError)?;
        let servers = servers.parse().ok().filter(|&servers| servers > 0);
        Ok(Self(RowPlan {
            shape: shape.parse().map_err(|_| ParseRowError)?,
            request: Request::Redis(command),
            endpoints: servers.ok_or(ParseRowError)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_command_servers_and_a_load() {
        for (text, shown) in [
            ("get:serial", "serial, GET of 64 B"),
            ("set:50x64", "50x64, SET of 64 B"),
            (
                "mget@4:50x1",
                "50x1, MGET of 100 keys, 64 B each, 4 endpoints",
            ),
        ] {
            let RedisRow(row) = text.parse().unwrap();
            assert_eq!(row.to_string(), shown);
        }
        for wrong in [
            "",
            "get",
            "get:",
            "del:serial",
            "get@0:serial",
            "get@x:50x1",
        ] {
            assert!(wrong.parse::<RedisRow>().is_err(), "{wrong}");
        }
    }
}
