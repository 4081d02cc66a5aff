//! The commands that run one part and leave the rest to a profiler or another tool.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{body, seconds};
use crate::contender::{self, Contender, Kind, Setup, Start};
use crate::load::Budget;
use crate::suite::{RowPlan, Shape, Source};
use crate::upstream::{Program, Upstream};
use crate::wire::{Command, Protocol, Request};
use crate::{echo, relay};

/// Start one contender with its upstream and wait, for a profiler.
///
/// Prints `listening ADDR` and, for a proxy, `pid PID`, and stays until it is interrupted.
#[derive(Args, Debug)]
pub(super) struct Serve {
    contender: Kind,
    #[arg(long, value_enum, default_value = "dubbo")]
    protocol: Protocol,
    /// Servers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    servers: u16,
    /// Upstream connections of the floor.
    #[arg(long, default_value_t = 1)]
    upstreams: u32,
    /// A command that starts the proxy, such as "valgrind --tool=callgrind".
    #[arg(long, default_value = "")]
    wrap: String,
}

/// Send checked requests to an address, and print what came back.
#[derive(Args, Debug)]
pub(super) struct LoadArgs {
    /// The address of an upstream of this program, or of a proxy before it.
    target: SocketAddr,
    #[arg(long, value_enum, default_value = "dubbo")]
    protocol: Protocol,
    /// `serial`, or connections and requests in flight on each, or `churn200` for connections that come and go, so
    /// many a second.
    #[arg(long, default_value = "64x16")]
    row: Shape,
    /// Bytes of the string argument, 24 to 2097152; not for Redis.
    #[arg(long, default_value_t = 128, value_parser = body())]
    body: u32,
    /// What to ask of Redis.
    #[arg(long, value_enum, default_value = "get")]
    command: Command,
    /// Take an answer that overtook an older one for wrong; Redis' answers have no other sign.
    #[arg(long)]
    in_order: bool,
    /// Seconds of load.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Requests after which to end before that.
    #[arg(long)]
    requests: Option<u64>,
}

/// The upstream alone: answers each call with its argument, each Redis command by its keys.
#[derive(Args, Debug)]
pub(super) struct Echo {
    #[arg(long, value_enum, default_value = "dubbo")]
    protocol: Protocol,
    /// Prints `listening ADDR`; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// The floor alone: a relay that gives each answer to whom it belongs and does nothing else.
#[derive(Args, Debug)]
pub(super) struct Relay {
    #[arg(long, value_enum, default_value = "dubbo")]
    protocol: Protocol,
    /// Prints `listening ADDR`; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to relay to; may be given several times.
    #[arg(long, required = true)]
    upstream: Vec<SocketAddr>,
    /// Shared connections to each.
    #[arg(long, default_value_t = 1)]
    upstreams: usize,
}

impl Serve {
    pub(super) fn run(self) -> Result<()> {
        let Self {
            contender,
            protocol,
            ..
        } = self;
        if !contender.speaks(protocol) {
            bail!("{contender} does not speak {}", protocol.name());
        }
        let dir = tempfile::tempdir().context("make a directory for configuration and logs")?;
        contender::build(&[contender])?;
        let program = Program::Echo(protocol);
        let upstreams = (0..self.servers.into())
            .map(|number| Upstream::start(&program, number, dir.path()))
            .collect::<Result<Vec<_>>>()?;
        let setup = Setup {
            protocol,
            endpoints: upstreams.iter().map(|upstream| upstream.address).collect(),
            upstreams: self.upstreams,
            dir: dir.path().to_owned(),
            in_one: false,
            wrap: self.wrap.split_whitespace().map(str::to_owned).collect(),
        };
        match Contender::start(contender, &setup)? {
            Start::Absent(remedy) => bail!("{contender} is not installed: {remedy}"),
            Start::Running(contender) => {
                println!("listening {}", contender.target);
                if let Some(proxy) = &contender.proxy {
                    println!("pid {}", proxy.id());
                }
                loop {
                    std::thread::park();
                }
            }
        }
    }
}

impl LoadArgs {
    pub(super) fn run(self) -> Result<()> {
        if matches!(self.row, Shape::Half { .. }) {
            bail!("--row: {} has no rate of its own", self.row);
        }
        let request = match self.protocol {
            Protocol::Dubbo => Request::Dubbo {
                argument: self.body,
            },
            Protocol::Redis => Request::Redis(self.command),
            Protocol::Thrift => Request::Thrift {
                argument: self.body,
            },
        };
        let row = RowPlan {
            shape: self.row,
            request,
            endpoints: 1,
        };
        let mut source = Source::open(self.target, &row, None, self.in_order)?;
        let requests = self.requests.unwrap_or(u64::MAX);
        let sample = source.run(Budget {
            time: self.seconds,
            requests,
        })?;
        let quantile = |q| sample.latency.value_at_quantile(q) as f64 / 1e3;
        println!(
            "{} requests ({request}) in {:.2} s, {:.0}/s; p50 {:.1} µs, p99 {:.1} µs, p99.9 {:.1} µs",
            sample.requests,
            sample.elapsed.as_secs_f64(),
            sample.requests as f64 / sample.elapsed.as_secs_f64(),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
        );
        Ok(())
    }
}

impl Echo {
    pub(super) fn run(self) -> Result<()> {
        Ok(echo::run(self.protocol, announce(self.listen)?)?)
    }
}

impl Relay {
    pub(super) fn run(self) -> Result<()> {
        let listener = announce(self.listen)?;
        relay::run(self.protocol, listener, &self.upstream, self.upstreams)?;
        Ok(())
    }
}

fn announce(listen: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    println!("listening {}", listener.local_addr()?);
    Ok(listener)
}
