//! The manifests of a service whose endpoints come from elsewhere.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// The name of the server.
pub(super) const SERVER: &str = "bench";
const HOST: &str = "echo.bench.test";

/// How the proxy chooses among the endpoints.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    LeastRequest,
    RoundRobin,
    /// By the client's address, in a table of 65,537.
    Maglev,
    /// By the client's address, in a ring of at least 1,024 points.
    RingHash,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeastRequest => "LEAST_REQUEST",
            Self::RoundRobin => "ROUND_ROBIN",
            Self::Maglev => "Maglev",
            Self::RingHash => "ring hash",
        })
    }
}

impl Policy {
    fn load_balancer(self) -> &'static str {
        match self {
            Self::LeastRequest => "{simple: LEAST_REQUEST}",
            Self::RoundRobin => "{simple: ROUND_ROBIN}",
            Self::Maglev => "{consistentHash: {useSourceIp: true, maglev: {}}}",
            Self::RingHash => "{consistentHash: {useSourceIp: true, ringHash: {}}}",
        }
    }
}

pub(super) fn manifests(policy: Policy, outlier: bool) -> String {
    let balancer = policy.load_balancer();
    let outlier = match outlier {
        true => {
            "    outlierDetection: {consecutive5xxErrors: 5, interval: 1s, baseEjectionTime: 30s}\n"
        }
        false => "",
    };
    format!(
        r#"apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: bench}}
spec:
  servers:
  - name: {SERVER}
    bind: 127.0.0.1
    port: {{number: 0, name: tcp-dubbo, protocol: TCP}}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: echo}}
spec:
  hosts: [{HOST}]
  ports:
  - {{number: 20880, name: tcp-dubbo, protocol: TCP}}
  resolution: STATIC
  endpoints:
  - {{address: 127.0.0.1}}
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {{name: bench}}
spec:
  hosts: [{HOST}]
  gateways: [bench]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: bench}}
spec:
  host: {HOST}
  trafficPolicy:
    loadBalancer: {balancer}
{outlier}"#
    )
}
