//! The command line.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::contender::{Contender, Kind, Setup, Start, start_echo};
use crate::load::{Budget, Load, Work};
use crate::suite::{Outcome, Plan, Shape};
use crate::{contender, echo, relay, report, suite};

/// Measures Meltemi beside a bare relay and other proxies, in one run.
///
/// Every contender stands between the same load generator and the same echo upstream. Figures of
/// one run compare with each other; figures of two machines, or two days, do not.
#[derive(Debug, Parser)]
#[command(name = "meltemi-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    call: Call,
}

#[derive(Debug, Subcommand)]
enum Call {
    Dubbo(Dubbo),
    Serve(Serve),
    Load(LoadArgs),
    Echo(Echo),
    Relay(Relay),
}

/// Run all contenders over Dubbo and print CPU time per request, throughput, latency and memory.
///
/// Each row is a number of connections, a number of requests in flight on each, and an argument
/// size. In each round every contender runs twice: once with proxy, generator and upstream on one
/// CPU, where CPU time is counted without the cost of waking other CPUs, and once unpinned, where
/// throughput and latency are taken. CPU columns give the least and the median of the rounds;
/// `x floor` compares the least with the floor's. The others are medians.
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
struct Dubbo {
    /// Rounds; each runs every contender once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of load in a slice, after the warm-up.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Requests after which a slice ends, if its seconds are not over before.
    #[arg(long)]
    requests: Option<u64>,
    /// Seconds of uncounted load before each slice.
    #[arg(long, default_value = "0.2", value_parser = seconds)]
    warm_up: Duration,
    /// Contenders, separated by commas; all by default.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Kind>,
    /// Rows: `serial`, or connections and requests in flight on each, such as 64x16.
    #[arg(long, value_delimiter = ',', default_value = "serial,64x1,64x16")]
    rows: Vec<Shape>,
    /// Bytes of the string argument of a call, 24 to 16384.
    #[arg(long, value_delimiter = ',', default_value = "128,1024", value_parser = body())]
    bodies: Vec<u16>,
    /// Idle connections to hold open while memory is read; 0 for none.
    #[arg(long, default_value_t = 10_000)]
    idle: u32,
    /// The CPU on which everything runs while CPU time is counted, or `off`. By default the last.
    #[arg(long, value_parser = pin, default_value = "last")]
    pin: Pin,
    /// Upstream connections of the floor: as many as Meltemi opens.
    #[arg(long, default_value_t = 1)]
    upstreams: usize,
    /// Print one JSON object with every round instead of tables.
    #[arg(long)]
    json: bool,
}

/// Start one contender with its upstream and wait, for a profiler.
///
/// Prints `listening ADDR` and, for a proxy, `pid PID`, and stays until it is interrupted.
#[derive(Args, Debug)]
struct Serve {
    contender: Kind,
    /// Upstream connections of the floor.
    #[arg(long, default_value_t = 1)]
    upstreams: usize,
    /// A command that starts the proxy, such as "valgrind --tool=callgrind".
    #[arg(long, default_value = "")]
    wrap: String,
}

/// Send checked calls to an address, and print what came back.
#[derive(Args, Debug)]
struct LoadArgs {
    /// The address of a Dubbo provider or proxy that echoes.
    target: SocketAddr,
    /// `serial`, or connections and requests in flight on each.
    #[arg(long, default_value = "64x16")]
    row: Shape,
    /// Bytes of the string argument, 24 to 16384.
    #[arg(long, default_value_t = 128, value_parser = body())]
    body: u16,
    /// Seconds of load.
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Requests after which to end before that.
    #[arg(long)]
    requests: Option<u64>,
}

/// The upstream alone: answers each call with its argument.
#[derive(Args, Debug)]
struct Echo {
    /// Prints `listening ADDR`; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// The floor alone: a relay that remaps ids and does nothing else.
#[derive(Args, Debug)]
struct Relay {
    /// Prints `listening ADDR`; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to relay to.
    #[arg(long)]
    upstream: SocketAddr,
    /// Shared upstream connections.
    #[arg(long, default_value_t = 1)]
    upstreams: usize,
}

#[derive(Clone, Copy, Debug)]
enum Pin {
    Last,
    Off,
    Cpu(usize),
}

impl Cli {
    /// Does what the arguments say.
    pub fn run(self) -> Result<ExitCode> {
        match self.call {
            Call::Dubbo(arguments) => return arguments.run(),
            Call::Serve(arguments) => arguments.run()?,
            Call::Load(arguments) => arguments.run()?,
            Call::Echo(Echo { listen }) => echo::run(announce(listen)?)?,
            Call::Relay(Relay {
                listen,
                upstream,
                upstreams,
            }) => {
                relay::run(announce(listen)?, upstream, upstreams)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Dubbo {
    fn run(self) -> Result<ExitCode> {
        let dir = tempfile::tempdir().context("make a directory for configuration and logs")?;
        let plan = self.plan();
        contender::build(&plan.contenders)?;
        let outcome = suite::run(&plan, setup(dir.path(), self.upstreams, ""))?;
        print(&outcome, self.json)?;
        let clean = outcome.void.is_empty();
        Ok(if clean {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn plan(&self) -> Plan {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let mut contenders = self.only.clone();
        if contenders.is_empty() {
            contenders.extend_from_slice(clap::ValueEnum::value_variants());
        }
        contenders.sort();
        contenders.dedup();
        Plan {
            contenders,
            shapes: self.rows.clone(),
            bodies: self.bodies.iter().copied().map(usize::from).collect(),
            rounds: self.rounds,
            warm_up: self.warm_up,
            slice: Budget {
                time: self.seconds,
                requests: self.requests.unwrap_or(u64::MAX),
            },
            idle: self.idle,
            pin: match self.pin {
                Pin::Last => Some(cpus - 1),
                Pin::Cpu(cpu) => Some(cpu),
                Pin::Off => None,
            },
        }
    }
}

impl Serve {
    fn run(self) -> Result<()> {
        let dir = tempfile::tempdir().context("make a directory for configuration and logs")?;
        contender::build(&[self.contender])?;
        let mut setup = setup(dir.path(), self.upstreams, &self.wrap);
        let (_echo, upstream) = start_echo(dir.path())?;
        setup.upstream = upstream;
        match Contender::start(self.contender, &setup)? {
            Start::Absent(remedy) => anyhow::bail!("{} is absent: {remedy}", self.contender),
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
    fn run(self) -> Result<()> {
        let Shape { connections, depth } = self.row;
        let work = Work {
            connections,
            depth,
            body: self.body.into(),
        };
        let mut load = Load::connect(self.target, work)?;
        let requests = self.requests.unwrap_or(u64::MAX);
        let sample = load.run(Budget {
            time: self.seconds,
            requests,
        })?;
        let quantile = |q| sample.latency.value_at_quantile(q) as f64 / 1e3;
        println!(
            "{} requests of {} B in {:.2} s, {:.0}/s; p50 {:.1} µs, p99 {:.1} µs, p99.9 {:.1} µs",
            sample.requests,
            load.frame_len(),
            sample.elapsed.as_secs_f64(),
            sample.requests as f64 / sample.elapsed.as_secs_f64(),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
        );
        Ok(())
    }
}

fn setup(dir: &std::path::Path, upstreams: usize, wrap: &str) -> Setup {
    Setup {
        upstream: SocketAddr::from(([127, 0, 0, 1], 0)),
        upstreams,
        dir: dir.to_owned(),
        wrap: wrap.split_whitespace().map(str::to_owned).collect(),
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

fn announce(listen: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    println!("listening {}", listener.local_addr()?);
    Ok(listener)
}

/// A stamp must fit in, and a frame into what the loops read at once.
fn body() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(24..=16_384)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

fn pin(text: &str) -> Result<Pin, String> {
    match text {
        "last" => Ok(Pin::Last),
        "off" => Ok(Pin::Off),
        cpu => cpu
            .parse()
            .map(Pin::Cpu)
            .map_err(|_| "expected a CPU number, last or off".to_owned()),
    }
}
