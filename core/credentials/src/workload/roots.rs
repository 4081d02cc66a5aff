//! The file of those whom the mesh believes.

use std::fs;
use std::path::{Path, PathBuf};

use meltemi_tls::Trust;
use tokio::task::spawn_blocking;

/// As it was when it could be used last.
pub(super) struct Roots {
    path: PathBuf,
    pem: Vec<u8>,
}

impl Roots {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        Ok(Self {
            path: path.to_owned(),
            pem: read(path)?,
        })
    }

    pub(super) fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// Reads it again; what cannot be used changes nothing.
    pub(super) async fn changed(&mut self) -> Result<bool, String> {
        let path = self.path.clone();
        let read = spawn_blocking(move || read(&path)).await;
        // The process ends where it was not read.
        let pem = read.unwrap_or_else(|error| Err(error.to_string()))?;
        let is_new = pem != self.pem;
        self.pem = pem;
        Ok(is_new)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unusable = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
    let pem = fs::read(path).map_err(|error| unusable(&error))?;
    Trust::from_pem(&pem, None).map_err(|error| unusable(&error))?;
    Ok(pem)
}
