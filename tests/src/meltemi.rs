//! The `meltemi` binary under test.

use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

use serde_json::Value;

use crate::http::{Response, get, post};
use crate::process::Process;
use crate::wait::until;

/// The binary: `MELTEMI_BIN`, else the one of this target directory, built if need be.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| env::var_os("MELTEMI_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("a test lies in PROFILE/deps");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the workspace");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--bin", "meltemi", "--target-dir"])
        .arg(
            profile
                .parent()
                .expect("a profile lies in the target directory"),
        )
        .args(if profile.ends_with("release") {
            &["--release"][..]
        } else {
            &[]
        })
        .current_dir(root)
        .status();
    assert!(
        built.is_ok_and(|status| status.success()),
        "the meltemi binary does not build"
    );
    profile.join("meltemi")
}

/// A running `meltemi run`.
pub struct Meltemi {
    process: Process,
    admin: SocketAddr,
}

impl Meltemi {
    /// Runs it over a directory of manifests, and waits until it is ready.
    pub fn run(manifests: &Path) -> Self {
        Self::run_with(manifests, &[])
    }

    /// [`Self::run`] with further arguments.
    pub fn run_with(manifests: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command
            .args(["run", "--admin", "127.0.0.1:0", "-f"])
            .arg(manifests)
            .args(arguments);
        Self::of(Process::spawn("meltemi", &mut command))
    }

    /// A `meltemi run` that was just started; waits until it is ready.
    pub fn of(process: Process) -> Self {
        let meltemi = Self::starting(process);
        until("meltemi is ready", || {
            meltemi.get("/ready").filter(|answer| answer.status == 200)
        });
        meltemi
    }

    /// A `meltemi run` that was just started, and need not become ready.
    pub fn starting(process: Process) -> Self {
        let (admin, _) = process.line(0, "its admin address", |line| {
            line.strip_prefix("admin ")?.parse().ok()
        });
        Self { process, admin }
    }

    /// Where the server `NAMESPACE/GATEWAY/SERVER` listens.
    pub fn address(&self, server: &str) -> SocketAddr {
        let find = |line: &str| {
            line.strip_prefix("listening ")?
                .strip_prefix(server)?
                .trim()
                .parse()
                .ok()
        };
        self.process
            .line(0, &format!("where {server} listens"), find)
            .0
    }

    /// An answer of the admin address; none where it does not answer.
    pub fn get(&self, path: &str) -> Option<Response> {
        get(self.admin, path).ok()
    }

    /// What the admin address answers to a body.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn post(&self, path: &str, body: &str) -> Response {
        post(self.admin, path, body).expect("an answer of the admin address")
    }

    /// The sum of a metric's values over the lines that contain all these labels, such as `outcome="ok"`.
    ///
    /// # Panics
    /// When the admin address does not answer with metrics.
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let page = self.get("/metrics").expect("the metrics");
        let values = page.body.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let rest = series.strip_prefix(name)?;
            let is_it = rest.is_empty() || rest.starts_with('{');
            (is_it && labels.iter().all(|label| rest.contains(label))).then_some(value)
        });
        values
            .map(|value| value.parse::<u64>().expect("a whole number"))
            .sum()
    }

    /// Waits until a metric is exactly this.
    pub fn counts(&self, name: &str, labels: &[&str], wanted: u64) {
        let what = format!("{name} of {labels:?} is {wanted}");
        until(&what, || {
            (self.metric(name, labels) == wanted).then_some(())
        });
    }

    /// What `/clusters` says of the endpoint on a port of loopback, of all clusters together.
    ///
    /// # Panics
    /// When the admin address does not answer.
    pub fn endpoint(&self, port: u16, what: &str) -> u64 {
        let page = self.get("/clusters").expect("the clusters");
        let page: Value = serde_json::from_str(&page.body).expect("JSON");
        let clusters = page["clusters"].as_object().expect("clusters by name");
        let address = format!("127.0.0.1:{port}");
        let endpoints = clusters
            .values()
            .flat_map(|cluster| cluster["endpoints"].as_array().into_iter().flatten());
        endpoints
            .filter(|endpoint| endpoint["address"] == *address)
            .map(|endpoint| endpoint[what].as_u64().expect("a number"))
            .sum()
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for its end, after a signal.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }
}
