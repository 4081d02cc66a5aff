//! The real envoyproxy/ratelimit, over a real Redis.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::process::Process;
use crate::redis::{Server, free_port};
use crate::wait::until;

const VERSION: &str = "v1.4.1-0.20260122083618-3fb702589d36";

/// A rate limit service; it ends with its owner.
pub struct RateLimitService {
    process: Process,
    address: SocketAddr,
    binary: PathBuf,
    runtime: TempDir,
    redis: Server,
}

impl RateLimitService {
    /// Starts it with a configuration, and a Redis of its own. None where it or redis-server is not
    /// installed, which is said, unless `MELTEMI_REQUIRE_PEERS=1`.
    ///
    /// # Panics
    /// When something of it is required and missing, or does not start.
    #[must_use]
    pub fn start(config: &str) -> Option<Self> {
        let binary = binary()?;
        if !Server::is_installed() {
            return None;
        }
        let redis = Server::start(&[]);
        let runtime = TempDir::with_prefix("meltemi-ratelimit-").expect("a temporary directory");
        let directory = runtime.path().join("config");
        fs::create_dir(&directory).expect("a directory in it");
        fs::write(directory.join("config.yaml"), config).expect("it can be written");
        // A port is free until somebody takes it: then the next one is tried.
        for _ in 0..20 {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            let mut command = command(&binary, &runtime, redis.address(), address);
            let process = Process::spawn("ratelimit", &mut command);
            if answers(&process, address) {
                return Some(Self {
                    process,
                    address,
                    binary,
                    runtime,
                    redis,
                });
            }
        }
        panic!("ratelimit does not start");
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where it counts.
    #[must_use]
    pub fn redis(&self) -> &Server {
        &self.redis
    }

    /// Starts it anew on its address, after it was killed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.process.wait();
        let redis = self.redis.address();
        let mut command = command(&self.binary, &self.runtime, redis, self.address);
        self.process = Process::spawn("ratelimit", &mut command);
        assert!(
            answers(&self.process, self.address),
            "ratelimit does not start again\n{}",
            self.process.said()
        );
    }
}

fn command(binary: &PathBuf, runtime: &TempDir, redis: SocketAddr, own: SocketAddr) -> Command {
    let mut command = Command::new(binary);
    command
        .envs([
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("DEBUG_HOST", "127.0.0.1"),
            ("DEBUG_PORT", "0"),
            ("GRPC_HOST", "127.0.0.1"),
            ("USE_STATSD", "false"),
            ("RUNTIME_SUBDIRECTORY", ""),
            ("RUNTIME_WATCH_ROOT", "false"),
            ("REDIS_SOCKET_TYPE", "tcp"),
        ])
        .env("GRPC_PORT", own.port().to_string())
        .env("RUNTIME_ROOT", runtime.path())
        .env("REDIS_URL", redis.to_string());
    command
}

/// Whether it takes connections; false where it ended, since its port was taken.
fn answers(process: &Process, address: SocketAddr) -> bool {
    until("ratelimit listens", || {
        if process.has_ended() {
            return Some(false);
        }
        TcpStream::connect(address).ok().map(|_| true)
    })
}

fn binary() -> Option<PathBuf> {
    let cache = || match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => Some(PathBuf::from(cache)),
        None => Some(PathBuf::from(env::var_os("HOME")?).join(".cache")),
    };
    let path = cache().map(|cache| cache.join(format!("meltemi/ratelimit-{VERSION}/ratelimit")));
    let found = path.filter(|path| path.is_file());
    if found.is_none() {
        assert!(
            env::var_os("MELTEMI_REQUIRE_PEERS").is_none_or(|required| required != "1"),
            "no ratelimit: run scripts/install-ratelimit"
        );
        eprintln!("skipped: no ratelimit; scripts/install-ratelimit builds one");
    }
    found
}
