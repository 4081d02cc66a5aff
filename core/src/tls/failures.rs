//! What went wrong with connections of a cluster or a listener: counted by kind, and told once in a
//! while.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};
use tracing::{debug, warn};

/// One peer's same failure is told again after this time.
const SILENCE: Duration = Duration::from_secs(10);
/// Peers that are remembered for it.
const REMEMBERED: usize = 1024;

/// Why a connection did not come to be, or broke, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What we would show or verify by is missing or broken.
    Unavailable,
    /// No version of TLS is spoken by both.
    Version,
    /// Nor is there a cipher, a group or a signature that both know.
    Incompatible,
    /// No listener at this address is for the name that the client asks for, or for clients that ask for none.
    UnknownName,
    /// What the peer says is not TLS.
    Plaintext,
    /// The client shows no certificate, and has to.
    NoCertificate,
    /// The peer's certificate is no more, or not yet, valid.
    Expired,
    /// It comes from nobody whom we believe.
    UnknownAuthority,
    /// It was revoked, or nothing says that it was not.
    Revoked,
    /// It is for another name.
    OtherName,
    /// It is wrong in another way.
    BadCertificate,
    /// The peer refuses our certificate, or that there is none.
    CertificateRefused,
    /// The peer refuses for another reason.
    Refused,
    /// The handshake took too long.
    Timeout,
    /// Too many handshakes were under way, and this one for the longest.
    Overload,
    /// The peer does not keep to the protocol, or the connection was lost.
    Protocol,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Unavailable,
        Self::Version,
        Self::Incompatible,
        Self::UnknownName,
        Self::Plaintext,
        Self::NoCertificate,
        Self::Expired,
        Self::UnknownAuthority,
        Self::Revoked,
        Self::OtherName,
        Self::BadCertificate,
        Self::CertificateRefused,
        Self::Refused,
        Self::Timeout,
        Self::Overload,
        Self::Protocol,
    ];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Version => "version",
            Self::Incompatible => "incompatible",
            Self::UnknownName => "unknown_name",
            Self::Plaintext => "plaintext",
            Self::NoCertificate => "no_certificate",
            Self::Expired => "expired",
            Self::UnknownAuthority => "unknown_authority",
            Self::Revoked => "revoked",
            Self::OtherName => "other_name",
            Self::BadCertificate => "bad_certificate",
            Self::CertificateRefused => "certificate_refused",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Overload => "overload",
            Self::Protocol => "protocol",
        }
    }

    /// `None`: it has nothing to do with TLS.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(reason) => Some(Self::of_certificate(reason)),
            rustls::Error::NoCertificatesPresented => Some(Self::NoCertificate),
            rustls::Error::AlertReceived(alert) => Some(Self::of_alert(*alert)),
            rustls::Error::PeerIncompatible(reason) => Some(Self::of_parameters(reason)),
            // Of which there is none in a record that is not made up.
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Some(Self::Plaintext),
            _ => Some(Self::Protocol),
        }
    }

    /// What a handshake has failed by, where TLS itself says nothing.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::QuotaExceeded => Self::Overload,
            _ => Self::Protocol,
        }
    }

    /// What went wrong, for people.
    pub(crate) fn words(error: &io::Error) -> String {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        inner.map_or_else(|| error.to_string(), meltemi_tls::words)
    }

    fn of_certificate(reason: &CertificateError) -> Self {
        match reason {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            // The latter of an authority with the name of one whom we believe.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            CertificateError::Revoked
            | CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::Revoked,
            // The only one that is ours.
            CertificateError::Other(_) => Self::OtherName,
            _ => Self::BadCertificate,
        }
    }

    fn of_parameters(reason: &PeerIncompatible) -> Self {
        match reason {
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled => Self::Version,
            _ => Self::Incompatible,
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::ProtocolVersion => Self::Version,
            AlertDescription::HandshakeFailure => Self::Incompatible,
            AlertDescription::UnrecognisedName => Self::UnknownName,
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate => Self::CertificateRefused,
            _ => Self::Refused,
        }
    }
}

/// Whose connections they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    Cluster(String),
    Listener(String),
}

impl Owner {
    pub(super) fn cluster(&self) -> Option<&str> {
        match self {
            Self::Cluster(name) => Some(name),
            Self::Listener(_) => None,
        }
    }

    pub(super) fn listener(&self) -> Option<&str> {
        match self {
            Self::Listener(name) => Some(name),
            Self::Cluster(_) => None,
        }
    }
}

/// Failures of one cluster or listener.
#[derive(Debug)]
pub struct Failures {
    owner: Owner,
    counts: [AtomicU64; Failure::ALL.len()],
    told: Mutex<HashMap<String, (Failure, Instant)>>,
}

impl Failures {
    pub(super) fn new(owner: Owner) -> Self {
        Self {
            owner,
            counts: Default::default(),
            told: Mutex::default(),
        }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// All kinds with their counts.
    pub fn counts(&self) -> impl Iterator<Item = (Failure, u64)> {
        let counts = Failure::ALL.into_iter().zip(&self.counts);
        counts.map(|(failure, count)| (failure, count.load(Ordering::Relaxed)))
    }

    /// What is told from now on is of other certificates.
    pub(super) fn tell_again(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clear();
    }

    /// Counts one of a peer, and tells it to people. Returns the same for the access log.
    pub(crate) fn tell(&self, peer: &str, (failure, error): (Failure, &io::Error)) -> String {
        let (cluster, listener) = (self.owner.cluster(), self.owner.listener());
        let reason = failure.as_str();
        let error = Failure::words(error);
        if self.add(failure, peer, Instant::now()) {
            warn!(cluster, listener, peer, reason, error, "TLS failed");
        } else {
            debug!(cluster, listener, peer, reason, error, "TLS failed again");
        }
        format!("{reason}: {error}")
    }

    /// Counts one. True: it is to be told.
    fn add(&self, failure: Failure, peer: &str, now: Instant) -> bool {
        let kinds = Failure::ALL.into_iter().zip(&self.counts);
        for (_, count) in kinds.filter(|(kind, _)| *kind == failure) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = told.get(peer).is_some_and(|(before, at)| {
            *before == failure && now.saturating_duration_since(*at) < SILENCE
        });
        if is_known {
            return false;
        }
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(peer.to_owned(), (failure, now));
        true
    }
}
