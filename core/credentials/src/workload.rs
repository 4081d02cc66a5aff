//! The certificate that a mesh's CA gives this process: asked for with a token, renewed in time, and beside it those whom
//! the mesh believes. The key never leaves the process.
//!
//! [`Schedule`] decides when; what is here connects it to the network, the clock and the file of roots.

mod request;
mod roots;
mod schedule;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meltemi_tls::{Identity, Trust};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::{Token, Undiallable};
use request::{Ca, Granted};
use roots::Roots;
use schedule::{Schedule, Step};

/// How often the file of roots is looked at. A mounted ConfigMap is replaced by a link to another directory: to read what a
/// file holds notices it.
const PERIOD: Duration = Duration::from_secs(2);

/// Who gives certificates, and what it is shown: Istio's `IstioCertificateService`.
#[derive(Clone, Debug)]
pub struct CertificateAuthority {
    /// `HOST:PORT`.
    pub address: String,
    /// In PEM: those who vouch for the CA, and for everybody else of the mesh. It is followed as it changes.
    pub roots: PathBuf,
    /// Of a service account: whose certificate it becomes.
    pub token: Token,
    /// The name of the cluster that the account is of.
    pub cluster: String,
    /// How long a certificate is to live. The CA may give less.
    pub lifetime: Duration,
}

/// The certificate of this process as of now. A clone is the same.
pub type Workload = watch::Receiver<Latest>;

/// What a CA has given.
#[derive(Clone, Debug, Default)]
pub struct Latest {
    /// None: nothing yet, or what there was has ended.
    pub issued: Option<Arc<Issued>>,
    /// How often it was asked, and gave one.
    pub granted: u64,
    /// How often it was asked in vain.
    pub failed: u64,
}

/// A certificate, and whom the mesh believes.
#[derive(Debug)]
pub struct Issued {
    pub identity: Identity,
    pub trust: Trust,
}

impl CertificateAuthority {
    /// Asks for a certificate, and for as long as anybody looks at what comes of it again and again, on a task of its own.
    ///
    /// Has to be called on a runtime.
    ///
    /// # Errors
    /// It cannot be dialled: its address is none, or the roots or the token cannot be read now.
    pub fn follow(self) -> Result<Workload, Undiallable> {
        self.token.bearer().map_err(Undiallable::Credentials)?;
        let roots = Roots::read(&self.roots).map_err(Undiallable::Credentials)?;
        let ca = Ca::new(self)?;
        let (latest, workload) = watch::channel(Latest::default());
        let follower = Follower {
            ca,
            roots,
            granted: None,
            schedule: Schedule::default(),
            latest,
        };
        tokio::spawn(follower.run());
        Ok(workload)
    }
}

struct Follower {
    ca: Ca,
    roots: Roots,
    granted: Option<Granted>,
    schedule: Schedule,
    latest: watch::Sender<Latest>,
}

impl Follower {
    async fn run(mut self) {
        while !self.latest.is_closed() {
            self.follow_roots().await;
            match self.schedule.step(now()) {
                Step::Ask => self.ask().await,
                Step::Withdraw => {
                    warn!("the certificate of the mesh has ended, and the CA has given no other");
                    self.schedule.withdrawn();
                    self.granted = None;
                    self.latest.send_modify(|latest| latest.issued = None);
                }
                Step::Wait(until) => {
                    sleep(until.saturating_sub(now()).min(PERIOD)).await;
                }
            }
        }
    }

    async fn ask(&mut self) {
        match self.ca.ask().await {
            Ok(granted) => {
                let certificate = granted.identity.certificate();
                let ends = u64::try_from(certificate.not_after).unwrap_or(0);
                info!(
                    principal = granted.identity.principal(),
                    expires = certificate.expires,
                    "the CA has given a certificate of the mesh"
                );
                let ends = Duration::from_secs(ends);
                self.schedule.granted(now(), ends, rand::random());
                self.granted = Some(granted);
                self.latest.send_modify(|latest| latest.granted += 1);
                self.publish();
            }
            Err(error) => {
                let delay = self.schedule.failed(now(), rand::random());
                let again = format!("{delay:.1?}");
                warn!(%error, again, "the CA has given no certificate of the mesh");
                self.latest.send_modify(|latest| latest.failed += 1);
            }
        }
    }

    /// Where those whom the mesh believes have changed, what the CA said of them is older: until it says it again the file
    /// alone counts, so that who is believed no more is not believed for the rest of a certificate's life.
    async fn follow_roots(&mut self) {
        match self.roots.changed().await {
            Ok(false) => {}
            Ok(true) => {
                info!("the roots of the mesh have changed");
                if let Some(granted) = &mut self.granted {
                    granted.roots.clear();
                    self.schedule.ask_soon(now());
                    self.publish();
                }
            }
            Err(error) => debug!(error, "the roots of the mesh stay as they were"),
        }
    }

    fn publish(&self) {
        let Some(granted) = &self.granted else {
            return;
        };
        let together = [granted.roots.as_bytes(), self.roots.pem()].join(&b'\n');
        match Trust::from_pem(&together, None) {
            Ok(trust) => {
                let identity = granted.identity.clone();
                let issued = Arc::new(Issued { identity, trust });
                self.latest
                    .send_modify(|latest| latest.issued = Some(issued));
            }
            Err(error) => {
                warn!(%error, "the roots of the mesh cannot be used: what they were stays")
            }
        }
    }
}

/// Since 1970.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}
