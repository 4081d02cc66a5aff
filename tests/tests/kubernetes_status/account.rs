//! Who the controller is in the cluster.

use std::path::PathBuf;

use meltemi_tests::kubernetes::ApiServer;

/// What the reference says that the controller may do, and nothing more.
const REFERENCE: &str = include_str!("../../../docs/reference/cluster.md");

/// A kubeconfig of a service account that may do what the reference says.
pub(crate) fn service_account(cluster: &ApiServer) -> PathBuf {
    let roles = REFERENCE.split("```yaml\n").nth(1);
    let roles = roles.and_then(|rest| rest.split("```").next());
    let run = |arguments: &[&str]| cluster.kubectl(arguments).expect_success("it is made");
    run(&["create", "namespace", "istio-system"]);
    cluster.apply(roles.expect("the roles"));
    let namespace = ["-n", "istio-system"];
    run(&[&["create", "serviceaccount", "meltemi"][..], &namespace].concat());
    let account = "--serviceaccount=istio-system:meltemi";
    for (binding, role) in [
        ("clusterrolebinding", "--clusterrole=meltemi-controller"),
        ("rolebinding", "--role=meltemi-controller"),
    ] {
        let arguments = ["create", binding, "meltemi", account, role];
        run(&[&arguments[..], &namespace].concat());
    }
    let token = cluster.kubectl(&[&["create", "token", "meltemi"][..], &namespace].concat());
    token.expect_success("a token");
    cluster.kubeconfig_of("controller", token.stdout().trim())
}
