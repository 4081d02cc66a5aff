//! haproxy in TCP mode, one thread.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use super::{Contender, Kind, Setup, Start, wrapped};
use crate::process::{Process, find_program, free_address};

pub(super) fn start(setup: &Setup) -> Result<Start> {
    let named = std::env::var_os("MELTEMI_HAPROXY").map(PathBuf::from);
    let Some(program) = named.or_else(|| find_program("haproxy")) else {
        return Ok(Start::Absent(
            "run scripts/install-proxies, or name the binary in MELTEMI_HAPROXY".to_owned(),
        ));
    };
    let listen = free_address()?;
    let config = setup.dir.join("haproxy.cfg");
    fs::write(&config, configuration(listen, setup.callees()?))?;
    let mut command = wrapped(setup, &program);
    command.args(["-db", "-q", "-f"]).arg(config);
    let process = Process::start(Kind::Haproxy.name(), &command, &setup.dir)?;
    Ok(Start::Running(Contender::behind(
        Kind::Haproxy,
        listen,
        process,
    )))
}

fn configuration(listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
    let servers = upstreams.iter().enumerate();
    let servers: String = servers
        .map(|(number, upstream)| format!("  server echo{number} {upstream}\n"))
        .collect();
    format!(
        "global
  nbthread 1
  maxconn 9900
defaults
  mode tcp
  timeout connect 5s
  timeout client 10m
  timeout server 10m
frontend bench
  bind {listen}
  default_backend echo
backend echo
{servers}"
    )
}
