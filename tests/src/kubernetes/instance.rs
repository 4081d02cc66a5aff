//! etcd and kube-apiserver on ports that the system picks, with keys that are made as they start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::keys::{kubeconfig, write_keys};
use super::kubectl::Answer;
use super::requests::Requests;
use super::store::Store;
use super::{Programs, bound};
use crate::process::Process;
use crate::redis::free_port;
use crate::wait::until;

/// Both end with their owner, and what they hold is gone.
pub struct Instance {
    // Ends before its store does.
    server: Option<Process>,
    pub(super) store: Store,
    programs: Programs,
    directory: TempDir,
    port: u16,
    pub(super) requests: Requests,
}

impl Instance {
    /// Starts both, and waits until it is ready.
    ///
    /// # Panics
    /// When they do not start.
    pub(super) fn start(programs: &Programs) -> Self {
        // A port is free until somebody takes it: then others are tried.
        let started = (0..20).find_map(|_| Self::try_start(programs));
        started.expect("kube-apiserver starts")
    }

    /// None where a port is taken.
    fn try_start(programs: &Programs) -> Option<Self> {
        let directory = TempDir::with_prefix("meltemi-k8s-").expect("a temporary directory");
        let port = free_port();
        write_keys(directory.path(), port);
        let ports = [free_port(), free_port()];
        let mut started = Self {
            server: None,
            store: Store::new(programs.path("etcd"), directory.path(), ports),
            programs: programs.clone(),
            requests: Requests::new(&directory.path().join("kubeconfig")),
            directory,
            port,
        };
        (started.store.start() && started.start_server()).then_some(started)
    }

    /// Whether nothing of it was ended.
    pub(super) fn runs(&self) -> bool {
        self.server.is_some() && self.store.runs()
    }

    /// False where it ended.
    fn start_server(&mut self) -> bool {
        let port = self.port.to_string();
        fs::write(self.path(AUDIT_POLICY), AUDITED).expect("it can be written");
        let mut command = bound::command(&self.programs.path("kube-apiserver"), None);
        // The admission of ServiceAccounts wants those of pods to exist, which a controller manager sees to, and
        // endpoints of its own cannot be loopback.
        command
            // Its memory matters more than its time here.
            .env("GOGC", "50")
            .args(["--etcd-servers", &self.store.url()])
            .args(["--secure-port", &port])
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
            ("--audit-policy-file", AUDIT_POLICY),
            ("--audit-log-path", AUDIT),
        ] {
            command.arg(option).arg(self.path(file));
        }
        let server = bound::spawn("kube-apiserver", &mut command, self.directory.path());
        self.server = Some(server);
        until("kube-apiserver is ready", || {
            let process = self.server.as_ref()?;
            match process.has_ended() {
                true => Some(false),
                false => self.is_ready().then_some(true),
            }
        })
    }

    fn is_ready(&self) -> bool {
        self.requests.try_get("/readyz").is_some()
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
        self.store.kill();
    }

    /// Starts etcd again on its ports.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_store_again(&mut self) {
        let started = until("etcd starts again", || self.store.start().then_some(true));
        assert!(started);
        until("kube-apiserver has its store again", || {
            self.is_ready().then_some(())
        });
    }

    /// Lets etcd forget what was before: a watch cannot go on from there any more.
    ///
    /// # Panics
    /// When etcd does not.
    pub fn compact(&self) {
        self.store.compact();
    }

    /// What service accounts asked, a JSON object each line.
    #[must_use]
    pub fn audit(&self) -> String {
        fs::read_to_string(self.path(AUDIT)).unwrap_or_default()
    }

    /// Forgets what it was asked, and what kubectl has learnt of it.
    pub(super) fn forget(&self) {
        // It is appended to.
        if let Ok(log) = fs::File::options().write(true).open(self.path(AUDIT)) {
            log.set_len(0).expect("it can be cut");
        }
        let _ = fs::remove_dir_all(self.path("cache"));
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
        fs::write(&path, kubeconfig(self.directory.path(), self.port, &user))
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

    /// Applies manifests, as `kubectl apply --server-side --force-conflicts` does.
    ///
    /// # Panics
    /// With what the API server says, when one is refused.
    pub fn apply(&self, manifests: &str) {
        self.requests.apply(manifests, None);
    }

    /// Applies what manifests say of their status, as a kubelet or another controller would.
    ///
    /// # Panics
    /// With what the API server says, when one is refused.
    pub fn apply_status(&self, manifests: &str) {
        self.requests.apply(manifests, Some("status"));
    }

    /// What is at a path; none where nothing is.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<serde_json::Value> {
        self.requests.get(path)
    }

    /// The Deployment of the controller, as the chart installs it.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn installed_controller(&self) -> serde_json::Value {
        let path = "/apis/apps/v1/namespaces/meltemi-system/deployments/meltemi-controller";
        self.get(path).expect("the controller is installed")
    }

    /// What is answered to something that is sent to a path.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn post(&self, path: &str, body: &serde_json::Value) -> serde_json::Value {
        self.requests.post(path, body)
    }

    /// # Panics
    /// When one cannot be made.
    pub fn create_namespaces(&self, names: &[&str]) {
        for name in names {
            self.apply(&format!(
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"
            ));
        }
    }

    /// Deletes all that there is of a kind in a namespace, such as
    /// `/apis/metaprotocol.aeraki.io/v1alpha1/namespaces/default/metarouters`.
    ///
    /// # Panics
    /// When it is refused.
    pub fn delete_all(&self, path: &str) {
        self.requests.delete_all(path);
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
        self.port
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const AUDIT: &str = "audit.log";
const AUDIT_POLICY: &str = "audit.yaml";
/// What service accounts may do is a matter of tests.
const AUDITED: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ['system:serviceaccounts']}
- {level: None}
";
