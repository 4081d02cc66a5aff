//! The Role that lets Secrets be read: these, and no others.

/// As YAML. To list and to watch one by its name is permitted by its name alone, which is all that is asked.
pub(super) fn manifests(namespace: &str, names: &[&str], account: Option<&str>) -> String {
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: Role\n\
         metadata: {{ name: {NAME}, namespace: {namespace} }}\n\
         rules:\n\
         - apiGroups: [\"\"]\n  \
           resources: [secrets]\n  \
           resourceNames: [{}]\n  \
           verbs: [list, watch]\n",
        names.join(", ")
    );
    let Some(subject) = account.map(subject) else {
        return role;
    };
    format!(
        "{role}---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: RoleBinding\n\
         metadata: {{ name: {NAME}, namespace: {namespace} }}\n\
         roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: {NAME} }}\n\
         subjects:\n\
         - {subject}\n"
    )
}

const NAME: &str = "meltemi-secrets";

/// A name such as `system:serviceaccount:istio-system:meltemi`, or that of a person.
fn subject(account: &str) -> String {
    let service_account = account.strip_prefix("system:serviceaccount:");
    match service_account.and_then(|it| it.split_once(':')) {
        Some((namespace, name)) => {
            format!("{{ kind: ServiceAccount, name: {name}, namespace: {namespace} }}")
        }
        None => format!("{{ kind: User, name: {account:?}, apiGroup: rbac.authorization.k8s.io }}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_names_what_is_read_and_who_reads() {
        let role = manifests("shop", &["tls", "tls-cacert"], None);
        assert!(role.contains("resourceNames: [tls, tls-cacert]"), "{role}");
        assert!(!role.contains("RoleBinding"), "{role}");
        let rows = [
            (
                "system:serviceaccount:istio-system:meltemi",
                "- { kind: ServiceAccount, name: meltemi, namespace: istio-system }",
            ),
            (
                "admin",
                "- { kind: User, name: \"admin\", apiGroup: rbac.authorization.k8s.io }",
            ),
        ];
        for (account, subject) in rows {
            let both = manifests("shop", &["tls"], Some(account));
            assert_eq!(both.lines().last(), Some(subject));
        }
    }
}
