//! The access log: one JSON line an exchange, written by a thread of its own.
//!
//! A worker hands an [`Entry`] over and goes on. Where the disk is slower than the traffic, lines
//! are dropped and counted; no request waits for its line.

mod entry;
mod sampler;
mod time;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

pub use entry::{Attempt, Entry};
pub(crate) use sampler::Sampler;
pub use writer::{OpenError, Writer};

/// Entries that may wait for the writer.
const WAITING: usize = 16 * 1024;

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output, between the other lines there.
    Stdout,
    /// To the end of a file, which is made if it is not there.
    File(PathBuf),
}

impl std::str::FromStr for Destination {
    type Err = std::convert::Infallible;

    /// `off`, `-` for standard output, else a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "off" => Self::Off,
            "-" => Self::Stdout,
            path => Self::File(path.into()),
        })
    }
}

/// A worker's end of the access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    entries: SyncSender<Box<Entry>>,
    dropped: Arc<AtomicU64>,
    percent: f64,
}

impl AccessLog {
    /// The same for so many percent of the exchanges, from 0 to 100.
    #[must_use]
    pub fn sampled(self, percent: f64) -> Self {
        Self { percent, ..self }
    }

    /// How many percent of the exchanges are to be logged.
    pub(crate) fn percent(&self) -> f64 {
        self.percent
    }

    /// Hands an exchange over, or counts it as dropped.
    pub fn write(&self, entry: Entry) {
        match self.entries.try_send(Box::new(entry)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
