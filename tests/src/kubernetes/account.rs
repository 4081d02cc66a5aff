//! The controller as somebody who may do what its chart permits, and nothing more.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{ApiServer, Instance};

/// What it may do everywhere, in its own namespace and in the root namespace.
pub const RULES: [(Option<&str>, &str); 3] = [
    (
        None,
        include_str!("../../../charts/meltemi/files/cluster-role.yaml"),
    ),
    (
        Some(NAMESPACE),
        include_str!("../../../charts/meltemi/files/role.yaml"),
    ),
    (
        Some("istio-system"),
        include_str!("../../../charts/meltemi/files/root-role.yaml"),
    ),
];

/// A kubeconfig of its service account, with its roles bound to it.
///
/// # Panics
/// When something of it cannot be made.
#[must_use]
pub fn controller_account(cluster: &ApiServer) -> PathBuf {
    cluster.create_namespaces(&["istio-system", NAMESPACE]);
    for (namespace, rules) in RULES {
        let rules: Value = serde_saphyr::from_str(rules).expect("rules");
        permit(cluster, namespace, &rules["rules"]);
    }
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
    });
    cluster.apply(&account.to_string());
    let token = cluster.kubectl(&["create", "token", NAME, "-n", NAMESPACE]);
    token.expect_success("a token");
    cluster.kubeconfig_of("controller", token.stdout().trim())
}

/// Binds a role with these rules to it, in a namespace or everywhere, in the place of the one before.
///
/// # Panics
/// When it is refused.
pub fn permit(cluster: &Instance, namespace: Option<&str>, rules: &Value) {
    let kind = match namespace {
        Some(_) => "Role",
        None => "ClusterRole",
    };
    let mut metadata = json!({ "name": NAME });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let role = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata, "rules": rules,
    });
    let binding = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": format!("{kind}Binding"), "metadata": metadata,
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    });
    cluster.apply(&role.to_string());
    cluster.apply(&binding.to_string());
}

const GROUP: &str = "rbac.authorization.k8s.io";
const NAME: &str = "meltemi-controller";
const NAMESPACE: &str = "meltemi-system";
