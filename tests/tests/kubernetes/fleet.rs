//! `meltemi status` of every replica in a cluster.

use std::env;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

use meltemi_tests::kubernetes::{
    ApiServer, Controller, REDIS_GATEWAY as GATEWAY, controller_account,
};
use meltemi_tests::{binary, until};
use serde_json::Value;

/// What the command says of the controllers of a cluster: its code and its JSON.
fn status(kubeconfig: &Path) -> (Option<i32>, Value, String) {
    let mut command = Command::new(binary());
    command.args(["status", "--output", "json", "--kubeconfig"]);
    let output = command.arg(kubeconfig).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let page = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), page, said)
}

fn list<'a>(page: &'a Value, name: &str) -> &'a [Value] {
    page[name].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn every_replica_is_asked() {
    let Some(cluster) = ApiServer::with_definitions() else {
        return;
    };
    cluster.apply(GATEWAY);
    let account = controller_account(&cluster);
    let admin = cluster.kubeconfig();
    let (code, _, said) = status(&admin);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("no controller has a Lease in namespace meltemi-system"),
        "{said}"
    );

    let first = Controller::start(&account);
    let second = Controller::start(&account);
    let _proxies = [first.proxy(), second.proxy()];
    let page = until("both replicas tell of their proxies", || {
        let (code, page, _) = status(&admin);
        let replicas = list(&page, "replicas");
        let proxies = replicas
            .iter()
            .map(|replica| list(replica, "proxies").len());
        let is_all = code == Some(0) && proxies.eq([1, 1]);
        is_all.then_some(page)
    });
    let leads = list(&page, "replicas")
        .iter()
        .filter(|it| it["leads"] == true);
    assert_eq!(leads.count(), 1, "{page}");

    // Of the one that is gone it says so, as long as its Lease is there.
    let address = second.admin().to_string();
    drop(second);
    let (code, page, _) = status(&admin);
    assert_eq!(code, Some(1));
    assert_eq!(list(&page, "silent")[0]["address"], address, "{page}");
    a_pod_is_asked_by_the_api_server(&cluster, first);
}

const NO_ADDRESS: &str =
    "this machine has no address but loopback, which the API server asks no pod at";

/// The address of this machine by which others reach it; the API server connects to no pod on loopback.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// The machine stands in for a pod of its name.
fn a_pod_is_asked_by_the_api_server(cluster: &ApiServer, first: Controller) {
    let Some(address) = own_address() else {
        let is_required = env::var_os("MELTEMI_REQUIRE_PEERS").is_some_and(|it| it == "1");
        assert!(!is_required, "{NO_ADDRESS}");
        eprintln!("skipped: {NO_ADDRESS}");
        return;
    };
    let admin = SocketAddr::new(address, 0).to_string();
    let replica = first.restarted_with(&["--admin", &admin]);
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let name = name.trim();
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: meltemi-system}}\n\
         spec: {{containers: [{{name: c, image: i}}]}}\n"
    ));
    let status_of_pod =
        serde_json::json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}});
    let patch = status_of_pod.to_string();
    let patch = [
        "patch",
        "pod",
        name,
        "-n",
        "meltemi-system",
        "--subresource=status",
        "-p",
        &patch,
    ];
    cluster
        .kubectl(&patch)
        .expect_success("its address is known");
    let port = replica.admin().port();
    until("the API server asks it", || {
        let (_, page, _) = status(&cluster.kubeconfig());
        let mut replicas = list(&page, "replicas").iter();
        replicas.find(|it| it["name"] == name).map(drop)
    });
    // Others are at addresses that the pod does not have: the answer says what to do.
    let (_, page, _) = status(&cluster.kubeconfig());
    let silent = page["silent"].to_string();
    assert!(silent.contains("port-forward pod/"), "{port} {silent}");
}
