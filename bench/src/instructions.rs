//! Instructions of a request, by callgrind: the same from run to run where time is not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::callgrind::{self, Part, Parts};
use crate::contender::{Contender, Kind, Setup, Start};
use crate::load::{Budget, Load, Work};
use crate::process::{Process, find_program};
use crate::suite::Shape;
use crate::upstream::{Program, Upstream};
use crate::wire::{Command, Request};

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    kind: Kind,
    request: Request,
    shape: Shape,
    /// Requests of the shorter run; the longer has three times as many.
    requests: u64,
}

/// One at a time, and as many as one read brings.
const SERIAL: Shape = Shape::Open {
    connections: 1,
    depth: 1,
};
const DEEP: Shape = Shape::Open {
    connections: 64,
    depth: 16,
};

pub(crate) const CASES: &[Case] = &[
    case(
        "dubbo-serial",
        Kind::Meltemi,
        Request::Dubbo { argument: 128 },
        SERIAL,
    ),
    case(
        "dubbo-64x16",
        Kind::Meltemi,
        Request::Dubbo { argument: 128 },
        DEEP,
    ),
    case(
        "thrift-serial",
        Kind::MeltemiPipeline,
        Request::Thrift { argument: 128 },
        SERIAL,
    ),
    case(
        "thrift-64x16",
        Kind::MeltemiPipeline,
        Request::Thrift { argument: 128 },
        DEEP,
    ),
    case(
        "redis-serial",
        Kind::Meltemi,
        Request::Redis(Command::Get),
        SERIAL,
    ),
    case(
        "redis-64x16",
        Kind::Meltemi,
        Request::Redis(Command::Get),
        DEEP,
    ),
];

const fn case(name: &'static str, kind: Kind, request: Request, shape: Shape) -> Case {
    let requests = match shape {
        Shape::Open { depth: 2.., .. } => 20_000,
        _ => 3_000,
    };
    Case {
        name,
        kind,
        request,
        shape,
        requests,
    }
}

/// Instructions of one request, by part.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Counts(pub(crate) BTreeMap<Part, f64>);

impl Counts {
    pub(crate) fn total(&self) -> f64 {
        self.0.values().sum()
    }

    /// What each request of the longer run adds: what a start costs is in both.
    fn between(short: &Parts, long: &Parts, requests: u64) -> Self {
        let added = long.iter().map(|(part, &cost)| {
            let added = cost as f64 - short.get(part).copied().unwrap_or(0) as f64;
            (*part, (added / requests as f64 * 10.0).round() / 10.0)
        });
        Self(added.collect())
    }
}

/// Runs a case twice under callgrind.
pub(crate) fn count(case: &Case, dir: &Path) -> Result<Counts> {
    if find_program("valgrind").is_none() {
        bail!("valgrind is not installed: apt-get install valgrind");
    }
    let short = profile(case, case.requests, dir)?;
    let long = profile(case, case.requests * 3, dir)?;
    Ok(Counts::between(&short, &long, case.requests * 2))
}

fn profile(case: &Case, requests: u64, dir: &Path) -> Result<Parts> {
    let protocol = case.request.protocol();
    let upstream = Upstream::start(&Program::Echo(protocol), 0, dir)?;
    let out = dir.join("callgrind.out");
    let setup = Setup {
        protocol,
        endpoints: vec![upstream.address],
        upstreams: 1,
        dir: dir.to_owned(),
        wrap: vec![
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            format!("--callgrind-out-file={}", out.display()),
        ],
    };
    let proxy = load(case, requests, &setup).with_context(|| case.name)?;
    proxy.interrupt()?;
    let text = fs::read_to_string(&out).with_context(|| format!("read {}", out.display()))?;
    callgrind::parts(&text).with_context(|| format!("read {}", out.display()))
}

/// Starts the proxy and sends it so many requests.
fn load(case: &Case, requests: u64, setup: &Setup) -> Result<Process> {
    let contender = match Contender::start(case.kind, setup)? {
        Start::Running(contender) => contender,
        Start::Absent(remedy) => bail!("{} is not installed: {remedy}", case.kind),
    };
    let (connections, depth) = case.shape.connections();
    let work = Work {
        connections,
        depth,
        request: case.request,
        in_order: case.kind.keeps_order(setup.protocol),
    };
    let budget = Budget {
        time: Duration::from_secs(300),
        requests,
    };
    Load::connect(contender.target, work)?.run(budget)?;
    contender.proxy.context("a proxy is a process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_costs_what_more_requests_add() {
        let short = Parts::from([(Part::Engine, 1_000), (Part::Other, 50)]);
        let long = Parts::from([(Part::Engine, 1_500), (Part::Pick, 10), (Part::Other, 50)]);
        let counts = Counts::between(&short, &long, 100);
        let expected = [(Part::Pick, 0.1), (Part::Engine, 5.0), (Part::Other, 0.0)];
        assert_eq!(counts, Counts(BTreeMap::from(expected)));
    }
}
