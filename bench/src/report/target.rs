//! What Meltemi is allowed to cost.

use std::fmt;

use crate::contender::Kind;
use crate::suite::RowPlan;
use crate::wire::{Command, Request};

/// The most that a request may cost, as a multiple of what it costs another contender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) most: f64,
    pub(super) of: Kind,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} {}", self.most, self.of)
    }
}

/// What `kind` may cost in `row`; other contenders than Meltemi may cost what they do.
pub(super) fn target(kind: Kind, row: &RowPlan) -> Option<Target> {
    let shared = match row.request {
        _ if !kind.is_meltemi() => return None,
        _ if kind.weighs_policy() => return policy(kind, row),
        Request::Redis(command) => return Some(redis(command, row)),
        Request::Thrift { .. } => kind == Kind::MeltemiPipeline || row.is_serial(),
        Request::Dubbo { .. } => true,
    };
    let serial = match row.request {
        Request::Dubbo { .. } => 1.15,
        _ => 1.25,
    };
    let (most, of) = match (shared, row.is_deep()) {
        (true, _) if row.is_serial() => (serial, Kind::Floor),
        (true, false) => (1.25, Kind::Floor),
        (true, true) => (2.0, Kind::Floor),
        // With a connection for each client it writes as often as haproxy does.
        (false, false) => (1.0, Kind::Haproxy),
        (false, true) => (1.5, Kind::Haproxy),
    };
    Some(Target { most, of })
}

/// What a thousand routes, timeouts, retries, a limit and outlier detection may cost beside one route
/// with none of it, where each request is a turn. (Where many share one, a microsecond is the measure:
/// the table has the difference.)
fn policy(kind: Kind, row: &RowPlan) -> Option<Target> {
    let is_measured = kind == Kind::MeltemiPolicy && !row.is_deep();
    is_measured.then_some(Target {
        most: 1.15,
        of: Kind::MeltemiCatchAll,
    })
}

fn redis(command: Command, row: &RowPlan) -> Target {
    let (most, of) = match command {
        Command::Mget => (1.0, Kind::Nutcracker),
        Command::Get | Command::Set if row.is_deep() => (2.5, Kind::Floor),
        Command::Get | Command::Set => (1.25, Kind::Floor),
    };
    Target { most, of }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_those_that_were_set() {
        let dubbo = Request::Dubbo { argument: 128 };
        let thrift = Request::Thrift { argument: 128 };
        let get = Request::Redis(Command::Get);
        let mget = Request::Redis(Command::Mget);
        for (kind, request, shape, expected) in [
            (Kind::Meltemi, dubbo, "serial", "1.15 floor"),
            (Kind::MeltemiGroup, dubbo, "64x16", "2.00 floor"),
            (Kind::Meltemi, thrift, "serial", "1.25 floor"),
            (Kind::Meltemi, thrift, "64x1", "1.00 haproxy"),
            (Kind::Meltemi, thrift, "64x16", "1.50 haproxy"),
            (Kind::MeltemiPipeline, thrift, "64x1", "1.25 floor"),
            (Kind::MeltemiPipeline, thrift, "64x16", "2.00 floor"),
            (Kind::MeltemiPolicy, dubbo, "64x1", "1.15 meltemi-catch-all"),
            (Kind::Meltemi, get, "serial", "1.25 floor"),
            (Kind::Meltemi, get, "50x1", "1.25 floor"),
            (Kind::Meltemi, get, "50x64", "2.50 floor"),
            (Kind::Meltemi, mget, "50x1", "1.00 nutcracker"),
        ] {
            let row = RowPlan {
                shape: shape.parse().unwrap(),
                request,
                endpoints: 1,
            };
            assert_eq!(target(kind, &row).unwrap().to_string(), expected);
            assert_eq!(target(Kind::Envoy, &row), None);
        }
    }
}
