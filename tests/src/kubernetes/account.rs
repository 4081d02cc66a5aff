//! The controller as somebody who may do what its reference says, and nothing more.

use std::path::PathBuf;

use super::ApiServer;

const REFERENCE: &str = include_str!("../../../docs/reference/cluster.md");

/// A kubeconfig of its service account, with the roles of the reference bound to it.
///
/// # Panics
/// When something of it cannot be made.
#[must_use]
pub fn controller_account(cluster: &ApiServer) -> PathBuf {
    let section = REFERENCE.split("## What it may do\n").nth(1);
    let roles = section.and_then(|rest| rest.split("```yaml\n").nth(1));
    let roles = roles.and_then(|rest| rest.split("```").next());
    let roles = roles.expect("the roles");
    let run = |arguments: &[&str]| cluster.kubectl(arguments).expect_success("it is made");
    for namespace in ["istio-system", NAMESPACE] {
        run(&["create", "namespace", namespace]);
    }
    cluster.apply(roles);
    run(&["create", "serviceaccount", NAME, "-n", NAMESPACE]);
    let account = format!("--serviceaccount={NAMESPACE}:{NAME}");
    let role = format!("--clusterrole={NAME}");
    run(&["create", "clusterrolebinding", NAME, &account, &role]);
    let role = format!("--role={NAME}");
    for namespace in ["istio-system", NAMESPACE] {
        run(&[
            "create",
            "rolebinding",
            NAME,
            &account,
            &role,
            "-n",
            namespace,
        ]);
    }
    let token = cluster.kubectl(&["create", "token", NAME, "-n", NAMESPACE]);
    token.expect_success("a token");
    cluster.kubeconfig_of("controller", token.stdout().trim())
}

const NAME: &str = "meltemi-controller";
const NAMESPACE: &str = "meltemi-system";
