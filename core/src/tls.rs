//! TLS with the endpoints of a cluster and with the clients of a listener: what is asked for, what it is
//! made of now, and what became of it.
//!
//! Certificates come from the control plane's secrets or from files of this machine. Either may
//! change at any time: connections that begin from then on use the new ones, those that are there stay.
//! While something is missing or broken no connection begins; a cluster with TLS is never dialled
//! in plaintext, nor are clients of a listener with TLS served so.

mod failures;
mod files;
mod settings;
mod side;
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meltemi_credentials::{Issued, Latest};
use meltemi_tls::{Certificate, Identity, IdentityError, Trust, TrustError};
use rustls::pki_types::ServerName;
use rustls::server::{Accepted, AcceptedAlert};
use rustls::{ClientConfig, ClientConnection, ServerConnection};

use crate::config::{Secret, SecretValue};
pub use failures::{Failure, Failures, Owner};
use files::Files;
pub use settings::{IdentitySource, TlsSettings, TrustSource};
pub use side::{Side, ToClients, ToEndpoints};
pub(crate) use watch::Certificates;

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
    /// Nobody gives this process a certificate.
    #[error("this proxy has no certificate of the mesh: start it with --ca-address")]
    NoAuthority,
    /// Somebody would, and has not, or what he gave has ended.
    #[error("the CA of the mesh has given no certificate that counts now")]
    NotIssued,
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

/// TLS of one cluster or listener, shared by the workers.
pub struct Tls<S: Side = ToEndpoints> {
    settings: TlsSettings<S>,
    /// One for each identity, where it is one.
    identities: Vec<Option<Arc<Secret>>>,
    trust: Option<Arc<Secret>>,
    state: Mutex<State<S>>,
    failures: Arc<Failures>,
}

struct State<S: Side> {
    files: Files,
    /// What the mesh's CA has given, where that is asked for.
    issued: Option<Arc<Issued>>,
    made: Result<Made<S>, Unavailable>,
}

/// What the mesh's CA has given, or why there is nothing.
type OfMesh<'i> = Result<&'i Issued, Unavailable>;

/// What connections begin with.
struct Made<S: Side> {
    config: Arc<S::Config>,
    shown: Shown,
}

/// The certificates in use, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Ours.
    pub certificates: Vec<Certificate>,
    /// Those who vouch for peers, unless they are the system's.
    pub authorities: Vec<Certificate>,
}

impl<S: Side> Tls<S> {
    /// Without secrets and before files are read.
    #[must_use]
    pub fn new(owner: Owner, settings: TlsSettings<S>) -> Self {
        let failures = Arc::new(Failures::new(owner));
        Self::made_of(settings, (vec![], None), failures)
    }

    /// The names of the secrets that it needs.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let identities = self.settings.identity_secrets().flatten();
        identities.chain(self.settings.trust_secret())
    }

    /// The same with the secrets that `find` has. `before` is what it was until now: where nothing
    /// changed it stays, and with it what it knows of peers.
    #[must_use]
    pub(crate) fn with_secrets<'s>(
        &self,
        find: impl Fn(&str) -> Option<&'s Arc<Secret>>,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let found = |name: Option<&str>| name.and_then(&find).cloned();
        let identities: Vec<_> = self.settings.identity_secrets().map(found).collect();
        let trust = found(self.settings.trust_secret());
        let made = |failures| {
            let secrets = (identities.clone(), trust.clone());
            Self::made_of(self.settings.clone(), secrets, failures)
        };
        match before {
            Some(before)
                if before.settings == self.settings
                    && are_same(&before.identities, &identities)
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
        settings: TlsSettings<S>,
        (identities, trust): (Vec<Option<Arc<Secret>>>, Option<Arc<Secret>>),
        failures: Arc<Failures>,
    ) -> Self {
        let files = Files::of(&settings);
        let state = State {
            made: Err(Unavailable::NotRead),
            issued: None,
            files,
        };
        let tls = Self {
            settings,
            identities,
            trust,
            state: Mutex::new(state),
            failures,
        };
        let settings = &tls.settings;
        let is_whole = !settings.uses_system() && !settings.uses_workload();
        if tls.lock().files.is_empty() && is_whole {
            let made = tls.make(&Files::default(), &Err(Unavailable::NoAuthority));
            tls.lock().made = made;
        }
        tls
    }

    /// Reads the files again, as far as there are any, and takes over what the mesh's CA has given; none where nobody is
    /// asked. `None`: nothing changed.
    pub(crate) fn refresh(&self, workload: Option<&Latest>) -> Option<Result<(), Unavailable>> {
        let (mut files, before, first) = {
            let state = self.lock();
            let first = matches!(state.made, Err(Unavailable::NotRead));
            (state.files.clone(), state.issued.clone(), first)
        };
        let workload = workload.filter(|_| self.settings.uses_workload());
        let issued = workload.and_then(|latest| latest.issued.clone());
        let changed = files.read() || !is_same(before.as_ref(), issued.as_ref());
        if !changed && !first {
            return None;
        }
        let has_ended = before.is_some() && issued.is_none();
        let of_mesh = match (workload, &issued) {
            (_, Some(issued)) => Ok(&**issued),
            (Some(_), None) => Err(Unavailable::NotIssued),
            (None, None) => Err(Unavailable::NoAuthority),
        };
        let made = self.make(&files, &of_mesh);
        let mut state = self.lock();
        state.files = files;
        state.issued.clone_from(&issued);
        let outcome = made.as_ref().map(drop).map_err(Clone::clone);
        // What is half written, or wrong, does not replace what is good. What has ended counts nowhere.
        if made.is_ok() || state.made.is_err() || has_ended {
            self.failures.tell_again();
            state.made = made;
        }
        Some(outcome)
    }

    /// What connections begin with now.
    fn config(&self) -> Result<Arc<S::Config>, Unavailable> {
        match &self.lock().made {
            Ok(made) => Ok(Arc::clone(&made.config)),
            Err(reason) => Err(reason.clone()),
        }
    }

    fn make(&self, files: &Files, mesh: &OfMesh<'_>) -> Result<Made<S>, Unavailable> {
        let identities = self.identities(files, mesh)?;
        let trust = self.trust(files, mesh)?;
        let shown = Shown {
            certificates: identities
                .iter()
                .map(|it| it.certificate().clone())
                .collect(),
            authorities: trust
                .as_ref()
                .map_or_else(Vec::new, |it| it.authorities().to_vec()),
        };
        let check = trust.map(|trust| (trust, self.settings.names.clone()));
        let alpn = &self.settings.alpn;
        let config = self.settings.side.config(&identities, check, alpn);
        let config = config.map_err(|error| Unavailable::Setup(error.to_string()))?;
        Ok(Made { config, shown })
    }

    /// All of them have to be there: who is shown another one than he should be is no better off.
    fn identities(&self, files: &Files, mesh: &OfMesh<'_>) -> Result<Vec<Identity>, Unavailable> {
        let secrets = self.identities.iter().map(Option::as_ref);
        let secrets = secrets.chain(std::iter::repeat(None));
        let all = self.settings.identities.iter().zip(secrets);
        all.map(|(source, secret)| identity(source, secret, files, mesh))
            .collect()
    }

    fn trust(&self, files: &Files, mesh: &OfMesh<'_>) -> Result<Option<Trust>, Unavailable> {
        match &self.settings.trust {
            None => Ok(None),
            Some(TrustSource::Workload) => {
                let issued = mesh.as_ref().map_err(Clone::clone)?;
                Ok(Some(issued.trust.clone()))
            }
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
                SecretValue::Identity(_) | SecretValue::Text(_) => {
                    Err(Unavailable::OtherSecret(name.clone()))
                }
            },
        }
    }

    #[must_use]
    pub fn settings(&self) -> &TlsSettings<S> {
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
    pub fn failures(&self) -> &Arc<Failures> {
        &self.failures
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tls {
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
        let config = self.config()?;
        let setup = |error: String| Unavailable::Setup(error);
        let name = match (&self.settings.side.sni, endpoint) {
            (Some(sni), _) => {
                ServerName::try_from(sni.clone()).map_err(|e| setup(e.to_string()))?
            }
            // Of an address nothing is sent; sessions are remembered by it.
            (None, Some(ip)) => ServerName::from(ip),
            (None, None) => ServerName::from(IpAddr::from([127, 0, 0, 1])),
        };
        Ok((config, name))
    }
}

impl Tls<ToClients> {
    /// Begins a connection that a client has made.
    ///
    /// # Errors
    /// Something is missing or broken.
    pub(crate) fn accept(&self) -> Result<ServerConnection, Unavailable> {
        let connection = ServerConnection::new(self.config()?);
        connection.map_err(|e| Unavailable::Setup(e.to_string()))
    }

    /// The same where the client's first message was read already.
    ///
    /// # Errors
    /// As [`Self::accept`], or the client speaks nothing that counts here.
    pub(crate) fn greeted(&self, hello: Accepted) -> Result<ServerConnection, NotGreeted> {
        let config = self.config().map_err(NotGreeted::Unavailable)?;
        let connection = hello.into_connection(config);
        connection.map_err(|refused| NotGreeted::Refused(Box::new(refused)))
    }
}

/// Why a client's first message is not answered as it would like.
pub(crate) enum NotGreeted {
    Unavailable(Unavailable),
    Refused(Box<(rustls::Error, AcceptedAlert)>),
}

fn identity(
    source: &IdentitySource,
    secret: Option<&Arc<Secret>>,
    files: &Files,
    mesh: &OfMesh<'_>,
) -> Result<Identity, Unavailable> {
    match source {
        IdentitySource::Workload => {
            let issued = mesh.as_ref().map_err(Clone::clone)?;
            Ok(issued.identity.clone())
        }
        IdentitySource::Files { chain, key } => {
            let identity = Identity::from_pem(files.get(chain)?, files.get(key)?);
            identity.map_err(|reason| Unavailable::Identity {
                path: match reason {
                    IdentityError::Certificate(_) => chain.clone(),
                    IdentityError::Key(_) | IdentityError::Mismatch => key.clone(),
                },
                reason,
            })
        }
        IdentitySource::Secret(name) => match value(name, secret)? {
            SecretValue::Identity(identity) => Ok(identity.clone()),
            SecretValue::Trust(_) | SecretValue::Text(_) => {
                Err(Unavailable::OtherSecret(name.clone()))
            }
        },
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

fn are_same<T>(a: &[Option<Arc<T>>], b: &[Option<Arc<T>>]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| is_same(a.as_ref(), b.as_ref()))
}

/// Of the same settings and secrets.
impl<S: Side> PartialEq for Tls<S> {
    fn eq(&self, other: &Self) -> bool {
        self.failures.owner() == other.failures.owner()
            && self.settings == other.settings
            && are_same(&self.identities, &other.identities)
            && is_same(self.trust.as_ref(), other.trust.as_ref())
    }
}

impl<S: Side> Eq for Tls<S> {}

impl<S: Side> fmt::Debug for Tls<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.settings).finish()
    }
}
