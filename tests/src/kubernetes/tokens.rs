//! Tokens of pods, and others.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::Value;

use super::ApiServer;

/// Makes tokens of one service account in the namespace `default`.
pub struct Tokens<'a> {
    cluster: &'a ApiServer,
    account: &'static str,
}

impl<'a> Tokens<'a> {
    /// Creates the service account.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn of_new(cluster: &'a ApiServer, account: &'static str) -> Self {
        let created = cluster.kubectl(&["create", "serviceaccount", account]);
        created.expect_success("a service account");
        Self { cluster, account }
    }

    /// Creates a pod, as there would be one if somebody ran it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn create_pod(&self, name: &str) {
        self.cluster.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: default}}\n\
             spec: {{serviceAccountName: {}, containers: [{{name: c, image: i}}]}}\n",
            self.account
        ));
    }

    /// What a kubelet would mount into the pod.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn of_pod(&self, name: &str, audience: &str) -> String {
        self.create(&[
            "--audience",
            audience,
            "--bound-object-kind",
            "Pod",
            "--bound-object-name",
            name,
        ])
    }

    /// One that is bound to nothing.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn unbound(&self, audience: &str) -> String {
        self.create(&["--audience", audience])
    }

    fn create(&self, arguments: &[&str]) -> String {
        let create = ["create", "token", self.account];
        let created = self.cluster.kubectl(&[&create, arguments].concat());
        created.expect_success("a token");
        created.stdout().trim().to_owned()
    }

    /// The same token with other claims, signed by the API server's own key, or by another one.
    ///
    /// # Panics
    /// When it is no token.
    #[must_use]
    pub fn changed(&self, token: &str, is_ours: bool, change: impl FnOnce(&mut Value)) -> String {
        let part = |n: usize| {
            let part = token.split('.').nth(n).expect("three parts");
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64");
            serde_json::from_slice::<Value>(&bytes).expect("JSON")
        };
        let mut claims = part(1);
        change(&mut claims);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = part(0)["kid"].as_str().map(str::to_owned);
        let key = match is_ours {
            true => {
                let pem = std::fs::read_to_string(self.cluster.path("accounts.key"));
                KeyPair::from_pem(&pem.expect("its key")).expect("a key")
            }
            false => KeyPair::generate().expect("a key"),
        };
        let key = EncodingKey::from_ec_der(&key.serialize_der());
        jsonwebtoken::encode(&header, &claims, &key).expect("a token")
    }
}
