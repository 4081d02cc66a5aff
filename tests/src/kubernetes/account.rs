//! The controller as somebody who may do what its chart permits, and nothing more.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{ApiServer, Instance};

/// A role of the chart.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    pub name: &'static str,
    /// None: it counts everywhere.
    pub namespace: Option<&'static str>,
    pub rules: &'static str,
}

/// What it may do where it keeps waypoints.
pub const WAYPOINT_ROLE: Role = Role {
    name: "meltemi-controller-waypoint",
    namespace: None,
    rules: include_str!("../../../charts/meltemi/files/waypoint-role.yaml"),
};

/// What it may do where it leads sidecars.
pub const SIDECAR_ROLE: Role = Role {
    name: "meltemi-controller-sidecar",
    namespace: None,
    rules: include_str!("../../../charts/meltemi/files/sidecar-role.yaml"),
};

/// What it may do everywhere, in its own namespace and in the root namespace.
pub const ROLES: [Role; 5] = [
    Role {
        name: NAME,
        namespace: None,
        rules: include_str!("../../../charts/meltemi/files/cluster-role.yaml"),
    },
    Role {
        name: NAME,
        namespace: Some(NAMESPACE),
        rules: include_str!("../../../charts/meltemi/files/role.yaml"),
    },
    Role {
        name: NAME,
        namespace: Some("istio-system"),
        rules: include_str!("../../../charts/meltemi/files/root-role.yaml"),
    },
    WAYPOINT_ROLE,
    SIDECAR_ROLE,
];

/// A kubeconfig of its service account, with its roles bound to it.
///
/// # Panics
/// When something of it cannot be made.
#[must_use]
pub fn controller_account(cluster: &ApiServer) -> PathBuf {
    cluster.create_namespaces(&["istio-system", NAMESPACE]);
    for role in ROLES {
        let rules: Value = serde_saphyr::from_str(role.rules).expect("rules");
        permit(cluster, role, &rules["rules"]);
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

/// Binds a role with these rules to it, in the place of the one before.
///
/// # Panics
/// When it is refused.
pub fn permit(cluster: &Instance, role: Role, rules: &Value) {
    let kind = match role.namespace {
        Some(_) => "Role",
        None => "ClusterRole",
    };
    let mut metadata = json!({ "name": role.name });
    if let Some(namespace) = role.namespace {
        metadata["namespace"] = json!(namespace);
    }
    let binding = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": format!("{kind}Binding"), "metadata": metadata,
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role.name},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
    });
    let role = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata, "rules": rules,
    });
    cluster.apply(&role.to_string());
    cluster.apply(&binding.to_string());
}

const GROUP: &str = "rbac.authorization.k8s.io";
const NAME: &str = "meltemi-controller";
const NAMESPACE: &str = "meltemi-system";
