//! The commands that run all contenders and print tables.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::pin::{Pin, pin};
use super::row::{CallRow, RedisRow};
use super::{body, seconds};
use crate::contender::{self, Kind};
use crate::load::Budget;
use crate::suite::{Outcome, Plan, RowPlan};
use crate::upstream::{IDLE_CLIENTS, Program};
use crate::wire::{Command, Protocol, Request};
use crate::{report, suite};

/// Run all contenders over Dubbo and print CPU time per request, throughput, latency and memory.
///
/// Each row is a number of connections, a number of requests in flight on each, and an argument
/// size. In each round every contender runs twice: once with proxy, generator and upstream on one
/// CPU, where CPU time is counted without the cost of waking other CPUs, and once unpinned, where
/// throughput and latency are taken. CPU columns give the least and the median of the rounds;
/// `x floor` compares the least with the floor's. The others are medians. Below stands what Meltemi
/// may cost: it is held, or missed, where the run and each third of it say so.
///
/// Every answer is checked (its id and its argument). A slice with a wrong or missing answer is
/// void: it is listed and counts for nothing. Slow is no failure.
///
/// Exit status: 0, or 1 if anything was void.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    meltemi-bench dubbo\n  \
    meltemi-bench dubbo --only floor,meltemi --rows 64x16 --bodies 128\n  \
    meltemi-bench dubbo --rounds 1 --seconds 0.2 --idle 0    # a quick look")]
pub(super) struct Dubbo {
    #[command(flatten)]
    compare: Compare,
    /// Seconds of load in a slice, after the warm-up.
    #[arg(long, default_value = "0.4", value_parser = seconds)]
    seconds: Duration,
    /// Rows: `serial`, or connections and requests in flight on each, or `churn1000` for connections
    /// that come and go, so many a second, or `half-meltemi` for a steady rate, half of what that
    /// contender reaches; then `@` and a number of
    /// servers if there are several, such as 64x16@6; `4x1:1048576` has an argument of its own size.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "serial,64x1,64x16,churn1000:128,half-meltemi:128,half-envoy:128,4x1:1048576,\
                         serial@6,64x1@6,64x16@6"
    )]
    rows: Vec<CallRow>,
    /// Bytes of the string argument of a call, 24 to 2097152.
    #[arg(long, value_delimiter = ',', default_value = "128,1024", value_parser = body())]
    bodies: Vec<u32>,
}

/// Run all contenders over Redis (RESP2) and print CPU time, throughput, latency and memory.
///
/// As `dubbo`, which see. A row is a command, the number of servers that divide the keys, and the
/// load. A value follows from its key, so that each answer can be checked: GET and MGET by value and
/// order, SET by the server.
///
/// Exit status: 0, or 1 if anything was void.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    meltemi-bench redis\n  \
    meltemi-bench redis --only floor,nutcracker,meltemi --rows mget:50x1,mget@4:50x1\n  \
    meltemi-bench redis --redis-server /usr/bin/redis-server\n  \
    meltemi-bench redis --rounds 1 --seconds 0.2 --idle 0    # a quick look")]
pub(super) struct Redis {
    #[command(flatten)]
    compare: Compare,
    /// Seconds of load in a slice, after the warm-up.
    #[arg(long, default_value = "0.3", value_parser = seconds)]
    seconds: Duration,
    /// Rows: `get`, `set` (64 B), `mget` (100 keys), `get-1m` or `set-1m` (1 MiB), then `@` and a number of servers if there
    /// are several, then `:` and the load, such as `mget@4:50x1`.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "get:serial,get:50x1,get:50x64,set:50x1,set:50x64,mget:50x1,get:churn1000,\
                         get:half-meltemi,get:half-envoy,get-1m:4x1,set-1m:4x1,mget@4:50x1"
    )]
    rows: Vec<RedisRow>,
    /// A redis-server to run upstream, instead of a responder that costs next to nothing.
    #[arg(long, value_name = "PROGRAM")]
    redis_server: Option<PathBuf>,
}

/// Run all contenders over Thrift (framed, binary) and print CPU time, throughput, latency and memory.
///
/// As `dubbo`, which see. Every answer is checked (its sequence id and its argument).
///
/// Exit status: 0, or 1 if anything was void.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    meltemi-bench thrift\n  \
    meltemi-bench thrift --only haproxy,meltemi --rows 64x1\n  \
    meltemi-bench thrift --only floor,meltemi-catch-all,meltemi-policy --rows 64x1,64x16 --idle 0\n  \
    meltemi-bench thrift --rounds 1 --seconds 0.2 --idle 0    # a quick look")]
pub(super) struct Thrift {
    #[command(flatten)]
    compare: Compare,
    /// Seconds of load in a slice, after the warm-up.
    #[arg(long, default_value = "0.4", value_parser = seconds)]
    seconds: Duration,
    /// Rows: `serial`, or connections and requests in flight on each, or `churn1000` for connections
    /// that come and go, so many a second, or `half-meltemi` for a steady rate, half of what that
    /// contender reaches; then `@` and a number of
    /// servers if there are several, such as 64x16@6; `4x1:1048576` has an argument of its own size.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "serial,64x1,64x16,churn1000:128,half-meltemi:128,half-envoy:128,4x1:1048576,\
                         serial@6,64x1@6,64x16@6"
    )]
    rows: Vec<CallRow>,
    /// Bytes of the string argument of a call, 24 to 2097152.
    #[arg(long, value_delimiter = ',', default_value = "128", value_parser = body())]
    bodies: Vec<u32>,
}

/// What the comparisons have in common.
#[derive(Args, Debug)]
struct Compare {
    /// Rounds; each runs every contender once.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Requests after which a slice ends, if its seconds are not over before.
    #[arg(long)]
    requests: Option<u64>,
    /// Seconds of uncounted load before each slice.
    #[arg(long, default_value = "0.2", value_parser = seconds)]
    warm_up: Duration,
    /// Contenders, separated by commas; by default all that speak the protocol, but for those that
    /// weigh one thing: policy, metrics, the access log, a second worker.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Kind>,
    /// Fail if a contender is not installed. Otherwise its lines say so.
    #[arg(long)]
    require_all: bool,
    /// Idle connections to hold open while memory is read; 0 for none.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(..=IDLE_CLIENTS as i64))]
    idle: u32,
    /// The CPU on which everything runs while CPU time is counted, or `off`. By default the last.
    #[arg(long, value_parser = pin, default_value = "last")]
    pin: Pin,
    /// Upstream connections of the floor. By default as many as Meltemi shares: one, and one more
    /// for every further 1,024 requests in flight.
    #[arg(long)]
    upstreams: Option<u32>,
    /// Print one JSON object with every round instead of tables.
    #[arg(long)]
    json: bool,
    /// Write what was measured to this directory too: as JSON with every round, and as a page with
    /// plots, each named for the protocol.
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

impl Dubbo {
    pub(super) fn run(self) -> Result<ExitCode> {
        let rows = rows(&self.rows, &self.bodies, |argument| Request::Dubbo {
            argument,
        });
        let program = Program::Echo(Protocol::Dubbo);
        self.compare
            .run(Protocol::Dubbo, rows, program, self.seconds)
    }
}

impl Thrift {
    pub(super) fn run(self) -> Result<ExitCode> {
        let rows = rows(&self.rows, &self.bodies, |argument| Request::Thrift {
            argument,
        });
        let program = Program::Echo(Protocol::Thrift);
        self.compare
            .run(Protocol::Thrift, rows, program, self.seconds)
    }
}

impl Redis {
    pub(super) fn run(self) -> Result<ExitCode> {
        let rows: Vec<_> = self.rows.into_iter().map(|RedisRow(row)| row).collect();
        let clients = rows.iter().map(|row| row.shape.connections().0).max();
        let reads_large = |row: &RowPlan| row.request == Request::Redis(Command::GetLarge);
        if self.redis_server.is_some() && rows.iter().any(reads_large) {
            bail!("get-1m reads values that only this program's own responder has");
        }
        let program = match self.redis_server {
            None => Program::Echo(Protocol::Redis),
            Some(program) => Program::RedisServer {
                program,
                clients: clients.unwrap_or(0),
            },
        };
        self.compare
            .run(Protocol::Redis, rows, program, self.seconds)
    }
}

/// Every row with the first size, then with the next; last those with sizes of their own.
fn rows(rows: &[CallRow], bodies: &[u32], request: fn(u32) -> Request) -> Vec<RowPlan> {
    let (own, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.has_own_size());
    let others = |&body| {
        others
            .iter()
            .map(move |row: &CallRow| row.of(body, request))
    };
    let mut plans: Vec<_> = bodies.iter().flat_map(others).collect();
    plans.extend(own.into_iter().map(|row| row.of(0, request)));
    plans
}

impl Compare {
    fn run(
        self,
        protocol: Protocol,
        rows: Vec<RowPlan>,
        upstream: Program,
        slice: Duration,
    ) -> Result<ExitCode> {
        let plan = Plan {
            protocol,
            contenders: self.contenders(protocol)?,
            rows,
            upstream,
            upstreams: self.upstreams,
            require_all: self.require_all,
            rounds: self.rounds,
            warm_up: self.warm_up,
            slice: Budget {
                time: slice,
                requests: self.requests.unwrap_or(u64::MAX),
            },
            idle: self.idle,
            pin: self.pin.cpu(),
        };
        contender::build(&plan.contenders)?;
        let dir = tempfile::tempdir().context("make a directory for configuration and logs")?;
        let outcome = suite::run(&plan, dir.path())?;
        print(&outcome, self.json)?;
        if let Some(dir) = &self.save {
            report::save(&outcome, protocol.name(), dir)?;
        }
        let clean = outcome.void.is_empty();
        Ok(if clean {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn contenders(&self, protocol: Protocol) -> Result<Vec<Kind>> {
        if let Some(deaf) = self.only.iter().find(|kind| !kind.speaks(protocol)) {
            bail!("--only: {deaf} does not speak {}", protocol.name());
        }
        let mut contenders = self.only.clone();
        if contenders.is_empty() {
            let all = Kind::value_variants().iter().copied();
            let usual = all.filter(|kind| kind.speaks(protocol) && !kind.is_apart());
            contenders.extend(usual);
        }
        contenders.sort();
        contenders.dedup();
        Ok(contenders)
    }
}

fn print(outcome: &Outcome, json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut stdout, outcome)?;
        writeln!(stdout)?;
    } else {
        write!(stdout, "{}", report::render(outcome))?;
    }
    Ok(())
}
