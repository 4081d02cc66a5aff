//! Whether a peer is who it should be.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use crate::name::presented;
use crate::{PeerName, Trust, provider};

/// The chain as rustls verifies it, and any of these names; without names any will do, as in Envoy.
#[derive(Debug)]
pub(crate) struct Named {
    chain: Arc<WebPkiServerVerifier>,
    names: Vec<PeerName>,
}

impl Named {
    pub(crate) fn new(trust: &Trust, names: Vec<PeerName>) -> Self {
        Self {
            chain: Arc::clone(&trust.chain),
            names,
        }
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .chain
            .verify_server_cert(certificate, intermediates, server, ocsp, now);
        match verified {
            // The name is compared last, when all else holds; which names will do we know better.
            Ok(_)
            | Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {}
            Err(error) => return Err(error),
        }
        check_name(&self.names, certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Any of these names; without names any will do.
fn check_name(names: &[PeerName], certificate: &CertificateDer<'_>) -> Result<(), Error> {
    if names.is_empty() || names.iter().any(|name| name.is_of(certificate)) {
        return Ok(());
    }
    let mismatch = Mismatch {
        expected: names.to_vec(),
        presented: presented(certificate),
    };
    Err(Error::InvalidCertificate(CertificateError::Other(
        OtherError(Arc::new(mismatch)),
    )))
}

/// Clients of these authorities, with any of these names.
#[derive(Debug)]
pub(crate) struct KnownClients {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<PeerName>,
}

impl KnownClients {
    pub(crate) fn new(trust: &Trust, names: Vec<PeerName>, required: bool) -> Result<Self, Error> {
        let chain = trust.clients(required)?;
        Ok(Self { chain, names })
    }
}

impl ClientCertVerifier for KnownClients {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(certificate, intermediates, now)?;
        check_name(&self.names, certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// A good certificate of somebody else.
#[derive(Debug)]
struct Mismatch {
    expected: Vec<PeerName>,
    presented: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected: Vec<_> = self.expected.iter().map(ToString::to_string).collect();
        let presented = match self.presented.as_slice() {
            [] => "no name".to_owned(),
            names => names.join(", "),
        };
        let expected = expected.join(" or ");
        write!(f, "it is for {presented}, and {expected} was expected")
    }
}

impl std::error::Error for Mismatch {}

/// What went wrong in a handshake, for people: rustls prints a [`Mismatch`] as what it is made of.
#[must_use]
pub fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(reason)) => {
            format!("invalid peer certificate: {}", reason.0)
        }
        _ => error.to_string(),
    }
}

/// Whoever it is, as long as it has the key of the certificate that it shows.
#[derive(Debug)]
pub(crate) struct Anybody(Arc<CryptoProvider>);

impl Anybody {
    pub(crate) fn new() -> Self {
        Self(provider())
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
