//! Istio's control plane, outside of the cluster that it watches.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::Programs;
use crate::http;
use crate::process::Process;
use crate::redis::free_port;
use crate::wait::until;

/// Runs as its chart has it run; it ends with its owner. The definitions of Istio and of the Gateway API have to be
/// there.
pub struct Istiod {
    process: Process,
    address: SocketAddr,
    secure: SocketAddr,
    /// What it reads while it runs.
    _files: TempDir,
}

impl Istiod {
    /// The program that `scripts/install-k8s istiod` builds. None where it is not there, which is said, unless
    /// `MELTEMI_REQUIRE_PEERS=1`.
    ///
    /// # Panics
    /// When it is required and missing.
    #[must_use]
    pub fn is_installed(programs: &Programs) -> bool {
        let is_there = programs.path(PROGRAM).exists();
        let is_required = env::var_os("MELTEMI_REQUIRE_PEERS").is_some_and(|it| it == "1");
        assert!(is_there || !is_required, "no istiod: run {INSTALL}");
        if !is_there {
            eprintln!("skipped: no istiod; {INSTALL} builds one");
        }
        is_there
    }

    /// On the cluster of a kubeconfig, with what its environment says besides.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(program: &Path, kubeconfig: &Path, environment: &[(&str, &str)]) -> Self {
        let secure = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self::start_at(secure, (program, kubeconfig), environment)
    }

    /// The same with its CA at an address that one before it had.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_at(
        secure: SocketAddr,
        (program, kubeconfig): (&Path, &Path),
        environment: &[(&str, &str)],
    ) -> Self {
        let files = TempDir::with_prefix("meltemi-istiod-").expect("a temporary directory");
        let mesh = files.path().join("mesh.yaml");
        fs::write(&mesh, "rootNamespace: istio-system\n").expect("it can be written");
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
            .args(["--secureGRPCAddr", &secure.to_string()])
            .args(["--httpsAddr", &local().to_string()])
            .args(["--monitoringAddr", &local().to_string()])
            .args(["--ctrlz_port", &local().port().to_string()]);
        for (name, value) in [
            ("POD_NAME", "istiod-0"),
            ("POD_NAMESPACE", "istio-system"),
            ("SERVICE_ACCOUNT", "istiod"),
            ("REVISION", "default"),
            ("CLUSTER_ID", "Kubernetes"),
            ("ISTIOD_CUSTOM_HOST", "localhost"),
            // Nobody to inject, and nobody to ask whether a manifest is valid.
            ("INJECTION_WEBHOOK_CONFIG_NAME", ""),
            ("VALIDATION_WEBHOOK_CONFIG_NAME", ""),
        ] {
            command.env(name, value);
        }
        command.envs(environment.iter().copied());
        let process = Process::spawn("istiod", &mut command);
        until("istiod is ready", || {
            let answer = http::get(pages, "/ready").ok();
            answer.filter(|answer| answer.status == 200)
        });
        Self {
            process,
            address,
            secure,
            _files: files,
        }
    }

    /// Where it serves xDS in plaintext.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its CA is.
    #[must_use]
    pub fn secure(&self) -> SocketAddr {
        self.secure
    }

    /// The same for whoever dials it, which shows a certificate for `localhost`, as `HOST:PORT`.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("localhost:{}", self.secure.port())
    }

    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What [`Self::start`] runs.
    #[must_use]
    pub fn program(programs: &Programs) -> std::path::PathBuf {
        programs.path(PROGRAM)
    }
}

const PROGRAM: &str = "pilot-discovery";
const INSTALL: &str = "scripts/install-k8s istiod";
