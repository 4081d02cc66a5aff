//! The manifests that Meltemi is configured by.

use std::fmt::Write;

use super::super::{Kind, Setup};
use crate::wire::{DUBBO_METHOD, GROUP, INTERFACE, Protocol, THRIFT_METHOD};

/// The service.
pub(crate) const HOST: &str = "echo.bench.test";
/// A name of our own for Thrift with other settings.
const PIPELINE: &str = "thriftpipeline";

/// The name of the server, and of the service's port.
pub(super) const SERVER: &str = "bench";

pub(crate) fn manifests(kind: Kind, setup: &Setup) -> String {
    let mut text = server(port_name(kind, setup.protocol));
    text.push_str(&service(kind, setup));
    text.push_str(&match setup.protocol {
        Protocol::Redis => redis(),
        _ if kind == Kind::MeltemiCatchAll => meta_router(CATCH_ALL),
        Protocol::Dubbo if kind == Kind::MeltemiPolicy => policy(DUBBO_METHOD),
        Protocol::Thrift if kind == Kind::MeltemiPolicy => policy(THRIFT_METHOD),
        Protocol::Dubbo => meta_router(&two_routes(dubbo_route(kind))),
        Protocol::Thrift => meta_router(&two_routes(thrift_route())),
    });
    if setup.protocol == Protocol::Thrift && kind.shares_in_order() {
        text.push_str(&pipeline());
    }
    text
}

fn port_name(kind: Kind, protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Dubbo => "tcp-metaprotocol-dubbo",
        Protocol::Redis => "tcp-redis",
        Protocol::Thrift if kind.shares_in_order() => "tcp-metaprotocol-thriftpipeline",
        Protocol::Thrift => "tcp-thrift",
    }
}

fn server(port: &str) -> String {
    format!(
        r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: bench}}
spec:
  servers:
  - name: {SERVER}
    bind: 127.0.0.1
    port: {{number: 0, name: {port}, protocol: TCP}}
    hosts: ["*"]
---
"#
    )
}

fn service(kind: Kind, setup: &Setup) -> String {
    let port = port_name(kind, setup.protocol);
    let mut text = format!(
        r#"apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: echo}}
spec:
  hosts: [{HOST}]
  ports:
  - {{number: 20880, name: {port}, protocol: TCP}}
  resolution: STATIC
  endpoints:
"#
    );
    for endpoint in &setup.endpoints {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "  - {{address: {}, ports: {{{port}: {}}}}}",
            endpoint.ip(),
            endpoint.port()
        );
    }
    text.push_str("---\n");
    text
}

/// The attributes of this load's calls, after those of calls that nobody makes.
type Matches = [String; 2];

fn dubbo_route(kind: Kind) -> Matches {
    if kind == Kind::MeltemiGroup {
        [
            "group: {exact: another}".to_owned(),
            format!("group: {{exact: {GROUP}}}"),
        ]
    } else {
        ["another", DUBBO_METHOD]
            .map(|method| format!("interface: {{exact: {INTERFACE}}}, method: {{exact: {method}}}"))
    }
}

fn thrift_route() -> Matches {
    ["another", THRIFT_METHOD].map(|method| format!("method: {{exact: {method}}}"))
}

/// A MetaRouter, and what else its spec says.
fn meta_router(spec: &str) -> String {
    format!(
        r#"apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {{name: bench}}
spec:
  hosts: [{HOST}]
  gateways: [bench]
{spec}"#
    )
}

/// Routes that say nothing: everything goes to the host.
const CATCH_ALL: &str = "  routes: []\n";

/// Two routes, so that the attributes decide.
fn two_routes([another, matches]: Matches) -> String {
    let destination = format!("destination: {{host: {HOST}, port: {{number: 20880}}}}");
    format!(
        r#"  routes:
  - name: another
    match: {{attributes: {{{another}}}}}
    route:
    - {destination}
  - name: echo
    match: {{attributes: {{{matches}}}}}
    route:
    - {destination}
"#
    )
}

/// Routes of which the last is this load's, each with a timeout and retries; a limit that nothing
/// reaches; outlier detection.
fn policy(method: &str) -> String {
    const ROUTES: usize = 1_000;
    let mut spec = String::from(
        "  localRateLimit:\n    tokenBucket: {maxTokens: 100000000, tokensPerFill: 100000000, fillInterval: 1s}\n  routes:\n",
    );
    let others = (1..ROUTES).map(|number| format!("another{number}"));
    for method in others.chain([method.to_owned()]) {
        let _ = write!(
            spec,
            r#"  - match: {{attributes: {{method: {{exact: {method}}}}}}}
    timeout: 5s
    retries: {{attempts: 2, perTryTimeout: 2s, retryOn: "connect-failure,reset-before-bytes,timeout"}}
    route:
    - destination: {{host: {HOST}, port: {{number: 20880}}}}
"#
        );
    }
    meta_router(&spec) + &outlier_detection()
}

fn outlier_detection() -> String {
    format!(
        r#"---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: bench}}
spec:
  host: {HOST}
  trafficPolicy:
    outlierDetection: {{consecutive5xxErrors: 5, interval: 10s, baseEjectionTime: 30s}}
"#
    )
}

/// The hash of the key decides among the servers, as in Envoy and nutcracker.
fn redis() -> String {
    format!(
        r#"apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {{name: bench}}
spec:
  host: [{HOST}]
  gateways: [bench]
  redis:
  - route: {{host: {HOST}, port: 20880}}
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {{name: bench}}
spec:
  host: {HOST}
  trafficPolicy:
    connectionPool:
      redis: {{mode: PROXY}}
"#
    )
}

/// As many calls on one connection as there are: then all clients share one, as on the floor.
fn pipeline() -> String {
    format!(
        r#"---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: ApplicationProtocol
metadata: {{name: bench}}
spec:
  protocol: {PIPELINE}
  codec: thrift
  settings: {{sharing: pipeline, depth: "1024"}}
"#
    )
}
