//! The real kube-controller-manager and kube-scheduler: whatever of Kubernetes is between an object that somebody writes
//! and a Pod on a node.

use std::env;
use std::process::Command;

use crate::kubernetes::{ApiServer, Programs};
use crate::process::Process;

/// Those that matter. Not that of nodes' lives, which would evict every Pod of a node that nobody renews a Lease for.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,\
    root-ca-certificate-publisher-controller,endpointslice-controller,deployment-controller,replicaset-controller,\
    disruption-controller,job-controller,horizontal-pod-autoscaler-controller";
const PROGRAMS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];
const INSTALL: &str = "scripts/install-k8s controllers";

/// Both; they end with their owner.
pub struct Controllers {
    _processes: [Process; 2],
}

impl Controllers {
    /// Whether they are built; that they are not is said.
    ///
    /// # Panics
    /// When they are not, and `MELTEMI_REQUIRE_PEERS=1`.
    #[must_use]
    pub fn are_installed(programs: &Programs) -> bool {
        let are_there = PROGRAMS.iter().all(|name| programs.path(name).exists());
        let are_required = env::var_os("MELTEMI_REQUIRE_PEERS").is_some_and(|it| it == "1");
        assert!(are_there || !are_required, "no controllers: run {INSTALL}");
        if !are_there {
            eprintln!("skipped: no kube-controller-manager; {INSTALL} builds one");
        }
        are_there
    }

    #[must_use]
    pub fn start(cluster: &ApiServer) -> Self {
        let command = |name: &str| {
            let mut command = Command::new(cluster.programs().path(name));
            command.arg("--kubeconfig").arg(cluster.kubeconfig());
            command.args(["--leader-elect=false", "--secure-port=0"]);
            command.args(["--kube-api-qps=200", "--kube-api-burst=400"]);
            command
        };
        let [manager, scheduler] = PROGRAMS;
        let mut manages = command(manager);
        manages
            .args(["--controllers", CONTROLLERS])
            // It asks for figures that nobody has, and keeps the number of replicas within its bounds.
            .args(["--horizontal-pod-autoscaler-sync-period", "1s"])
            .arg("--root-ca-file")
            .arg(cluster.path("ca.crt"))
            .arg("--service-account-private-key-file")
            .arg(cluster.path("accounts.key"));
        let manager = Process::spawn(manager, &mut manages);
        let scheduler = Process::spawn(scheduler, &mut command(scheduler));
        Self {
            _processes: [manager, scheduler],
        }
    }
}
