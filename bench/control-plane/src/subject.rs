//! The controller under test, and what it has used so far.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use meltemi_tests::Process;

pub(crate) struct Subject {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Subject {
    /// Starts it on the cluster of this kubeconfig.
    pub(crate) fn start(program: &Path, kubeconfig: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .args(["--listen", "127.0.0.1:0", "--kubeconfig"])
            .arg(kubeconfig);
        let process = Process::spawn("meltemi-controller", &mut command);
        let (address, _) = process.line(0, "where it listens", |line| {
            line.strip_prefix("xds ")?.parse().ok()
        });
        Self { process, address }
    }

    /// Processor time of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.pid()))?;
        // What comes before, its name, may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("a line of fields")?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let used = ticks().zip(ticks()).context("two numbers")?;
        Ok(Duration::from_millis((used.0 + used.1) * 10))
    }

    /// Resident bytes now, and at most so far.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
            Some(kilobytes << 10)
        };
        let now = field("VmRSS").context("VmRSS")?;
        Ok((now, field("VmHWM").context("VmHWM")?))
    }
}
