//! A controller that can be kept from hearing of its API server.

use std::fs;
use std::path::PathBuf;

use meltemi_tests::kubernetes::{ApiServer, Controller};
use meltemi_tests::relay::Gate;
use tempfile::TempDir;

/// Asks its API server through a gate.
pub(crate) struct Replica {
    pub(crate) controller: Controller,
    /// While it is held nothing of the API server comes to it.
    pub(crate) gate: Gate,
    _directory: TempDir,
}

impl Replica {
    pub(crate) fn start(cluster: &ApiServer) -> Self {
        let directory = TempDir::with_prefix("meltemi-lag-").expect("a temporary directory");
        let (kubeconfig, gate) = through_gate(cluster, &directory);
        Self {
            controller: Controller::start(&kubeconfig),
            gate,
            _directory: directory,
        }
    }
}

/// That of the cluster, but that all of it goes through the gate.
fn through_gate(cluster: &ApiServer, directory: &TempDir) -> (PathBuf, Gate) {
    let text = fs::read_to_string(cluster.kubeconfig()).expect("a kubeconfig");
    let (_, rest) = text.split_once("https://").expect("a server");
    let server: String = rest
        .chars()
        .take_while(|it| it.is_ascii_digit() || ['.', ':'].contains(it))
        .collect();
    let gate = Gate::to(server.parse().expect("an address"));
    let path = directory.path().join("kubeconfig");
    let changed = text.replace(&server, &gate.address().to_string());
    fs::write(&path, changed).expect("it can be written");
    (path, gate)
}
