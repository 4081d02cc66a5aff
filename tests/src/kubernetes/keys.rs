//! The keys of a cluster, made as it starts, and the files that clients know it by.

use std::fs;
use std::path::Path;

use crate::certificates::{Authority, Pair, service_account_key};

/// An authority, the server's certificate, an administrator's, and the key of the tokens of service accounts.
pub(super) fn write_keys(directory: &Path, port: u16) {
    let write = |name: &str, text: &str| {
        fs::write(directory.join(name), text).expect("it can be written");
    };
    let write_pair = |name: &str, pair: &Pair| {
        write(&format!("{name}.crt"), &pair.certificate);
        write(&format!("{name}.key"), &pair.key);
    };
    let authority = Authority::new("meltemi-tests");
    write("ca.crt", authority.pem());
    // The last is that of its Service, by which pods know it.
    let names = [
        "127.0.0.1",
        "localhost",
        "kubernetes.default.svc",
        "10.96.0.1",
    ];
    write_pair("server", &authority.issue("kube-apiserver", &names));
    write_pair("admin", &authority.issue_member("admin", "system:masters"));
    let (private, public) = service_account_key();
    write("accounts.key", &private);
    write("accounts.pub", &public);
    let user = serde_json::json!({
        "client-certificate": directory.join("admin.crt"),
        "client-key": directory.join("admin.key"),
    });
    write("kubeconfig", &kubeconfig(directory, port, &user));
}

/// JSON is YAML.
pub(super) fn kubeconfig(directory: &Path, port: u16, user: &serde_json::Value) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": directory.join("ca.crt"),
        }}],
        "users": [{"name": "test", "user": user}],
    });
    config.to_string()
}
