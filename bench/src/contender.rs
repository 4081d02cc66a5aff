//! What runs side by side: nothing, the floor, other proxies, Meltemi.

mod envoy;
mod haproxy;
mod meltemi;
mod nutcracker;

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

pub(crate) use self::meltemi::{
    HOST, build_alone, control, listening, manifests, profile, sibling,
};
use crate::idle;
use crate::process::{Process, START, own_command};
use crate::wire::{Protocol, Request};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// No proxy: the generator calls the upstream.
    Direct,
    /// A bare relay that shares upstream connections: the ruler.
    Floor,
    /// Envoy's dubbo_proxy, redis_proxy or thrift_proxy, a route on the method where there are any.
    Envoy,
    /// nutcracker (twemproxy); Redis only.
    Nutcracker,
    /// haproxy in TCP mode: it reads no messages and shares no connection.
    Haproxy,
    /// `meltemi proxy`, a route on the method where there are any.
    Meltemi,
    /// `meltemi proxy`, a route on `group`, which lies in the attachments; Dubbo only.
    MeltemiGroup,
    /// `meltemi proxy` whose clients share connections in order; Thrift only, where that is not
    /// the default.
    MeltemiPipeline,
    /// `meltemi proxy` that shares connections, one route for everything and no policy.
    MeltemiCatchAll,
    /// The same with 1,000 routes, timeouts, retries, a rate limit and outlier detection.
    MeltemiPolicy,
    /// `meltemi proxy` with two workers.
    MeltemiTwoWorkers,
    /// A build of `meltemi proxy` without metrics (the feature `unmetered`), to weigh them.
    MeltemiUnmetered,
    /// `meltemi proxy` with an access log, into /dev/null.
    MeltemiLog,
    /// The same with one request in a hundred in it.
    MeltemiLogSampled,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor",
            Self::Envoy => "envoy",
            Self::Nutcracker => "nutcracker",
            Self::Haproxy => "haproxy",
            Self::Meltemi => "meltemi",
            Self::MeltemiGroup => "meltemi-group",
            Self::MeltemiPipeline => "meltemi-pipeline",
            Self::MeltemiCatchAll => "meltemi-catch-all",
            Self::MeltemiPolicy => "meltemi-policy",
            Self::MeltemiTwoWorkers => "meltemi-two-workers",
            Self::MeltemiUnmetered => "meltemi-unmetered",
            Self::MeltemiLog => "meltemi-log",
            Self::MeltemiLogSampled => "meltemi-log-sampled",
        }
    }

    /// Whether it can stand before upstreams of `protocol`.
    pub(crate) fn speaks(self, protocol: Protocol) -> bool {
        match self {
            Self::Nutcracker => protocol == Protocol::Redis,
            Self::MeltemiGroup => protocol == Protocol::Dubbo,
            Self::MeltemiPipeline => protocol == Protocol::Thrift,
            Self::MeltemiCatchAll | Self::MeltemiPolicy => protocol != Protocol::Redis,
            _ => true,
        }
    }

    pub(crate) fn is_meltemi(self) -> bool {
        matches!(
            self,
            Self::Meltemi | Self::MeltemiGroup | Self::MeltemiPipeline
        ) || self.is_apart()
    }

    /// Whether it is told that Thrift's calls share connections in order.
    pub(crate) fn shares_in_order(self) -> bool {
        self == Self::MeltemiPipeline || self.weighs_policy()
    }

    /// Whether it is there to weigh one thing, and otherwise left out.
    pub(crate) fn is_apart(self) -> bool {
        self.weighs_policy() || self.is_beside_meltemi()
    }

    /// Whether it is `meltemi` but for one thing.
    pub(crate) fn is_beside_meltemi(self) -> bool {
        matches!(
            self,
            Self::MeltemiTwoWorkers
                | Self::MeltemiUnmetered
                | Self::MeltemiLog
                | Self::MeltemiLogSampled
        )
    }

    /// Whether it is there to weigh what policy costs.
    pub(crate) fn weighs_policy(self) -> bool {
        matches!(self, Self::MeltemiCatchAll | Self::MeltemiPolicy)
    }

    /// Whether its answers come in the order of the requests, as Thrift's servers answer and its
    /// clients expect; Envoy sends each as soon as it has it.
    pub(crate) fn keeps_order(self, protocol: Protocol) -> bool {
        protocol == Protocol::Thrift && self != Self::Envoy
    }

    /// Open files that a client connection may cost the proxy: one more where each client has an
    /// upstream connection of its own.
    pub(crate) fn files_per_connection(self, protocol: Protocol) -> u64 {
        match self {
            Self::Haproxy => 2,
            Self::Envoy | Self::Meltemi if protocol == Protocol::Thrift => 2,
            _ if self.is_beside_meltemi() && protocol == Protocol::Thrift => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Brings the programs of this workspace that `kinds` need up to date.
pub(crate) fn build(kinds: &[Kind]) -> Result<()> {
    if kinds.iter().any(|kind| kind.is_meltemi()) {
        meltemi::build()?;
    }
    if kinds.contains(&Kind::MeltemiUnmetered) {
        meltemi::build_unmetered()?;
    }
    Ok(())
}

/// What every contender is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) protocol: Protocol,
    /// At least one.
    pub(crate) endpoints: Vec<SocketAddr>,
    /// Upstream connections of the floor to each endpoint.
    pub(crate) upstreams: u32,
    /// For generated configuration and logs.
    pub(crate) dir: PathBuf,
    /// Whether Meltemi's proxy and controller are one process, which then is what is measured.
    pub(crate) in_one: bool,
    /// A command that starts the measured process, such as `valgrind --tool=callgrind`.
    pub(crate) wrap: Vec<String>,
}

impl Setup {
    /// The endpoints of contenders that do not divide keys: where keys are divided, the first.
    fn callees(&self) -> Result<&[SocketAddr]> {
        match self.protocol {
            Protocol::Redis => Ok(std::slice::from_ref(self.first()?)),
            Protocol::Dubbo | Protocol::Thrift => Ok(&self.endpoints),
        }
    }

    fn first(&self) -> Result<&SocketAddr> {
        let first = self.endpoints.first();
        first.ok_or_else(|| anyhow::anyhow!("there is no upstream"))
    }
}

/// A running contender.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) target: SocketAddr,
    /// The measured process; a direct call has none.
    pub(crate) proxy: Option<Process>,
    /// Held so that they live as long as the proxy that needs them.
    _companions: Vec<Process>,
}

/// The result of an attempt to start one.
#[derive(Debug)]
pub(crate) enum Start {
    Running(Contender),
    /// Not on this machine; the text says how to get it.
    Absent(String),
}

impl Contender {
    pub(crate) fn start(kind: Kind, setup: &Setup) -> Result<Start> {
        let mut started = match kind {
            Kind::Direct => Start::Running(Self {
                kind,
                target: *setup.first()?,
                proxy: None,
                _companions: Vec::new(),
            }),
            Kind::Floor => Start::Running(start_floor(setup)?),
            Kind::Envoy => envoy::start(setup)?,
            Kind::Nutcracker => nutcracker::start(setup)?,
            Kind::Haproxy => haproxy::start(setup)?,
            kind => meltemi::start(kind, setup)?,
        };
        if let Start::Running(contender) = &mut started {
            let Self {
                kind,
                target,
                proxy,
                ..
            } = contender;
            wait_until_it_answers(*target, setup.protocol, proxy.as_mut())
                .with_context(|| format!("{kind} does not answer"))?;
        }
        Ok(started)
    }

    /// A contender whose proxy is `proxy`.
    fn behind(kind: Kind, target: SocketAddr, proxy: Process) -> Self {
        Self {
            kind,
            target,
            proxy: Some(proxy),
            _companions: Vec::new(),
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.proxy.as_mut().is_none_or(Process::is_running)
    }
}

/// Waits for the answer of `target`; where `proxy` serves it, no longer than that runs.
pub(crate) fn wait_until_it_answers(
    target: SocketAddr,
    protocol: Protocol,
    mut proxy: Option<&mut Process>,
) -> Result<()> {
    let exchange = Request::probe(protocol).exchange();
    let deadline = Instant::now() + START;
    loop {
        let called = TcpStream::connect(target)
            .map_err(Into::into)
            .and_then(|mut stream| idle::call(&mut stream, exchange.as_ref(), 0));
        let is_running = proxy.as_mut().is_none_or(|proxy| proxy.is_running());
        match called {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline || !is_running => {
                let tail = proxy.map(|proxy| proxy.log_tail()).unwrap_or_default();
                let error = anyhow::Error::from(error);
                bail!("{error:#}{tail}");
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn start_floor(setup: &Setup) -> Result<Contender> {
    let mut command = wrapped(setup, Path::new(own_command()?.get_program()));
    command.args(["relay", "--protocol", setup.protocol.name()]);
    for endpoint in setup.callees()? {
        command.args(["--upstream", &endpoint.to_string()]);
    }
    command.args(["--upstreams", &setup.upstreams.to_string()]);
    let process = Process::start("floor", &command, &setup.dir)?;
    let target = process.expect_line("listening ")?.parse()?;
    Ok(Contender::behind(Kind::Floor, target, process))
}

/// `program`, started through the command of `--wrap` if there is one.
fn wrapped(setup: &Setup, program: &Path) -> Command {
    let Some((wrapper, arguments)) = setup.wrap.split_first() else {
        return Command::new(program);
    };
    let mut command = Command::new(wrapper);
    command.args(arguments).arg(program);
    command
}
