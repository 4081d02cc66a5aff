//! helm, of the versions that people have, with the charts as they are checked in.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::kubectl::Answer;
use super::{ApiServer, Programs};

/// One version of it, which keeps what it writes to itself.
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    home: TempDir,
}

impl Helm {
    /// Helm 3 and 4, without a cluster. None where they are not installed, see [`Programs::find`].
    ///
    /// # Panics
    /// When they are required and missing.
    #[must_use]
    pub fn versions() -> Option<[Self; 2]> {
        let programs = Programs::find()?;
        Some(["helm3", "helm"].map(|name| Self::new(&programs, name, None)))
    }

    /// The same on a cluster, as its administrator.
    #[must_use]
    pub fn versions_on(cluster: &ApiServer) -> [Self; 2] {
        let of = |name| Self::new(cluster.programs(), name, Some(cluster.kubeconfig()));
        ["helm3", "helm"].map(of)
    }

    fn new(programs: &Programs, name: &str, kubeconfig: Option<PathBuf>) -> Self {
        Self {
            program: programs.path(name),
            kubeconfig,
            home: TempDir::with_prefix("meltemi-helm-").expect("a temporary directory"),
        }
    }

    /// Whether it is helm 3.
    #[must_use]
    pub fn is_three(&self) -> bool {
        self.program.ends_with("helm3")
    }

    /// What it answers; it runs in the directory of the charts.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(&self.program);
        command
            .current_dir(charts())
            .env("HELM_CACHE_HOME", self.home.path())
            .env("HELM_CONFIG_HOME", self.home.path())
            .env("HELM_DATA_HOME", self.home.path())
            .args(arguments);
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        Answer::of(&mut command, "")
    }

    /// What it prints.
    ///
    /// # Panics
    /// With what it says, when it fails.
    #[must_use]
    pub fn prints(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        answer.expect_success(&format!("helm {}", arguments.join(" ")));
        answer.stdout()
    }
}

/// Where the charts are.
#[must_use]
pub fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts")
}
