//! Redis: real servers, alone and as a cluster, Redis' own test suite, and a client that speaks RESP
//! by hand.

mod client;
pub mod cluster;
mod peers;
mod proxied;
pub mod script;
mod scripted;
mod server;
mod suite;
mod tls;
mod wire;

pub use client::Client;
pub use cluster::{Cluster, Node};
pub use peers::peers;
pub use proxied::Proxied;
pub use scripted::{Asked, Scripted, pipeline};
pub use server::Server;
pub use server::free_port;
pub use suite::{Suite, Verdict, Verdicts};
pub use tls::Encrypted;
pub use wire::{Wire, encode};

use crate::manifests::Manifests;
use std::net::SocketAddr;

/// A Gateway `edge` with one server `redis` on a port of the system's choice, and the service
/// `cache.demo` with these endpoints behind it.
#[must_use]
pub fn manifests(endpoints: &[SocketAddr]) -> Manifests {
    let manifests = Manifests::new();
    manifests.write("gateway.yaml", GATEWAY);
    manifests.write("service.yaml", &service("cache.demo", endpoints));
    manifests.write("routes.yaml", ROUTES);
    manifests
}

/// The ServiceEntry of a host.
#[must_use]
pub fn service(host: &str, endpoints: &[SocketAddr]) -> String {
    use std::fmt::Write;
    let name = host.split('.').next().unwrap_or(host);
    let mut text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: {name}\nspec:\n  \
         hosts: [{host}]\n  ports:\n    - {{ number: 6379, name: tcp-redis, protocol: TCP }}\n  \
         location: MESH_INTERNAL\n  resolution: STATIC\n  endpoints:\n"
    );
    for endpoint in endpoints {
        let _ = write!(
            text,
            "    - address: {}\n      ports: {{ tcp-redis: {} }}\n",
            endpoint.ip(),
            endpoint.port()
        );
    }
    text
}

const GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: edge
spec:
  servers:
    - name: redis
      bind: 127.0.0.1
      port: { number: 0, name: tcp-redis, protocol: TCP }
      hosts: ['*']
";

const ROUTES: &str = "\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata:
  name: cache
spec:
  hosts: [cache.demo]
  gateways: [edge]
";
