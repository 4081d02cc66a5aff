//! The control plane under test, and what it has used so far.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use meltemi_tests::Process;
use meltemi_tests::kubernetes::Istiod;

use crate::world::{Kind, ROUTER, RULE, SLICE};

/// Whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Meltemi,
    Istio,
}

impl Make {
    /// What it makes something of, of that which can be changed.
    pub(crate) const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Meltemi => &[ROUTER, RULE, SLICE],
            Self::Istio => &[RULE, SLICE],
        }
    }
}

impl std::fmt::Display for Make {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Meltemi => "meltemi-controller",
            Self::Istio => "istiod",
        })
    }
}

pub(crate) struct Subject {
    running: Running,
    pub(crate) address: SocketAddr,
}

enum Running {
    Meltemi(Process),
    Istio(Istiod),
}

impl Subject {
    /// Starts it on the cluster of this kubeconfig.
    pub(crate) fn start(make: Make, program: &Path, kubeconfig: &Path) -> Self {
        match make {
            Make::Meltemi => Self::meltemi(program, kubeconfig),
            Make::Istio => {
                // Else it turns most of hundreds of proxies away that come at once, and they would have to come again.
                let environment = [("PILOT_MAX_REQUESTS_PER_SECOND", "10000")];
                let istiod = Istiod::start(program, kubeconfig, &environment);
                Self {
                    address: istiod.address(),
                    running: Running::Istio(istiod),
                }
            }
        }
    }

    fn process(&self) -> &Process {
        match &self.running {
            Running::Meltemi(process) => process,
            Running::Istio(istiod) => istiod.process(),
        }
    }

    fn meltemi(program: &Path, kubeconfig: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .args(["--plaintext", "--listen", "127.0.0.1:0"])
            .args(["--admin", "127.0.0.1:0", "--kubeconfig"])
            .arg(kubeconfig);
        let process = Process::spawn("meltemi-controller", &mut command);
        let (address, _) = process.line(0, "where it listens", |line| {
            line.strip_prefix("xds ")?.parse().ok()
        });
        Self {
            running: Running::Meltemi(process),
            address,
        }
    }

    /// Processor time of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process().pid()))?;
        // What comes before, its name, may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("a line of fields")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let used = ticks().zip(ticks()).context("two numbers")?;
        Ok(Duration::from_millis((used.0 + used.1) * 10))
    }

    /// Resident bytes now, and at most so far.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process().pid()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kilobytes << 10)
        };
        let now = field("VmRSS").context("VmRSS")?;
        Ok((now, field("VmHWM").context("VmHWM")?))
    }
}
