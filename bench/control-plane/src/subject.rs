//! The control plane under test, and what it has used so far.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use meltemi_tests::redis::free_port;
use meltemi_tests::{Process, get, until};
use tempfile::TempDir;

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
    process: Process,
    pub(crate) address: SocketAddr,
    /// What it reads while it runs.
    _files: Option<TempDir>,
}

impl Subject {
    /// Starts it on the cluster of this kubeconfig.
    pub(crate) fn start(make: Make, program: &Path, kubeconfig: &Path) -> Result<Self> {
        match make {
            Make::Meltemi => Ok(Self::meltemi(program, kubeconfig)),
            Make::Istio => Self::istio(program, kubeconfig),
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
            process,
            address,
            _files: None,
        }
    }

    /// As its chart starts it, but outside of the cluster.
    fn istio(program: &Path, kubeconfig: &Path) -> Result<Self> {
        let files = TempDir::with_prefix("meltemi-istiod-")?;
        let mesh = files.path().join("mesh.yaml");
        std::fs::write(&mesh, "rootNamespace: istio-system\n")?;
        let local = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (address, pages) = (local(), local());
        let mut command = Command::new(program);
        command
            .current_dir(files.path())
            .args(["discovery", "--log_output_level", "default:warn"])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--meshConfig")
            .arg(&mesh)
            .args(["--grpcAddr", &address.to_string()])
            .args(["--httpAddr", &pages.to_string()])
            .args(["--secureGRPCAddr", &local().to_string()])
            .args(["--httpsAddr", &local().to_string()])
            .args(["--monitoringAddr", &local().to_string()])
            .args(["--ctrlz_port", &local().port().to_string()]);
        for (name, value) in [
            ("POD_NAME", "istiod-bench"),
            ("POD_NAMESPACE", "istio-system"),
            ("SERVICE_ACCOUNT", "istiod"),
            ("REVISION", "default"),
            ("CLUSTER_ID", "Kubernetes"),
            ("ISTIOD_CUSTOM_HOST", "localhost"),
            // Nobody to inject.
            ("INJECTION_WEBHOOK_CONFIG_NAME", ""),
            ("VALIDATION_WEBHOOK_CONFIG_NAME", ""),
        ] {
            command.env(name, value);
        }
        let process = Process::spawn("istiod", &mut command);
        until("istiod is ready", || {
            let answer = get(pages, "/ready").ok();
            answer.filter(|answer| answer.status == 200)
        });
        Ok(Self {
            process,
            address,
            _files: Some(files),
        })
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
