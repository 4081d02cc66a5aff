//! Looks after the authority: does what is due, publishes what there is, and has a certificate signed in time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::Client;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::kept::Kept;
use super::root::{Root, RootError};
use super::schedule::{Step, Time, Validity, step};
use super::store::{Held, Store, StoreError};
use super::{Expiry, ServerSettings, server};

/// What others have written is looked for so often: less often than 32 times in a root's life would be too late.
const LONGEST: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_secs(1);

/// The namespaces that have proxies; none: nobody knows yet.
pub type Namespaces = watch::Receiver<Option<BTreeSet<String>>>;

/// Of an authority.
#[derive(Clone, Debug)]
pub struct Settings {
    /// That of the Secret.
    pub namespace: String,
    /// DNS names and IP addresses that the controller is dialled by.
    pub names: Vec<String>,
    /// Of a root.
    pub lifetime: Duration,
    /// Where it is told until when certificates count.
    pub expiry: Expiry,
}

/// Keeps an authority for as long as anybody uses what it makes.
pub struct Keeper {
    settings: Settings,
    store: Store,
    /// Only whoever leads writes.
    is_leader: watch::Receiver<bool>,
    namespaces: Namespaces,
    made: watch::Sender<Option<Arc<ServerConfig>>>,
    held: Option<Held>,
    shown: Option<Shown>,
    /// The last failure, which is told once.
    told: Option<String>,
}

/// The certificate in use.
struct Shown {
    signed_by: Root,
    validity: Validity,
}

#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl Keeper {
    /// Starts to look, on a task of its own.
    #[must_use]
    pub fn start(
        client: Client,
        settings: Settings,
        (is_leader, namespaces): (watch::Receiver<bool>, Namespaces),
    ) -> ServerSettings {
        let (made, now) = watch::channel(None);
        let keeper = Self {
            store: Store::new(client, settings.namespace.clone()),
            settings,
            is_leader,
            namespaces,
            made,
            held: None,
            shown: None,
            told: None,
        };
        tokio::spawn(keeper.run());
        now
    }

    async fn run(mut self) {
        while !self.made.is_closed() {
            let pause = match self.look().await {
                Ok(due) => {
                    self.told = None;
                    let longest = self.settings.lifetime / 32;
                    let longest = longest.clamp(SHORTEST, LONGEST);
                    let due = Duration::from_secs(due.saturating_sub(now()));
                    due.clamp(SHORTEST, longest)
                }
                Err(KeeperError::Store(StoreError::Conflict)) => {
                    debug!("somebody else has written the authority");
                    Duration::ZERO
                }
                Err(error) => {
                    let error = error.to_string();
                    if self.told.as_ref() != Some(&error) {
                        warn!(
                            error,
                            "the authority cannot be looked after: it stays as it is"
                        );
                        self.told = Some(error);
                    }
                    SHORTEST
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                // Whoever leads and who has proxies may be said by nobody any more: then time alone counts.
                Ok(()) = self.is_leader.changed() => {}
                Ok(()) = self.namespaces.changed() => {}
            }
        }
    }

    /// Does what is due, and says when something will be.
    async fn look(&mut self) -> Result<Time, KeeperError> {
        match (self.store.read().await?, &self.held) {
            (Some(found), _) => self.held = Some(found),
            (None, Some(held)) if *self.is_leader.borrow() => {
                warn!("the Secret of the authority is gone: it is written again");
                self.held = Some(self.store.restore(held).await?);
            }
            (None, _) => {}
        }
        let leads = *self.is_leader.borrow_and_update();
        let due = match leads {
            true => self.lead().await?,
            // Whoever leads makes it any moment.
            false if self.held.is_none() => now(),
            false => Time::MAX,
        };
        Ok(due.min(self.certify()?))
    }

    /// Does all that is due now, and publishes what comes of it.
    async fn lead(&mut self) -> Result<Time, KeeperError> {
        let mut published = None;
        let mut is_published = false;
        loop {
            if let Some(held) = &self.held {
                let bundle = held.kept.bundle();
                if published.as_ref() != Some(&bundle) {
                    is_published = self.publish(&bundle).await;
                    published = Some(bundle);
                }
            }
            let roots = self.held.as_ref().map(|held| held.kept.roots());
            let step = step(roots.as_ref(), is_published, now());
            if let Step::Wait(until) = step {
                return Ok(until);
            }
            let kept = self.after(step)?;
            self.held = Some(self.store.write(&kept, self.held.as_ref()).await?);
            info!(?step, "the authority has changed");
        }
    }

    /// What is kept when the step is done.
    fn after(&self, step: Step) -> Result<Kept, RootError> {
        let lifetime = self.settings.lifetime;
        let kept = self.held.as_ref().map(|held| held.kept.clone());
        let Some(kept) = kept.filter(|_| step != Step::MakeFirst) else {
            return Ok(Kept::first(Root::make(now(), lifetime)?));
        };
        Ok(match step {
            Step::MakeFirst | Step::Wait(_) => kept,
            Step::MakeNext => kept.with_next(now(), lifetime)?,
            Step::NotePublished => kept.published(now()),
            Step::SignByNext => kept.followed(now()),
            Step::DropPrevious => kept.without_previous(),
        })
    }

    /// Whether every namespace has it now.
    async fn publish(&mut self, bundle: &str) -> bool {
        let namespaces = self.namespaces.borrow_and_update().clone();
        let mut have_all = namespaces.is_some();
        for namespace in namespaces.into_iter().flatten() {
            if let Err(error) = self.store.publish(&namespace, bundle).await {
                warn!(namespace, %error, "its proxies cannot be told the roots of the authority");
                have_all = false;
            }
        }
        have_all
    }

    /// Has a certificate that is by the current root and in the first half of its life; says when it will not be any more.
    fn certify(&mut self) -> Result<Time, KeeperError> {
        let Some(held) = &self.held else {
            return Ok(Time::MAX);
        };
        let (root, now) = (&held.kept.current, now());
        if let Some(shown) = &self.shown
            && shown.signed_by == *root
            && now < shown.validity.half()
        {
            return Ok(shown.validity.half());
        }
        let validity = root.validity.of_certificate(now);
        let identity = root.sign(&self.settings.names, validity)?;
        let expires = &identity.certificate().expires;
        info!(names = ?self.settings.names, expires, "a certificate was signed");
        self.made.send_replace(Some(server(&identity)?));
        let of_root = Some(root.validity.until);
        self.settings.expiry.set(validity.until, of_root);
        self.shown = Some(Shown {
            signed_by: root.clone(),
            validity,
        });
        Ok(validity.half())
    }
}

fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}
