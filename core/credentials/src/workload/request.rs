//! One request to the CA: a new key, and the certificate for it.

use std::time::Duration;

use meltemi_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use meltemi_proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use meltemi_tls::{Identity, IdentityError, Trust, TrustError};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::CertificateAuthority;
use crate::{Token, Undiallable, encrypted};

/// How long the CA may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to ask, and how.
pub(super) struct Ca {
    channel: Channel,
    token: Token,
    cluster: MetadataValue<Ascii>,
    /// Seconds.
    lifetime: i64,
}

/// What it has given.
pub(super) struct Granted {
    pub(super) identity: Identity,
    /// In PEM; empty where it says nothing of roots.
    pub(super) roots: String,
}

/// Why it has given nothing. Nothing of a token or a key is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Token(String),
    #[error("no key can be made: {0}")]
    Key(#[from] rcgen::Error),
    #[error("{}: {}", .0.code(), told(.0))]
    Status(#[source] Status),
    #[error("the answer has no certificate")]
    Empty,
    #[error("what it gave cannot be used: {0}")]
    Identity(#[from] IdentityError),
    #[error("what it gave is for {0:?}, which is no SPIFFE id")]
    Nobody(String),
    #[error("what it gave cannot be used: {0}")]
    Trust(#[from] TrustError),
}

/// Where nobody answers, the reason lies behind.
fn told(status: &Status) -> String {
    let mut told = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let text = error.to_string();
        if !told.ends_with(&text) {
            told = format!("{told}: {text}");
        }
        source = error.source();
    }
    told
}

impl Ca {
    pub(super) fn new(asked: CertificateAuthority) -> Result<Self, Undiallable> {
        let cluster = asked.cluster.parse().map_err(|_| {
            let cluster = &asked.cluster;
            Undiallable::Credentials(format!("{cluster:?} cannot be the name of a cluster"))
        });
        Ok(Self {
            channel: encrypted(&asked.address, asked.roots, None)?,
            token: asked.token,
            cluster: cluster?,
            lifetime: i64::try_from(asked.lifetime.as_secs()).unwrap_or(i64::MAX),
        })
    }

    pub(super) async fn ask(&self) -> Result<Granted, Refusal> {
        let key = KeyPair::generate()?;
        let mut request = Request::new(IstioCertificateRequest {
            csr: csr(&key)?,
            validity_duration: self.lifetime,
            metadata: None,
        });
        let metadata = request.metadata_mut();
        let bearer = self.token.bearer().map_err(Refusal::Token)?;
        metadata.insert("authorization", bearer);
        metadata.insert("clusterid", self.cluster.clone());
        let mut client = IstioCertificateServiceClient::new(self.channel.clone());
        let answer = client.create_certificate(request);
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let late = |_| Err(Status::deadline_exceeded("it did not answer in time"));
        let answer = answer.unwrap_or_else(late).map_err(Refusal::Status)?;
        granted(answer.into_inner(), &key)
    }
}

/// The CA writes the name into the certificate that the token is of: none is asked for.
fn csr(key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key)?.pem()
}

/// The certificate first, what is between it and the root, and the roots last.
fn granted(answer: IstioCertificateResponse, key: &KeyPair) -> Result<Granted, Refusal> {
    let mut chain = answer.cert_chain;
    let roots = match chain.len() {
        0 => return Err(Refusal::Empty),
        1 => String::new(),
        _ => chain.pop().unwrap_or_default(),
    };
    if !roots.is_empty() {
        Trust::from_pem(roots.as_bytes(), None)?;
    }
    let chain = chain.join("\n");
    let identity = Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes())?;
    match identity.principal() {
        Some(principal) if principal.starts_with("spiffe://") => Ok(Granted { identity, roots }),
        other => Err(Refusal::Nobody(other.unwrap_or_default().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, IsCa, Issuer, SanType};

    use super::*;

    /// A root in PEM, and what it gives for a key.
    fn issued(key: &KeyPair, name: &str) -> (String, String) {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = KeyPair::generate().unwrap();
        let pem = root.self_signed(&root_key).unwrap().pem();
        let mut params = CertificateParams::default();
        params
            .subject_alt_names
            .push(SanType::URI(name.try_into().unwrap()));
        let signed = params.signed_by(key, &Issuer::new(root, root_key));
        (pem, signed.unwrap().pem())
    }

    #[test]
    fn the_last_of_an_answer_are_the_roots() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (root, own) = issued(&key, "spiffe://td/ns/a/sa/b");
        let (_, nobody) = issued(&key, "https://example.com");
        let rows: &[(&[&str], &KeyPair, Result<&str, &str>)] = &[
            (&[&own, &root], &key, Ok(&root)),
            (&[&own, &root, &root], &key, Ok(&root)),
            (&[&own], &key, Ok("")),
            (&[], &key, Err("no certificate")),
            (&["", &root], &key, Err("the certificate is not there")),
            (&[&own, "x"], &key, Err("the CA certificate is not there")),
            (&[&own, &root], &other, Err("not that of the certificate")),
            (&[&nobody, &root], &key, Err("no SPIFFE id")),
        ];
        for (chain, key, expected) in rows {
            let cert_chain = chain.iter().map(|pem| (*pem).to_owned()).collect();
            let found = granted(IstioCertificateResponse { cert_chain }, key);
            match (found, expected) {
                (Ok(granted), Ok(roots)) => assert_eq!(granted.roots, *roots),
                (Err(refusal), Err(words)) => {
                    let refusal = refusal.to_string();
                    assert!(refusal.contains(words), "{refusal}");
                    assert!(!refusal.contains("PRIVATE"));
                }
                (found, expected) => panic!("{:?} is not {expected:?}", found.map(|it| it.roots)),
            }
        }
    }

    #[test]
    fn a_request_names_nobody() {
        let key = KeyPair::generate().unwrap();
        let csr = csr(&key).unwrap();
        assert!(
            csr.starts_with("-----BEGIN CERTIFICATE REQUEST-----"),
            "{csr}"
        );
        assert!(key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256));
    }
}
