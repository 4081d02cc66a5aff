//! What a token says, and whether that is so.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;

use super::GRACE;
use super::keys::Keys;
use crate::ads::admission::{Refused, Token};
use crate::ads::identity::{Identity, Pod};

/// Those of Kubernetes' own keys.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384];

/// What a token has proven.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) identity: Identity,
    /// In seconds since 1970.
    pub(super) expires: u64,
}

/// How a token is signed.
#[derive(Debug)]
pub(super) struct Header {
    algorithm: Algorithm,
    pub(super) key: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Bound>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: Object,
    pod: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    name: String,
    uid: String,
}

/// What is wrong with the form of a token.
fn malformed(error: &jsonwebtoken::errors::Error) -> Refused {
    Refused::NotAToken(match error.kind() {
        ErrorKind::InvalidToken => "it has other than three parts".to_owned(),
        ErrorKind::Base64(_) | ErrorKind::Utf8(_) => "it is not encoded as one".to_owned(),
        // These words of serde hold no value but names of algorithms.
        ErrorKind::Json(_) => "its content is that of something else".to_owned(),
        other => format!("{other:?}"),
    })
}

/// Not yet believed.
pub(super) fn header(token: &Token) -> Result<Header, Refused> {
    let header = jsonwebtoken::decode_header(token.as_str());
    let header = header.map_err(|error| malformed(&error))?;
    if !ALGORITHMS.contains(&header.alg) {
        let algorithm = header.alg;
        let reason = format!("it is signed by {algorithm:?}");
        return Err(Refused::NotAToken(reason));
    }
    Ok(Header {
        algorithm: header.alg,
        key: header.kid.unwrap_or_default(),
    })
}

/// As of `now`, in seconds since 1970.
pub(super) fn verify(
    (token, header): (&Token, &Header),
    keys: &Keys,
    audience: &str,
    now: u64,
) -> Result<Verified, Refused> {
    let key = keys.get(&header.key);
    let key = key.ok_or_else(|| Refused::UnknownKey(header.key.clone()))?;
    // The signature is its business, the claims are ours: they are judged by a time that is an argument.
    let mut validation = Validation::new(header.algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Claims>(token.as_str(), key, &validation);
    let claims = decoded.map_err(|error| match error.kind() {
        // Also where the key is one of another algorithm.
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm | ErrorKind::InvalidKeyFormat => {
            Refused::Signature
        }
        _ => malformed(&error),
    })?;
    claims.claims.check(&keys.issuer, audience, now)
}

/// Of a token that the API server itself has accepted: when it expires.
pub(super) fn expires(token: &Token) -> Option<u64> {
    let claims = jsonwebtoken::dangerous::insecure_decode::<Claims>(token.as_str());
    Some(claims.ok()?.claims.exp)
}

impl Claims {
    fn check(self, issuer: &str, audience: &str, now: u64) -> Result<Verified, Refused> {
        let grace = GRACE.as_secs();
        if self.iss != issuer {
            return Err(Refused::Issuer(self.iss));
        }
        let audiences = match self.aud {
            Audience::One(audience) => vec![audience],
            Audience::Many(audiences) => audiences,
        };
        if !audiences.iter().any(|found| found == audience) {
            return Err(Refused::Audience {
                found: audiences,
                wanted: audience.to_owned(),
            });
        }
        if now >= self.exp.saturating_add(grace) {
            return Err(Refused::Expired);
        }
        if now.saturating_add(grace) < self.nbf {
            return Err(Refused::NotYet);
        }
        let bound = self.kubernetes.ok_or(Refused::NotBound)?;
        let pod = bound.pod.ok_or(Refused::NotBound)?;
        Ok(Verified {
            identity: Identity {
                namespace: bound.namespace,
                service_account: bound.serviceaccount.name,
                pod: Pod {
                    name: pod.name,
                    uid: pod.uid,
                },
            },
            expires: self.exp,
        })
    }
}

#[cfg(test)]
mod tests;
