//! What runs side by side: nothing, the floor, other proxies, Meltemi.

mod envoy;
mod haproxy;
mod meltemi;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::frame::RequestTemplate;
use crate::idle;
use crate::process::{Process, START};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// No proxy: the generator calls the upstream.
    Direct,
    /// A bare id-remapping relay of frames: the ruler.
    Floor,
    /// Envoy's dubbo_proxy, a route on interface and method.
    Envoy,
    /// haproxy in TCP mode: it reads no frames and shares no connection.
    Haproxy,
    /// `meltemi proxy`, a route on interface and method.
    Meltemi,
    /// `meltemi proxy`, a route on `group`, which lies in the attachments.
    MeltemiGroup,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Floor => "floor",
            Self::Envoy => "envoy",
            Self::Haproxy => "haproxy",
            Self::Meltemi => "meltemi",
            Self::MeltemiGroup => "meltemi-group",
        }
    }

    pub(crate) fn is_meltemi(self) -> bool {
        matches!(self, Self::Meltemi | Self::MeltemiGroup)
    }

    /// Open files that a client connection costs the proxy: haproxy opens one upstream for each.
    pub(crate) fn files_per_connection(self) -> u64 {
        if self == Self::Haproxy { 2 } else { 1 }
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
        meltemi::build()
    } else {
        Ok(())
    }
}

/// What every contender is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) upstream: SocketAddr,
    /// Upstream connections of the floor.
    pub(crate) upstreams: usize,
    /// For generated configuration and logs.
    pub(crate) dir: PathBuf,
    /// A command that starts the measured process, such as `valgrind --tool=callgrind`.
    pub(crate) wrap: Vec<String>,
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
                target: setup.upstream,
                proxy: None,
                _companions: Vec::new(),
            }),
            Kind::Floor => Start::Running(start_floor(setup)?),
            Kind::Envoy => envoy::start(setup)?,
            Kind::Haproxy => haproxy::start(setup)?,
            Kind::Meltemi | Kind::MeltemiGroup => meltemi::start(kind, setup)?,
        };
        if let Start::Running(contender) = &mut started {
            contender.wait_until_it_answers()?;
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

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let template = RequestTemplate::new(128);
        let deadline = Instant::now() + START;
        loop {
            let called = TcpStream::connect(self.target)
                .map_err(Into::into)
                .and_then(|mut stream| idle::call(&mut stream, &template, 0));
            match called {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline || !self.is_running() => {
                    let tail = self
                        .proxy
                        .as_ref()
                        .map(Process::log_tail)
                        .unwrap_or_default();
                    bail!("{} does not answer: {error}{tail}", self.kind);
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// Starts the echo upstream.
pub(crate) fn start_echo(dir: &Path) -> Result<(Process, SocketAddr)> {
    let mut command = own_command()?;
    command.arg("echo");
    let process = Process::start("echo", &command, dir)?;
    let address = process.expect_line("listening ")?.parse()?;
    Ok((process, address))
}

fn start_floor(setup: &Setup) -> Result<Contender> {
    let mut command = wrapped(setup, &std::env::current_exe()?);
    command.args(["relay", "--upstream", &setup.upstream.to_string()]);
    command.args(["--upstreams", &setup.upstreams.to_string()]);
    let process = Process::start("floor", &command, &setup.dir)?;
    let target = process.expect_line("listening ")?.parse()?;
    Ok(Contender::behind(Kind::Floor, target, process))
}

fn own_command() -> Result<Command> {
    let program = std::env::current_exe().context("find this program's own path")?;
    Ok(Command::new(program))
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

/// An address that was free a moment ago, for programs that cannot say which one they took.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
