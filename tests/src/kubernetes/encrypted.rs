//! A `meltemi-controller` whose proxies connect with TLS and show tokens.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Instance;
use super::controller::controller_binary;
use crate::meltemi::{Meltemi, binary};
use crate::process::Process;
use crate::wait::until;

/// A running controller; it ends with its owner.
pub struct Encrypted {
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Encrypted {
    /// Starts it on a cluster, for proxies that speak Redis.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(kubeconfig: &Path, listen: SocketAddr, arguments: &[&str]) -> Self {
        let source = kubeconfig.to_str().expect("a path in UTF-8");
        let listen = listen.to_string();
        let source = ["--kubeconfig", source, "--listen", &listen];
        Self::starting(&[&source, arguments].concat())
    }

    /// The same with any arguments.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn starting(arguments: &[&str]) -> Self {
        let mut command = Self::command(arguments);
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
        }
    }

    /// What starts it.
    #[must_use]
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(controller_binary());
        command
            .env("RUST_LOG", "info,meltemi=debug")
            .args(["--protocol", "redis"])
            .args(["--admin", "127.0.0.1:0"])
            .args(arguments);
        command
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its pages are.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A proxy of the Gateway `default/edge` with what a pod would have mounted, which need not be ready.
    #[must_use]
    pub fn proxy(&self, mounted: &Mounted) -> Meltemi {
        self.proxy_with(mounted, &["--gateway", "default/edge"])
    }

    /// The same of whatever it claims.
    #[must_use]
    pub fn proxy_with(&self, mounted: &Mounted, claims: &[&str]) -> Meltemi {
        let mut command = Command::new(binary());
        command
            .args(["proxy", "--admin", "127.0.0.1:0", "--workers", "1"])
            .args(["--xds", &format!("https://{}", self.address)])
            .arg("--xds-ca")
            .arg(mounted.roots())
            .arg("--xds-token")
            .arg(mounted.token())
            .args(claims);
        Meltemi::starting(Process::spawn("meltemi", &mut command))
    }

    /// Waits until its log has all these words in one line.
    ///
    /// # Panics
    /// When they do not come.
    pub fn says(&self, words: &[&str]) {
        until(&format!("the controller says {words:?}"), || {
            let said = self.process.said();
            let has_all = |line: &str| words.iter().all(|word| line.contains(word));
            said.lines().any(has_all).then_some(())
        });
    }

    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// What a pod would have mounted to reach the controller.
pub struct Mounted(TempDir);

impl Mounted {
    /// # Panics
    /// When there is no place for it.
    #[must_use]
    pub fn new(roots: &str, token: &str) -> Self {
        let mounted = Self(TempDir::new().expect("a temporary directory"));
        mounted.write(&mounted.roots(), roots);
        mounted.change_token(token);
        mounted
    }

    /// # Panics
    /// When it cannot be written.
    pub fn change_token(&self, token: &str) {
        self.write(&self.token(), token);
    }

    /// # Panics
    /// When they cannot be written.
    pub fn change_roots(&self, roots: &str) {
        self.write(&self.roots(), roots);
    }

    /// Makes a file beside them.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        self.write(&path, text);
        path
    }

    /// In one step, as a kubelet does it.
    fn write(&self, path: &Path, text: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, text).expect("it can be written");
        fs::rename(new, path).expect("it can be renamed");
    }

    fn roots(&self) -> PathBuf {
        self.0.path().join("root-cert.pem")
    }

    fn token(&self) -> PathBuf {
        self.0.path().join("token")
    }
}

impl Instance {
    /// The roots that the proxies of this namespace are told to believe; none while there are none.
    #[must_use]
    pub fn roots_of(&self, namespace: &str) -> Option<String> {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/meltemi-ca-root");
        let roots = self.get(&path)?["data"]["root-cert.pem"].take();
        roots.as_str().map(str::to_owned)
    }
}
