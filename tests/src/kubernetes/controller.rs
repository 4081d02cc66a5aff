//! The `meltemi-controller` binary on a cluster, and proxies that it serves.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::meltemi::{Meltemi, binary};
use crate::process::Process;

/// A running controller; it ends with its owner.
pub struct Controller {
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
    kubeconfig: PathBuf,
}

impl Controller {
    /// Starts it on the cluster of this kubeconfig, for proxies that speak Redis. It serves once it has read everything.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(kubeconfig: &Path) -> Self {
        Self::start_with(kubeconfig, &[])
    }

    /// The same with further arguments.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(kubeconfig: &Path, arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", kubeconfig, arguments)
    }

    /// Ends it as a crash would, and starts another one at its address.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn restarted(self) -> Self {
        self.restarted_with(&[])
    }

    /// The same with further arguments.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn restarted_with(self, arguments: &[&str]) -> Self {
        let Self {
            process,
            address,
            kubeconfig,
            ..
        } = self;
        drop(process);
        Self::start_at(&address.to_string(), &kubeconfig, arguments)
    }

    fn start_at(listen: &str, kubeconfig: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(controller_binary());
        command
            .env("RUST_LOG", "info,meltemi=debug")
            .args(["--plaintext", "--listen", listen])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(arguments);
        if !arguments.contains(&"--protocol") {
            command.args(["--protocol", "redis"]);
        }
        if !arguments.contains(&"--admin") {
            command.args(["--admin", "127.0.0.1:0"]);
        }
        let process = Process::spawn("meltemi-controller", &mut command);
        let (address, _) = process.line(0, "where it listens", |line| {
            line.strip_prefix("xds ")?.parse().ok()
        });
        let (admin, _) = process.line(0, "where its pages are", |line| {
            line.strip_prefix("admin ")?.parse().ok()
        });
        Self {
            process,
            address,
            admin,
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// A proxy that it serves, which need not be ready.
    #[must_use]
    pub fn proxy(&self) -> Meltemi {
        self.proxy_with(&[])
    }

    /// The same with further arguments.
    #[must_use]
    pub fn proxy_with(&self, arguments: &[&str]) -> Meltemi {
        Self::proxy_at(self.address, arguments)
    }

    /// A proxy that is served by whoever is there.
    #[must_use]
    pub fn proxy_at(address: SocketAddr, arguments: &[&str]) -> Meltemi {
        let mut command = Command::new(binary());
        command
            .args(["proxy", "--admin", "127.0.0.1:0", "--workers", "1"])
            .args(["--xds", &address.to_string()])
            .args(arguments);
        Meltemi::starting(Process::spawn("meltemi", &mut command))
    }

    /// Where proxies connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its pages are.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// Beside `MELTEMI_BIN`, else built.
#[must_use]
pub fn controller_binary() -> PathBuf {
    let beside = binary().with_file_name("meltemi-controller");
    if env::var_os("MELTEMI_BIN").is_none() || !beside.is_file() {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = beside.parent().and_then(Path::parent);
        let built = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--package",
                "meltemi-controller",
                "--target-dir",
            ])
            .arg(target.expect("a profile lies in the target directory"))
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the meltemi-controller binary does not build"
        );
    }
    beside
}
