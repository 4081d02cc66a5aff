//! A real Envoy with one worker, of a configuration that the test writes.

use std::env;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::get;
use crate::process::Process;
use crate::wait::until;

/// It ends with its owner.
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    _directory: TempDir,
}

impl Envoy {
    /// The binary: `MELTEMI_ENVOY`, else where `scripts/install-envoy` puts it. None where there is
    /// none, which is said, unless `MELTEMI_REQUIRE_PEERS=1`.
    ///
    /// # Panics
    /// When there is none and it is required.
    #[must_use]
    pub fn binary() -> Option<PathBuf> {
        let cache = || match env::var_os("XDG_CACHE_HOME") {
            Some(cache) => Some(PathBuf::from(cache)),
            None => Some(PathBuf::from(env::var_os("HOME")?).join(".cache")),
        };
        let path = env::var_os("MELTEMI_ENVOY").map(PathBuf::from);
        let path = path.or_else(|| Some(cache()?.join("meltemi/envoy-1.40.0/envoy")));
        let found = path.filter(|path| path.is_file());
        if found.is_none() {
            assert!(
                env::var_os("MELTEMI_REQUIRE_PEERS").is_none_or(|required| required != "1"),
                "no Envoy: run scripts/install-envoy"
            );
            let _ = writeln!(
                std::io::stderr(),
                "skipped: no Envoy; scripts/install-envoy fetches one"
            );
        }
        found
    }

    /// Starts it with a bootstrap, to which the `admin` is added, and waits until it is ready: every
    /// cluster has its endpoints then.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(binary: &Path, mut bootstrap: Value) -> Self {
        let directory = TempDir::with_prefix("meltemi-envoy-").expect("a temporary directory");
        bootstrap["admin"] = serde_json::json!({"address": {"socket_address": {
            "address": "127.0.0.1", "port_value": 0}}});
        let config = directory.path().join("envoy.json");
        std::fs::write(&config, bootstrap.to_string()).expect("it can be written");
        let admin_path = directory.path().join("admin");
        let mut command = Command::new(binary);
        command
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_path)
            .args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
        let process = Process::spawn("envoy", &mut command);
        let lives = || assert!(!process.has_ended(), "Envoy ended\n{}", process.said());
        let admin = until("Envoy says its admin address", || {
            lives();
            let address = std::fs::read_to_string(&admin_path).ok()?;
            address.trim().parse().ok()
        });
        until("Envoy is ready", || {
            lives();
            let answer = get(admin, "/ready").ok();
            answer.filter(|answer| answer.status == 200)
        });
        Self {
            process,
            admin,
            _directory: directory,
        }
    }

    /// Where a listener of this name is open.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn listener(&self, name: &str) -> SocketAddr {
        let page = self.page("/listeners?format=json");
        let listeners = page["listener_statuses"].as_array().into_iter().flatten();
        let found = listeners
            .filter(|listener| listener["name"] == name)
            .find_map(|listener| {
                let address = &listener["local_address"]["socket_address"];
                let port = u16::try_from(address["port_value"].as_u64()?).ok()?;
                Some(SocketAddr::new(
                    address["address"].as_str()?.parse().ok()?,
                    port,
                ))
            });
        found.unwrap_or_else(|| panic!("Envoy has no listener {name}\n{}", self.process.said()))
    }

    /// An admin page in JSON.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn page(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).expect("JSON")
    }

    /// An admin page as it is.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn text(&self, path: &str) -> String {
        let answer = get(self.admin, path).expect("the admin address answers");
        answer.body
    }
}
