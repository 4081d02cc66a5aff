//! A certificate that somebody else puts into files, and replaces there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use meltemi_tls::{Identity, IdentityError};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Expiry, ServerSettings, server};

/// How often the files are looked at. A mounted Secret is replaced by a link to another directory: to read what a file
/// holds notices it.
const PERIOD: Duration = Duration::from_secs(2);

/// Why they cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{} and {}: {error}", chain.display(), key.display())]
    Unusable {
        chain: PathBuf,
        key: PathBuf,
        error: IdentityError,
    },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A chain of certificates and the key of its first, both in PEM.
struct Files {
    chain: PathBuf,
    key: PathBuf,
    expiry: Expiry,
}

/// What they held.
#[derive(PartialEq, Eq)]
struct Contents {
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// Reads both, and from then on what they change to; what cannot be used is told, and what was in use stays.
///
/// Has to be called on a runtime.
///
/// # Errors
/// They cannot be used now.
pub fn from_files(chain: &Path, key: &Path, expiry: Expiry) -> Result<ServerSettings, FilesError> {
    let files = Files {
        chain: chain.to_owned(),
        key: key.to_owned(),
        expiry,
    };
    let contents = files.read()?;
    let (settings, now) = watch::channel(Some(files.settings(&contents)?));
    tokio::spawn(follow(files, contents, settings));
    Ok(now)
}

async fn follow(
    mut files: Files,
    mut last: Contents,
    settings: watch::Sender<Option<Arc<ServerConfig>>>,
) {
    while !settings.is_closed() {
        sleep(PERIOD).await;
        let read = spawn_blocking(move || {
            let read = files.read();
            (files, read)
        });
        let Ok((again, read)) = read.await else {
            return;
        };
        files = again;
        match read {
            Ok(contents) if contents == last => {}
            Ok(contents) => {
                match files.settings(&contents) {
                    Ok(made) => {
                        settings.send_replace(Some(made));
                    }
                    Err(error) => {
                        warn!(%error, "the certificate changed and cannot be used: what it was stays")
                    }
                }
                last = contents;
            }
            Err(error) => warn!(%error, "the certificate cannot be read: what it was stays"),
        }
    }
}

impl Files {
    fn read(&self) -> Result<Contents, FilesError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| FilesError::Unreadable {
                path: path.to_owned(),
                error,
            })
        };
        Ok(Contents {
            chain: read(&self.chain)?,
            key: read(&self.key)?,
        })
    }

    fn settings(&self, contents: &Contents) -> Result<Arc<ServerConfig>, FilesError> {
        let identity = Identity::from_pem(&contents.chain, &contents.key);
        let identity = identity.map_err(|error| FilesError::Unusable {
            chain: self.chain.clone(),
            key: self.key.clone(),
            error,
        })?;
        let certificate = identity.certificate();
        info!(
            subject = certificate.subject,
            expires = certificate.expires,
            "a certificate is in use"
        );
        let settings = server(&identity)?;
        let not_after = u64::try_from(certificate.not_after).unwrap_or(0);
        self.expiry.set(not_after, None);
        Ok(settings)
    }
}
