//! TLS towards the endpoints of a cluster: what is asked for, what it is made of now, and what
//! became of it.
//!
//! Certificates come from the control plane's secrets or from files of this machine. Either may
//! change at any time: connections that begin from then on use the new ones, those that are there stay.
//! While something is missing or broken no connection begins; a cluster with TLS is never dialled
//! in plaintext.

mod failures;
mod files;
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meltemi_tls::{Certificate, Identity, IdentityError, PeerName, ServerCheck, Trust, TrustError};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::config::{Secret, SecretValue};
pub use failures::{Failure, Failures};
use files::Files;
pub(crate) use watch::Certificates;

/// What a cluster asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// `None`: no name is sent.
    pub sni: Option<String>,
    /// `None`: nothing is shown to servers.
    pub identity: Option<IdentitySource>,
    /// `None`: whoever answers is believed.
    pub trust: Option<TrustSource>,
    /// Of which a server's certificate must have one; none: it may be for anybody.
    pub names: Vec<PeerName>,
}

/// Where the certificate that is shown and its key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    Secret(String),
    Files { chain: PathBuf, key: PathBuf },
}

/// Where those come from who vouch for servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustSource {
    Secret(String),
    Files {
        /// `None`: those of the system.
        authorities: Option<PathBuf>,
        revoked: Option<PathBuf>,
    },
}

/// Why no connection can begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The control plane has none of this name, or sends none.
    #[error("the control plane gives no secret {0:?}")]
    NoSecret(String),
    /// The secret is of another kind.
    #[error("the secret {0:?} holds something else")]
    OtherSecret(String),
    /// Between configuration and first use.
    #[error("its files were not read yet")]
    NotRead,
    #[error("cannot read {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{}: {reason}", path.display())]
    Identity {
        path: PathBuf,
        reason: IdentityError,
    },
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// TLS of one cluster, shared by the workers.
pub struct Tls {
    cluster: String,
    settings: TlsSettings,
    identity: Option<Arc<Secret>>,
    trust: Option<Arc<Secret>>,
    state: Mutex<State>,
    failures: Arc<Failures>,
}

struct State {
    files: Files,
    made: Result<Made, Unavailable>,
}

/// What connections begin with.
#[derive(Clone)]
struct Made {
    config: Arc<ClientConfig>,
    shown: Shown,
}

/// The certificates in use, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Ours.
    pub certificate: Option<Certificate>,
    /// Those who vouch for servers, unless they are the system's.
    pub authorities: Vec<Certificate>,
}

impl Tls {
    /// Without secrets and before files are read.
    #[must_use]
    pub fn new(cluster: &str, settings: TlsSettings) -> Self {
        let failures = Arc::default();
        Self::made_of(cluster.to_owned(), settings, (None, None), failures)
    }

    /// The names of the secrets that it needs.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        [
            self.settings.identity_secret(),
            self.settings.trust_secret(),
        ]
        .into_iter()
        .flatten()
    }

    /// The same with the secrets that `find` has. `before` is what it was until now: where nothing
    /// changed it stays, and with it what it knows of servers.
    #[must_use]
    pub(crate) fn with_secrets<'s>(
        &self,
        find: impl Fn(&str) -> Option<&'s Arc<Secret>>,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let found = |name: Option<&str>| name.and_then(&find).cloned();
        let identity = found(self.settings.identity_secret());
        let trust = found(self.settings.trust_secret());
        let made = |failures| {
            let secrets = (identity.clone(), trust.clone());
            Self::made_of(
                self.cluster.clone(),
                self.settings.clone(),
                secrets,
                failures,
            )
        };
        match before {
            Some(before)
                if before.settings == self.settings
                    && is_same(before.identity.as_ref(), identity.as_ref())
                    && is_same(before.trust.as_ref(), trust.as_ref()) =>
            {
                Arc::clone(before)
            }
            Some(before) => {
                before.failures.tell_again();
                Arc::new(made(Arc::clone(&before.failures)))
            }
            None => Arc::new(made(Arc::clone(&self.failures))),
        }
    }

    fn made_of(
        cluster: String,
        settings: TlsSettings,
        (identity, trust): (Option<Arc<Secret>>, Option<Arc<Secret>>),
        failures: Arc<Failures>,
    ) -> Self {
        let files = Files::of(&settings);
        let state = State {
            made: Err(Unavailable::NotRead),
            files,
        };
        let tls = Self {
            cluster,
            settings,
            identity,
            trust,
            state: Mutex::new(state),
            failures,
        };
        if tls.lock().files.is_empty() && !tls.settings.uses_system() {
            let made = tls.make(&Files::default());
            tls.lock().made = made;
        }
        tls
    }

    /// Begins a connection to an endpoint, of which the address is known where it has one.
    ///
    /// # Errors
    /// Something is missing or broken.
    pub(crate) fn connect(
        &self,
        endpoint: Option<IpAddr>,
    ) -> Result<ClientConnection, Unavailable> {
        let (config, name) = self.client(endpoint)?;
        ClientConnection::new(config, name).map_err(|e| Unavailable::Setup(e.to_string()))
    }

    /// What a connection to an endpoint begins with, and the name that it is to.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(crate) fn client(
        &self,
        endpoint: Option<IpAddr>,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), Unavailable> {
        let config = match &self.lock().made {
            Ok(made) => Arc::clone(&made.config),
            Err(reason) => return Err(reason.clone()),
        };
        let setup = |error: String| Unavailable::Setup(error);
        let name = match (&self.settings.sni, endpoint) {
            (Some(sni), _) => {
                ServerName::try_from(sni.clone()).map_err(|e| setup(e.to_string()))?
            }
            // Of an address nothing is sent; sessions are remembered by it.
            (None, Some(ip)) => ServerName::from(ip),
            (None, None) => ServerName::from(IpAddr::from([127, 0, 0, 1])),
        };
        Ok((config, name))
    }

    /// Reads the files again, as far as there are any. `None`: nothing changed.
    pub(crate) fn refresh(&self) -> Option<Result<(), Unavailable>> {
        let (mut files, first) = {
            let state = self.lock();
            let first = matches!(state.made, Err(Unavailable::NotRead));
            (state.files.clone(), first)
        };
        let changed = files.read();
        if !changed && !first {
            return None;
        }
        let made = self.make(&files);
        let mut state = self.lock();
        state.files = files;
        let outcome = made.as_ref().map(drop).map_err(Clone::clone);
        // What is half written, or wrong, does not replace what is good.
        if made.is_ok() || state.made.is_err() {
            self.failures.tell_again();
            state.made = made;
        }
        Some(outcome)
    }

    fn make(&self, files: &Files) -> Result<Made, Unavailable> {
        let identity = self.identity(files)?;
        let trust = self.trust(files)?;
        let shown = Shown {
            certificate: identity.as_ref().map(|it| it.certificate().clone()),
            authorities: trust
                .as_ref()
                .map_or_else(Vec::new, |it| it.authorities().to_vec()),
        };
        let check = match trust {
            Some(trust) => ServerCheck::Named(trust, self.settings.names.clone()),
            None => ServerCheck::None,
        };
        let config = meltemi_tls::client(identity.as_ref(), check)
            .map_err(|error| Unavailable::Setup(error.to_string()))?;
        Ok(Made { config, shown })
    }

    fn identity(&self, files: &Files) -> Result<Option<Identity>, Unavailable> {
        match &self.settings.identity {
            None => Ok(None),
            Some(IdentitySource::Files { chain, key }) => {
                let identity = Identity::from_pem(files.get(chain)?, files.get(key)?);
                identity.map(Some).map_err(|reason| Unavailable::Identity {
                    path: match reason {
                        IdentityError::Certificate(_) => chain.clone(),
                        IdentityError::Key(_) | IdentityError::Mismatch => key.clone(),
                    },
                    reason,
                })
            }
            Some(IdentitySource::Secret(name)) => match value(name, self.identity.as_ref())? {
                SecretValue::Identity(identity) => Ok(Some(identity.clone())),
                SecretValue::Trust(_) => Err(Unavailable::OtherSecret(name.clone())),
            },
        }
    }

    fn trust(&self, files: &Files) -> Result<Option<Trust>, Unavailable> {
        match &self.settings.trust {
            None => Ok(None),
            Some(TrustSource::Files {
                authorities,
                revoked,
            }) => {
                let revoked = revoked.as_ref().map(|path| files.get(path)).transpose()?;
                let trust = match authorities {
                    Some(path) => Trust::from_pem(files.get(path)?, revoked)?,
                    None => Trust::system(revoked)?,
                };
                Ok(Some(trust))
            }
            Some(TrustSource::Secret(name)) => match value(name, self.trust.as_ref())? {
                SecretValue::Trust(trust) => Ok(Some(trust.clone())),
                SecretValue::Identity(_) => Err(Unavailable::OtherSecret(name.clone())),
            },
        }
    }

    #[must_use]
    pub fn settings(&self) -> &TlsSettings {
        &self.settings
    }

    /// What connections would begin with now.
    ///
    /// # Errors
    /// None can begin.
    pub fn shown(&self) -> Result<Shown, Unavailable> {
        let state = self.lock();
        let made = state.made.as_ref();
        made.map(|made| made.shown.clone()).map_err(Clone::clone)
    }

    /// What became of connections.
    #[must_use]
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TlsSettings {
    /// Istio's name for it.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        match self.identity {
            Some(_) => "MUTUAL",
            None => "SIMPLE",
        }
    }

    fn identity_secret(&self) -> Option<&str> {
        match &self.identity {
            Some(IdentitySource::Secret(name)) => Some(name),
            _ => None,
        }
    }

    fn trust_secret(&self) -> Option<&str> {
        match &self.trust {
            Some(TrustSource::Secret(name)) => Some(name),
            _ => None,
        }
    }

    fn uses_system(&self) -> bool {
        matches!(
            self.trust,
            Some(TrustSource::Files {
                authorities: None,
                ..
            })
        )
    }
}

fn value<'s>(name: &str, secret: Option<&'s Arc<Secret>>) -> Result<&'s SecretValue, Unavailable> {
    let secret = secret.ok_or_else(|| Unavailable::NoSecret(name.to_owned()))?;
    Ok(&secret.value)
}

fn is_same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// Of the same settings and secrets.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.cluster == other.cluster
            && self.settings == other.settings
            && is_same(self.identity.as_ref(), other.identity.as_ref())
            && is_same(self.trust.as_ref(), other.trust.as_ref())
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.settings).finish()
    }
}
