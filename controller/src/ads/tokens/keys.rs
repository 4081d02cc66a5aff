//! The keys that the API server signs tokens with, as it publishes them for everybody who has a service account.

use std::collections::BTreeMap;
use std::fmt;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use kube::Client;
use serde::Deserialize;

/// Where every API server has them; what its configuration says of them may lead elsewhere.
const KEYS: &str = "/openid/v1/jwks";
const CONFIGURATION: &str = "/.well-known/openid-configuration";

/// By key id, with the issuer that they are of.
pub(super) struct Keys {
    pub(super) issuer: String,
    keys: BTreeMap<String, DecodingKey>,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
}

impl Keys {
    /// Keys of kinds that nobody here knows are left out.
    pub(super) fn new(issuer: String, set: &JwkSet) -> Self {
        let keys = set.keys.iter().filter_map(|key| {
            let id = key.common.key_id.clone()?;
            Some((id, DecodingKey::from_jwk(key).ok()?))
        });
        Self {
            issuer,
            keys: keys.collect(),
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&DecodingKey> {
        self.keys.get(id)
    }
}

/// Their ids.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

pub(super) async fn ask(client: &Client) -> Result<Keys, String> {
    let configuration: Configuration = get(client, CONFIGURATION).await?;
    let keys: JwkSet = get(client, KEYS).await?;
    Ok(Keys::new(configuration.issuer, &keys))
}

async fn get<T: for<'de> Deserialize<'de>>(client: &Client, path: &str) -> Result<T, String> {
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    let text = client.request_text(request).await;
    let text = text.map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
}
