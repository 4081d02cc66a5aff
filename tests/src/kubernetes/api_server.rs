//! etcd and kube-apiserver on ports that the system picks, with keys that are made as they start.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::Programs;
use super::kubectl::Answer;
use crate::certificates::{Authority, Pair, service_account_key};
use crate::process::Process;
use crate::redis::free_port;
use crate::wait::until;

/// Both end with their owner, and what they hold is gone.
pub struct ApiServer {
    // Ends before its store does.
    server: Option<Process>,
    etcd: Option<Process>,
    programs: Programs,
    directory: TempDir,
    ports: Ports,
}

#[derive(Clone, Copy)]
struct Ports {
    etcd: u16,
    peers: u16,
    server: u16,
}

impl Ports {
    fn free() -> Self {
        Self {
            etcd: free_port(),
            peers: free_port(),
            server: free_port(),
        }
    }
}

impl ApiServer {
    /// Starts both, and waits until it is ready. None where they are not installed, see [`Programs::find`].
    ///
    /// # Panics
    /// When they do not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let programs = Programs::find()?;
        // A port is free until somebody takes it: then others are tried.
        for _ in 0..20 {
            if let Some(started) = Self::try_start(&programs, Ports::free()) {
                return Some(started);
            }
        }
        panic!("kube-apiserver does not start");
    }

    /// None where a port is taken.
    fn try_start(programs: &Programs, ports: Ports) -> Option<Self> {
        let directory = TempDir::with_prefix("meltemi-k8s-").expect("a temporary directory");
        write_keys(directory.path(), ports.server);
        let mut started = Self {
            server: None,
            etcd: None,
            programs: programs.clone(),
            directory,
            ports,
        };
        (started.start_etcd() && started.start_server()).then_some(started)
    }

    /// False where it ended.
    fn start_etcd(&mut self) -> bool {
        let url = |port: u16| format!("http://{}", SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (clients, peers) = (url(self.ports.etcd), url(self.ports.peers));
        let mut command = Command::new(self.programs.path("etcd"));
        command
            .arg("--data-dir")
            .arg(self.path("etcd"))
            .args(["--unsafe-no-fsync", "--log-level", "warn"])
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers])
            .args(["--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}")]);
        let process = Process::spawn("etcd", &mut command);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.etcd));
        let healthy = until("etcd is healthy", || {
            let answer = || crate::http::get(address, "/health").ok();
            match process.has_ended() {
                true => Some(false),
                false => answer().filter(|it| it.status == 200).map(|_| true),
            }
        });
        self.etcd = Some(process);
        healthy
    }

    /// False where it ended.
    fn start_server(&mut self) -> bool {
        let etcd = format!("http://127.0.0.1:{}", self.ports.etcd);
        let port = self.ports.server.to_string();
        let mut command = Command::new(self.programs.path("kube-apiserver"));
        // The admission of ServiceAccounts wants those of pods to exist, which a controller manager sees to, and
        // endpoints of its own cannot be loopback.
        command
            // Its memory matters more than its time here.
            .env("GOGC", "50")
            .args(["--etcd-servers", &etcd, "--secure-port", &port])
            .args(["--bind-address", "127.0.0.1"])
            .args(["--advertise-address", "127.0.0.1"])
            .args(["--endpoint-reconciler-type", "none"])
            .args(["--service-cluster-ip-range", "10.96.0.0/16"])
            .args(["--authorization-mode", "RBAC", "--allow-privileged"])
            .args(["--disable-admission-plugins", "ServiceAccount"])
            .args(["--service-account-issuer", ISSUER])
            .args(["--profiling=false", "--v", "1"]);
        for (option, file) in [
            ("--tls-cert-file", "server.crt"),
            ("--tls-private-key-file", "server.key"),
            ("--client-ca-file", "ca.crt"),
            ("--service-account-key-file", "accounts.pub"),
            ("--service-account-signing-key-file", "accounts.key"),
        ] {
            command.arg(option).arg(self.path(file));
        }
        self.server = Some(Process::spawn("kube-apiserver", &mut command));
        until("kube-apiserver is ready", || {
            let process = self.server.as_ref()?;
            let ready = || self.kubectl(&["get", "--raw", "/readyz"]).is_success();
            match process.has_ended() {
                true => Some(false),
                false => ready().then_some(true),
            }
        })
    }

    /// Ends kube-apiserver as a crash would; its store stays.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts kube-apiserver again on its port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        let started = until("kube-apiserver starts again", || {
            // Its port may still be held by connections of before.
            self.start_server().then_some(true)
        });
        assert!(started);
    }

    /// Ends etcd as a crash would; what it has written stays.
    pub fn kill_store(&mut self) {
        self.etcd = None;
    }

    /// Starts etcd again on its ports.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_store_again(&mut self) {
        let started = until("etcd starts again", || self.start_etcd().then_some(true));
        assert!(started);
        until("kube-apiserver has its store again", || {
            let ready = self.kubectl(&["get", "--raw", "/readyz"]);
            ready.is_success().then_some(())
        });
    }

    /// Lets etcd forget what was before: a watch cannot go on from there any more.
    ///
    /// # Panics
    /// When etcd does not.
    pub fn compact(&self) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.etcd));
        let ask = |path: &str, body: serde_json::Value| {
            let answer = crate::http::post(address, path, &body.to_string());
            let answer = answer.expect("etcd answers");
            assert_eq!(answer.status, 200, "{}", answer.body);
            serde_json::from_str::<serde_json::Value>(&answer.body).expect("JSON")
        };
        // A key in base64.
        let now = ask("/v3/kv/range", serde_json::json!({ "key": "AA==" }));
        let revision = &now["header"]["revision"];
        let compaction = serde_json::json!({ "revision": revision, "physical": true });
        ask("/v3/kv/compaction", compaction);
    }

    /// Of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// A kubeconfig of whoever has this token.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn kubeconfig_of(&self, name: &str, token: &str) -> PathBuf {
        let path = self.path(&format!("kubeconfig-{name}"));
        let user = serde_json::json!({ "token": token });
        fs::write(
            &path,
            kubeconfig(self.directory.path(), self.ports.server, &user),
        )
        .expect("it can be written");
        path
    }

    /// What kubectl answers to an administrator.
    #[must_use]
    pub fn kubectl(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command().args(arguments), "")
    }

    /// The same with something on its standard input, which `-f -` reads.
    #[must_use]
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Answer {
        Answer::of(self.command().args(arguments), input)
    }

    /// Applies manifests.
    ///
    /// # Panics
    /// With what kubectl says, when one is refused.
    pub fn apply(&self, manifests: &str) {
        let answer = self.kubectl_with(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            manifests,
        );
        answer.expect_success("it applies");
    }

    /// Applies what manifests say of their status, as a kubelet or another controller would.
    ///
    /// # Panics
    /// With what kubectl says, when one is refused.
    pub fn apply_status(&self, manifests: &str) {
        let apply = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--subresource=status",
            "-f",
            "-",
        ];
        let answer = self.kubectl_with(&apply, manifests);
        answer.expect_success("its status applies");
    }

    /// Installs CRDs, and waits until they are served.
    ///
    /// # Panics
    /// With what kubectl says, when one is refused.
    pub fn install_crds(&self, path: &Path) {
        let path = path.to_str().expect("a path in UTF-8");
        let applied = self.kubectl(&["apply", "--server-side", "-f", path]);
        applied.expect_success("the CRDs apply");
        let served = [
            "wait",
            "--for",
            "condition=established",
            "--timeout=10s",
            "-f",
            path,
        ];
        // It gives up where a definition has no condition yet.
        until("the CRDs are served", || {
            self.kubectl(&served).is_success().then_some(())
        });
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.programs.path("kubectl"));
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            // It keeps what it learns of the server.
            .arg("--cache-dir")
            .arg(self.path("cache"));
        command
    }

    pub(super) fn port(&self) -> u16 {
        self.ports.server
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// An authority, the server's certificate, an administrator's, and the key of the tokens of service accounts.
fn write_keys(directory: &Path, port: u16) {
    let write = |name: &str, text: &str| {
        fs::write(directory.join(name), text).expect("it can be written");
    };
    let write_pair = |name: &str, pair: &Pair| {
        write(&format!("{name}.crt"), &pair.certificate);
        write(&format!("{name}.key"), &pair.key);
    };
    let authority = Authority::new("meltemi-tests");
    write("ca.crt", authority.pem());
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"];
    write_pair("server", &authority.issue("kube-apiserver", &names));
    write_pair("admin", &authority.issue_member("admin", "system:masters"));
    let (private, public) = service_account_key();
    write("accounts.key", &private);
    write("accounts.pub", &public);
    let user = serde_json::json!({
        "client-certificate": directory.join("admin.crt"),
        "client-key": directory.join("admin.key"),
    });
    write("kubeconfig", &kubeconfig(directory, port, &user));
}

/// JSON is YAML.
fn kubeconfig(directory: &Path, port: u16, user: &serde_json::Value) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": directory.join("ca.crt"),
        }}],
        "users": [{"name": "test", "user": user}],
    });
    config.to_string()
}
