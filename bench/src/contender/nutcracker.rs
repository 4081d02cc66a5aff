//! nutcracker (twemproxy), which has one thread.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use super::{Contender, Kind, Setup, Start, wrapped};
use crate::process::{Process, find_program, free_address};

pub(super) fn start(setup: &Setup) -> Result<Start> {
    let named = std::env::var_os("MELTEMI_NUTCRACKER").map(PathBuf::from);
    let Some(program) = named.or_else(|| find_program("nutcracker")) else {
        return Ok(Start::Absent(
            "run scripts/install-proxies, or name the binary in MELTEMI_NUTCRACKER".to_owned(),
        ));
    };
    let listen = free_address()?;
    let config = setup.dir.join("nutcracker.yml");
    fs::write(&config, configuration(listen, &setup.endpoints))?;
    let mut command = wrapped(setup, &program);
    command.arg("-c").arg(config);
    // Its statistics take a port, whether anybody reads them or not.
    let stats = free_address()?.port().to_string();
    command.args(["-a", "127.0.0.1", "-s", &stats]);
    let process = Process::start(Kind::Nutcracker.name(), &command, &setup.dir)?;
    Ok(Start::Running(Contender::behind(
        Kind::Nutcracker,
        listen,
        process,
    )))
}

fn configuration(listen: SocketAddr, endpoints: &[SocketAddr]) -> String {
    let mut text = format!(
        "bench:
  listen: {listen}
  backlog: 1024
  hash: fnv1a_64
  distribution: ketama
  redis: true
  preconnect: true
  auto_eject_hosts: false
  servers:
"
    );
    for endpoint in endpoints {
        // Writing to a String does not fail.
        let _ = writeln!(text, "   - {endpoint}:1");
    }
    text
}
