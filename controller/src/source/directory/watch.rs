//! Word that something under the watched paths may have changed.
//!
//! Notifications of the file system say when to look; what changed is told by the contents alone.
//! Where they fail (network file systems, watch limits) a look every ten seconds takes their place.

use std::path::PathBuf;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time;

/// Changes within this time of each other count as one.
const SETTLE: Duration = Duration::from_millis(100);

/// A writer that never rests does not keep changes from being seen.
const LONGEST_SETTLE: Duration = Duration::from_millis(500);

const POLL: Duration = Duration::from_secs(10);

pub(crate) struct Watch {
    events: mpsc::Receiver<()>,
    /// Held, since it stops when it is dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    pub(crate) fn start(paths: &[PathBuf]) -> Self {
        // One word is as good as many.
        let (sender, events) = mpsc::channel(1);
        let watcher = watcher(paths, sender);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "files cannot be watched; they are read every 10 s instead");
        }
        Self {
            events,
            _watcher: watcher.ok(),
        }
    }

    /// Returns when it is time to look: some time after the first change, when all is quiet again.
    pub(crate) async fn changed(&mut self) {
        match time::timeout(POLL, self.events.recv()).await {
            Ok(Some(())) => self.settle().await,
            // There is no watcher, so the receiver never waits.
            Ok(None) => time::sleep(POLL).await,
            Err(_) => {}
        }
    }

    async fn settle(&mut self) {
        let quiet =
            async { while let Ok(Some(())) = time::timeout(SETTLE, self.events.recv()).await {} };
        // Either it became quiet, or it has been noisy for long enough.
        let _ = time::timeout(LONGEST_SETTLE, quiet).await;
    }
}

fn watcher(paths: &[PathBuf], sender: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is not a change, and our own reading must not wake us again.
        if !event.is_ok_and(|e| e.kind.is_access()) {
            let _ = sender.try_send(());
        }
    })?;
    for path in paths {
        let directory = path.is_dir();
        // Editors replace files, so the directory that holds the file is watched, not the file.
        let target = match path.parent() {
            _ if directory => path.as_path(),
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => std::path::Path::new("."),
        };
        let mode = if directory {
            RecursiveMode::Recursive
        } else {
            RecursiveMode::NonRecursive
        };
        watcher.watch(target, mode)?;
    }
    Ok(watcher)
}
