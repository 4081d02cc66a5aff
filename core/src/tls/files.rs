//! The files that TLS is made of, as they were read last.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{IdentitySource, TlsSettings, TrustSource, Unavailable};

/// No file of certificates is larger; one that is names something else.
const MOST: u64 = 4 << 20;

#[derive(Clone, Default)]
pub(super) struct Files(BTreeMap<PathBuf, Result<Vec<u8>, String>>);

impl Files {
    /// Those that the settings name, not yet read.
    pub(super) fn of<S>(settings: &TlsSettings<S>) -> Self {
        let mut named = Vec::new();
        for identity in &settings.identities {
            if let IdentitySource::Files { chain, key } = identity {
                named.extend([chain, key]);
            }
        }
        if let Some(TrustSource::Files {
            authorities,
            revoked,
        }) = &settings.trust
        {
            named.extend(authorities.iter().chain(revoked));
        }
        let unread = |path: &PathBuf| (path.clone(), Err("it was not read".to_owned()));
        Self(named.into_iter().map(unread).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads all of them. True: one is not what it was.
    pub(super) fn read(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.0 {
            let read = contents(path).map_err(|error| error.to_string());
            changed |= *known != read;
            *known = read;
        }
        changed
    }

    pub(super) fn get(&self, path: &Path) -> Result<&[u8], Unavailable> {
        let read = self.0.get(path).map(|read| read.as_deref());
        let read = read.unwrap_or(Ok(&[]));
        read.map_err(|reason| Unavailable::File {
            path: path.to_owned(),
            reason: reason.clone(),
        })
    }
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(bytes)
}
