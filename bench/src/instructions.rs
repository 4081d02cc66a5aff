//! Instructions of a request, by callgrind: the same from run to run where time is not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::callgrind::{self, Part, Parts, Stacks};
use crate::contender::{Contender, Kind, Setup, Start};
use crate::load::Budget;
use crate::process::{Process, find_program};
use crate::suite::{RowPlan, Shape, Source};
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

/// Connections that come, make one call and go; as many a second as a proxy under callgrind can serve.
const CHURN: Shape = Shape::Churn { rate: 100 };

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
        "dubbo-churn",
        Kind::Meltemi,
        Request::Dubbo { argument: 128 },
        CHURN,
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
        Shape::Churn { .. } => 500,
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
    let counted = |requests| {
        let profile = profile(case, requests, (dir, &[]))?;
        callgrind::parts(&profile).context("read what callgrind wrote")
    };
    let (short, long) = (counted(case.requests)?, counted(case.requests * 3)?);
    Ok(Counts::between(&short, &long, case.requests * 2))
}

/// Instructions of one request by stack of callers, by two runs likewise.
pub(crate) fn flame(case: &Case, dir: &Path) -> Result<BTreeMap<Vec<String>, f64>> {
    let counted = |requests| -> Result<Stacks> {
        let profile = profile(case, requests, (dir, &callgrind::OPTIONS))?;
        callgrind::stacks(&profile).context("read what callgrind wrote")
    };
    let (short, long) = (counted(case.requests)?, counted(case.requests * 3)?);
    let added = long.into_iter().filter_map(|(stack, cost)| {
        let added = cost.checked_sub(short.get(&stack).copied().unwrap_or(0))?;
        Some((stack, added as f64 / (case.requests * 2) as f64))
    });
    Ok(added.collect())
}

/// What callgrind writes of so many requests, told `options` as well.
fn profile(case: &Case, requests: u64, (dir, options): (&Path, &[&str])) -> Result<String> {
    if find_program("valgrind").is_none() {
        bail!("valgrind is not installed: apt-get install valgrind libc6-dbg");
    }
    let protocol = case.request.protocol();
    let upstream = Upstream::start(&Program::Echo(protocol), 0, dir)?;
    let out = dir.join("callgrind.out");
    let mut wrap = vec![
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
    ];
    wrap.extend(options.iter().map(|&option| option.to_owned()));
    let setup = Setup {
        protocol,
        endpoints: vec![upstream.address],
        upstreams: 1,
        dir: dir.to_owned(),
        // What the controller takes is the same in both runs.
        in_one: true,
        wrap,
    };
    let proxy = load(case, requests, &setup).with_context(|| case.name)?;
    proxy.interrupt()?;
    fs::read_to_string(&out).with_context(|| format!("read {}", out.display()))
}

/// Starts the proxy and sends it so many requests.
fn load(case: &Case, requests: u64, setup: &Setup) -> Result<Process> {
    let contender = match Contender::start(case.kind, setup)? {
        Start::Running(contender) => contender,
        Start::Absent(remedy) => bail!("{} is not installed: {remedy}", case.kind),
    };
    let row = RowPlan {
        shape: case.shape,
        request: case.request,
        endpoints: 1,
    };
    let in_order = case.kind.keeps_order(setup.protocol);
    let budget = Budget {
        time: Duration::from_secs(300),
        requests,
    };
    Source::open(contender.target, &row, None, in_order)?.run(budget)?;
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
