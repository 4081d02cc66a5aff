//! A real redis-server on a port of the system's choice.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::Wire;
use crate::process::Process;
use crate::wait::until;

/// A running redis-server; its data is gone when it is dropped.
pub struct Server {
    process: Process,
    address: SocketAddr,
    _directory: TempDir,
}

impl Server {
    /// Whether redis-server is installed. Where it is not, a line says so and the test passes,
    /// unless `MELTEMI_REQUIRE_PEERS=1`.
    ///
    /// # Panics
    /// When it is required and missing.
    pub fn is_installed() -> bool {
        let version = Command::new("redis-server").arg("--version").output();
        let installed = version.is_ok_and(|output| output.status.success());
        if !installed {
            let required = env::var_os("MELTEMI_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(
                !required,
                "redis-server is not installed: run scripts/install-redis-suite"
            );
            eprintln!(
                "skipped: redis-server is not installed; scripts/install-redis-suite does it"
            );
        }
        installed
    }

    /// # Panics
    /// When it does not start.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_program("redis-server".as_ref(), arguments)
    }

    /// [`Self::start`] of another program of its kind.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_program(program: &Path, arguments: &[&str]) -> Self {
        // A port is free until somebody takes it: then the next one is tried.
        let mut started = (0..20).filter_map(|_| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            Self::try_start(program, address, arguments)
        });
        started.next().expect("redis-server starts")
    }

    /// One at each of these addresses, all at the same port.
    ///
    /// # Panics
    /// When one does not start.
    #[must_use]
    pub fn start_together(ips: &[Ipv4Addr]) -> Vec<Self> {
        let mut started = (0..20).filter_map(|_| {
            let port = free_port();
            let servers = ips.iter().map(|ip| {
                let address = SocketAddr::from((*ip, port));
                Self::try_start("redis-server".as_ref(), address, &[])
            });
            servers.collect()
        });
        started.next().expect("redis-servers start")
    }

    /// None where the port is taken.
    fn try_start(program: &Path, address: SocketAddr, arguments: &[&str]) -> Option<Self> {
        let directory = TempDir::with_prefix("meltemi-redis-").expect("a temporary directory");
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new(program);
        command
            .current_dir(directory.path())
            .args(["--bind", &ip, "--port", &port])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--enable-debug-command", "yes"])
            .args(arguments);
        let process = Process::spawn("redis-server", &mut command);
        answers(&process, address).then_some(Self {
            process,
            address,
            _directory: directory,
        })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A connection to it, without a proxy.
    #[must_use]
    pub fn connect(&self) -> Wire {
        Wire::connect(self.address)
    }
}

/// A port of loopback that nobody has, until somebody takes it.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of the system's choice");
    listener.local_addr().expect("it is bound").port()
}

/// Whether it takes connections; false where it ended, since its port was taken.
pub(super) fn answers(process: &Process, address: SocketAddr) -> bool {
    until("redis-server answers", || {
        let lines = process.lines().join("\n");
        if lines.contains("Address already in use") || lines.contains("Failed listening") {
            return Some(false);
        }
        lines
            .contains("Ready to accept connections")
            .then(|| std::net::TcpStream::connect(address).is_ok())
    })
}
