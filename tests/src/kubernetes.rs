//! Kubernetes: a real kube-apiserver over a real etcd, with RBAC, and the kubectl that asks it.
//!
//! Nothing runs a Pod and nobody listens on a ClusterIP: what a kubelet or a controller would write is written by the
//! test.

mod account;
mod api_server;
mod bound;
mod controller;
mod encrypted;
mod instance;
mod keys;
mod kubectl;
mod programs;
mod requests;
mod store;
mod tokens;

pub use account::{RULES, controller_account, permit};
pub use api_server::ApiServer;
pub use controller::Controller;
pub use encrypted::{Encrypted, Mounted};
pub use instance::Instance;
pub use kubectl::Answer;
pub use programs::Programs;
pub use tokens::Tokens;

/// A Gateway `default/edge` with one server, of Redis, at an address that the system picks.
pub const REDIS_GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  servers:
  - name: redis
    bind: 127.0.0.1
    port: {number: 0, name: tcp-redis, protocol: TCP}
    hosts: ['*']
";
