//! Kubernetes: a real kube-apiserver over a real etcd, with RBAC, and the kubectl that asks it.
//!
//! Nobody listens on a ClusterIP, and nothing runs a Pod by itself: what a kubelet or a controller would write is written
//! by the test, and [`Pod`] runs one. Or else [`Controllers`] make Pods, and [`Pods`] runs them all, on nodes with
//! networks.

mod account;
mod api_server;
mod bound;
mod container;
mod controller;
mod encrypted;
mod helm;
mod instance;
mod istiod;
mod keys;
mod kubectl;
mod pod;
mod pods;
mod programs;
mod requests;
mod store;
mod tokens;
mod uninstall;
mod workloads;

pub use account::{ROLES, Role, SIDECAR_ROLE, WAYPOINT_ROLE, controller_account, permit};
pub use api_server::ApiServer;
pub use container::Image;
pub use controller::{Controller, controller_binary};
pub use encrypted::{Encrypted, Mounted};
pub use helm::{Helm, charts};
pub use instance::Instance;
pub use istiod::Istiod;
pub use kubectl::Answer;
pub use pod::{Pod, own_address};
pub use pods::{Captured, Controllers, Pods, Via, Ztunnels};
pub use programs::Programs;
pub use tokens::Tokens;
pub use uninstall::{Hook, uninstall};
pub use workloads::{Address, Service, Workload, Workloads};

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
