//! Kubernetes: a real kube-apiserver over a real etcd, with RBAC, and the kubectl that asks it.
//!
//! Nothing runs a Pod and nobody listens on a ClusterIP: what a kubelet or a controller would write is written by the
//! test.

mod api_server;
mod controller;
mod kubectl;
mod programs;

pub use api_server::ApiServer;
pub use controller::Controller;
pub use kubectl::Answer;
pub use programs::Programs;
