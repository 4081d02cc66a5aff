//! A row of a table, as the command line writes it.

use std::str::FromStr;

use clap::ValueEnum;
use thiserror::Error;

use super::{LEAST_BODY, MOST_BODY};
use crate::suite::{RowPlan, Shape};
use crate::wire::{Command, Request};

/// `LOAD[@SERVERS][:BYTES]`, such as `64x16@6` or `4x1:1048576`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct CallRow {
    shape: Shape,
    endpoints: usize,
    body: Option<u32>,
}

#[derive(Debug, Error)]
#[error(
    "expected `serial`, CONNECTIONSxDEPTH, churnRATE or half-CONTENDER, then `@` and a number of \
     servers if there are several, then `:` and the bytes of the argument (24 to {MOST_BODY}) if not those of --bodies, such as \
     64x16@6 or 4x1:1048576"
)]
pub(super) struct ParseCallRowError;

impl CallRow {
    /// With an argument of so many bytes, where it has no size of its own.
    pub(super) fn of(self, body: u32, request: fn(u32) -> Request) -> RowPlan {
        RowPlan {
            shape: self.shape,
            request: request(self.body.unwrap_or(body)),
            endpoints: self.endpoints,
        }
    }

    pub(super) fn has_own_size(self) -> bool {
        self.body.is_some()
    }
}

impl FromStr for CallRow {
    type Err = ParseCallRowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, body) = match text.split_once(':') {
            Some((text, body)) => (text, Some(bytes(body).ok_or(ParseCallRowError)?)),
            None => (text, None),
        };
        let (shape, endpoints) = text.split_once('@').unwrap_or((text, "1"));
        Ok(Self {
            shape: shape.parse().map_err(|_| ParseCallRowError)?,
            endpoints: servers(endpoints).ok_or(ParseCallRowError)?,
            body,
        })
    }
}

fn bytes(text: &str) -> Option<u32> {
    let sizes = LEAST_BODY..=MOST_BODY;
    text.parse().ok().filter(|bytes| sizes.contains(bytes))
}

fn servers(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&servers| servers > 0)
}

/// `COMMAND[@SERVERS]:LOAD`, such as `mget@4:50x1`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct RedisRow(pub(super) RowPlan);

#[derive(Debug, Error)]
#[error(
    "expected get, set, mget, get-1m or set-1m, then `@` and a number of servers if there are several, then `:` \
     and `serial`, CONNECTIONSxDEPTH, churnRATE or half-CONTENDER, such as mget@4:50x1"
)]
pub(super) struct ParseRowError;

impl FromStr for RedisRow {
    type Err = ParseRowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (what, shape) = text.split_once(':').ok_or(ParseRowError)?;
        let (command, servers) = what.split_once('@').unwrap_or((what, "1"));
        let command = Command::value_variants()
            .iter()
            .find(|known| known.name() == command)
            .ok_or(ParseRowError)?;
        Ok(Self(RowPlan {
            shape: shape.parse().map_err(|_| ParseRowError)?,
            request: Request::Redis(*command),
            endpoints: self::servers(servers).ok_or(ParseRowError)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_calls_are_a_load_and_servers() {
        let request = |argument| Request::Thrift { argument };
        for (text, shown) in [
            ("serial", "serial, 128 B argument"),
            ("64x16@6", "64x16, 128 B argument, 6 endpoints"),
            ("4x1@2:1048576", "4x1, 1048576 B argument, 2 endpoints"),
        ] {
            let row: CallRow = text.parse().unwrap();
            assert_eq!(row.of(128, request).to_string(), shown);
        }
        for wrong in ["", "@6", "64x16@", "64x16@0", "64@6", "64x1:", "64x1:8"] {
            assert!(wrong.parse::<CallRow>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rows_are_a_command_servers_and_a_load() {
        for (text, shown) in [
            ("get:serial", "serial, GET of 64 B"),
            ("set:50x64", "50x64, SET of 64 B"),
            ("get-1m:4x1", "4x1, GET of 1048576 B"),
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
