//! Envoy 1.40 with the filter of the protocol, one worker.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use super::{Contender, Kind, Setup, Start, wrapped};
use crate::process::{Process, free_address};
use crate::wire::{DUBBO_METHOD, INTERFACE, Protocol, THRIFT_METHOD};

pub(super) fn start(setup: &Setup) -> Result<Start> {
    let Some(program) = program().filter(|program| program.is_file()) else {
        return Ok(Start::Absent(
            "run scripts/install-proxies, or name the binary in MELTEMI_ENVOY".to_owned(),
        ));
    };
    let listen = free_address()?;
    let config = setup.dir.join("envoy.yaml");
    fs::write(&config, bootstrap(listen, setup))?;
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

/// The default of 1 MiB holds no message of 1 MiB with its head.
const BUFFERS: u32 = 8 * 1024 * 1024;

/// Limits that this load does not reach.
fn bootstrap(listen: SocketAddr, setup: &Setup) -> String {
    let endpoints: String = setup
        .endpoints
        .iter()
        .map(|endpoint| {
            let (ip, port) = (endpoint.ip(), endpoint.port());
            format!(
                "
        - endpoint:
            address: {{socket_address: {{address: {ip}, port_value: {port}}}}}"
            )
        })
        .collect();
    let (filter, balancer) = match setup.protocol {
        Protocol::Dubbo => (dubbo(), "ROUND_ROBIN"),
        Protocol::Redis => (redis(), "MAGLEV"),
        Protocol::Thrift => (thrift(), "ROUND_ROBIN"),
    };
    let (ip, port) = (listen.ip(), listen.port());
    format!(
        "static_resources:
  listeners:
  - name: bench
    address: {{socket_address: {{address: {ip}, port_value: {port}}}}}
    per_connection_buffer_limit_bytes: {BUFFERS}
    filter_chains:
    - filters:
{filter}
  clusters:
  - name: echo
    type: STATIC
    lb_policy: {balancer}
    connect_timeout: 5s
    per_connection_buffer_limit_bytes: {BUFFERS}
    circuit_breakers:
      thresholds:
      - {{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}}
    load_assignment:
      cluster_name: echo
      endpoints:
      - lb_endpoints:{endpoints}
"
    )
}

/// Two routes, so that the method decides.
fn dubbo() -> String {
    format!(
        r#"      - name: envoy.filters.network.dubbo_proxy
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
            - match: {{method: {{name: {{exact: {DUBBO_METHOD}}}}}}}
              route: {{cluster: echo}}
          dubbo_filters:
          - name: envoy.filters.dubbo.router
            config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.router.v3.Router"#
    )
}

fn redis() -> String {
    r#"      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: bench
          settings: {op_timeout: 10s}
          prefix_routes: {catch_all_route: {cluster: echo}}"#
        .to_owned()
}

/// Two routes, so that the method decides.
fn thrift() -> String {
    format!(
        r#"      - name: envoy.filters.network.thrift_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy
          stat_prefix: bench
          transport: FRAMED
          protocol: BINARY
          route_config:
            name: bench
            routes:
            - match: {{method_name: another}}
              route: {{cluster: echo}}
            - match: {{method_name: {THRIFT_METHOD}}}
              route: {{cluster: echo}}"#
    )
}
