//! The command that counts system calls.

use anyhow::{Context, Result, bail};
use clap::Args;

use super::row::CallRow;
use crate::contender::{self, Contender, Kind, Setup, Start};
use crate::report;
use crate::suite::{RowPlan, Shape, Source};
use crate::syscalls::{Calls, count};
use crate::upstream::{Program, Upstream};
use crate::wire::{Command, Protocol, Request};

/// Count the system calls of a request, the floor's and Meltemi's, under the same load.
///
/// strace counts those of all threads of the proxy, while requests pass it on connections that are
/// open already; of `churn1000` they are those of a connection and its request. It slows whoever it looks at, so that more comes at once than without it, for all
/// alike. Meltemi may take 5 % more than the floor.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    meltemi-bench syscalls\n  \
    meltemi-bench syscalls --protocol thrift --rows 64x1\n  \
    meltemi-bench syscalls --rows churn200    # of a connection that comes and goes")]
pub(super) struct Syscalls {
    #[arg(long, value_enum, default_value = "dubbo")]
    protocol: Protocol,
    /// Loads: `serial`, or connections and requests in flight on each, or `churn200` for connections that come and
    /// go, so many a second, then `@` and a number of
    /// servers if there are several.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "serial,64x1,64x16,64x1@6"
    )]
    rows: Vec<CallRow>,
    /// Requests of a row.
    #[arg(long, default_value_t = 20_000)]
    requests: u64,
    /// Contenders. By default the floor and Meltemi, whose Thrift clients share connections as the
    /// floor's do.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Kind>,
}

impl Syscalls {
    pub(super) fn run(self) -> Result<()> {
        let kinds = match (self.only.is_empty(), self.protocol) {
            (false, _) => self.only.clone(),
            (true, Protocol::Thrift) => vec![Kind::Floor, Kind::MeltemiPipeline],
            (true, _) => vec![Kind::Floor, Kind::Meltemi],
        };
        contender::build(&kinds)?;
        for row in &self.rows {
            let plan = row.of(128, request(self.protocol));
            if matches!(plan.shape, Shape::Half { .. }) {
                bail!("--rows: {} has no rate of its own", plan.shape);
            }
            let counted = kinds
                .iter()
                .map(|&kind| Ok((kind, self.count(kind, &plan)?)));
            let counted = counted.collect::<Result<Vec<_>>>()?;
            print!("{}", report::syscalls(&plan, &counted));
        }
        Ok(())
    }

    fn count(&self, kind: Kind, row: &RowPlan) -> Result<Calls> {
        let dir = tempfile::tempdir().context("make a directory for configuration and logs")?;
        let program = Program::Echo(self.protocol);
        let upstreams = (0..row.endpoints)
            .map(|number| Upstream::start(&program, number, dir.path()))
            .collect::<Result<Vec<_>>>()?;
        let setup = Setup {
            protocol: self.protocol,
            endpoints: upstreams.iter().map(|upstream| upstream.address).collect(),
            upstreams: row.shared_connections(),
            dir: dir.path().to_owned(),
            in_one: false,
            wrap: Vec::new(),
        };
        let contender = match Contender::start(kind, &setup)? {
            Start::Running(contender) => contender,
            Start::Absent(remedy) => bail!("{kind} is not installed: {remedy}"),
        };
        let in_order = kind.keeps_order(self.protocol);
        let source = Source::open(contender.target, row, None, in_order)?;
        count(&contender, source, self.requests, dir.path())
    }
}

fn request(protocol: Protocol) -> fn(u32) -> Request {
    match protocol {
        Protocol::Dubbo => |argument| Request::Dubbo { argument },
        Protocol::Thrift => |argument| Request::Thrift { argument },
        Protocol::Redis => |_| Request::Redis(Command::Get),
    }
}
