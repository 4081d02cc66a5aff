//! Envoy 1.40 with `dubbo_proxy`, one worker.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use super::{Contender, Kind, Setup, Start, free_address, wrapped};
use crate::frame::{INTERFACE, METHOD};
use crate::process::Process;

pub(super) fn start(setup: &Setup) -> Result<Start> {
    let Some(program) = program().filter(|program| program.is_file()) else {
        return Ok(Start::Absent(
            "run scripts/install-envoy, or name the binary in MELTEMI_ENVOY".to_owned(),
        ));
    };
    let listen = free_address()?;
    let config = setup.dir.join("envoy.yaml");
    fs::write(&config, bootstrap(listen, setup.upstream))?;
    let mut command = wrapped(setup, &program);
    command
        .args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "error",
            "-c",
        ])
        .arg(config);
    let process = Process::start(Kind::Envoy.name(), &command, &setup.dir)?;
    Ok(Start::Running(Contender::behind(
        Kind::Envoy,
        listen,
        process,
    )))
}

/// `MELTEMI_ENVOY`, else where `scripts/install-envoy` puts it.
fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("MELTEMI_ENVOY") {
        return Some(path.into());
    }
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".cache"),
    };
    Some(cache.join("meltemi/envoy-1.40.0/envoy"))
}

/// Two routes, so that the method decides; limits that this load does not reach.
fn bootstrap(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        r#"static_resources:
  listeners:
  - name: dubbo
    address: {{socket_address: {{address: {}, port_value: {}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.dubbo_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy
          stat_prefix: bench
          protocol_type: Dubbo
          serialization_type: Hessian2
          route_config:
          - name: bench
            interface: {INTERFACE}
            routes:
            - match: {{method: {{name: {{exact: another}}}}}}
              route: {{cluster: echo}}
            - match: {{method: {{name: {{exact: {METHOD}}}}}}}
              route: {{cluster: echo}}
          dubbo_filters:
          - name: envoy.filters.dubbo.router
            config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.router.v3.Router
  clusters:
  - name: echo
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - {{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}}
    load_assignment:
      cluster_name: echo
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: {}, port_value: {}}}}}
"#,
        listen.ip(),
        listen.port(),
        upstream.ip(),
        upstream.port(),
    )
}
