//! The thread that writes the access log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime};

use super::entry::Line;
use super::time::Rfc3339;
use super::{AccessLog, Destination, Entry, WAITING};

/// Bytes of lines that are written at once at most.
const BATCH: usize = 64 * 1024;

/// The access log cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log {path}")]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

/// The thread that writes the access log.
#[derive(Debug)]
pub struct Writer(JoinHandle<()>);

impl Writer {
    /// Starts the thread, or does nothing where the log is off. Lines that find no room, or that
    /// cannot be written, are added to `dropped`.
    ///
    /// # Errors
    /// The file or the thread cannot be made.
    pub fn start(
        destination: &Destination,
        dropped: Arc<AtomicU64>,
    ) -> Result<Option<(AccessLog, Self)>, OpenError> {
        let sink = match destination {
            Destination::Off => return Ok(None),
            Destination::Stdout => Sink::Stdout,
            Destination::File(path) => OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map(Sink::File)
                .map_err(|source| open_error(path.clone(), source))?,
        };
        let (entries, waiting) = sync_channel(WAITING);
        let lost = Arc::clone(&dropped);
        let thread = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(sink, &waiting, &lost))
            .map_err(|source| open_error("(thread)".into(), source))?;
        let log = AccessLog {
            entries,
            dropped,
            percent: 100.0,
        };
        Ok(Some((log, Self(thread))))
    }

    /// Waits until the last line is written. Every [`AccessLog`] must be gone by then.
    pub fn finish(self) {
        if self.0.join().is_err() {
            tracing::error!("the access log's thread panicked");
        }
    }
}

fn open_error(path: PathBuf, source: io::Error) -> OpenError {
    OpenError { path, source }
}

enum Sink {
    Stdout,
    File(File),
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File(file) => file.write_all(lines),
        }
    }
}

/// Writes what is waiting in batches, until there are no workers any more.
fn write_all(mut sink: Sink, waiting: &Receiver<Box<Entry>>, dropped: &AtomicU64) {
    let mut lines = Vec::new();
    let mut healthy = true;
    while let Ok(first) = waiting.recv() {
        lines.clear();
        let mut count = 0;
        let mut next = Some(first);
        while let Some(entry) = next {
            append(&entry, &mut lines);
            count += 1;
            next = if lines.len() < BATCH {
                waiting.try_recv().ok()
            } else {
                None
            };
        }
        match sink.write(&lines) {
            Ok(()) => healthy = true,
            Err(error) => {
                dropped.fetch_add(count, Ordering::Relaxed);
                // Once, not for each batch on a full disk.
                if healthy {
                    tracing::error!(%error, "cannot write the access log");
                }
                healthy = false;
            }
        }
    }
}

fn append(entry: &Entry, lines: &mut Vec<u8>) {
    // By the clock of now: it may have been set since the worker started.
    let start =
        SystemTime::now().checked_sub(Instant::now().saturating_duration_since(entry.start));
    let time = Rfc3339(start.unwrap_or(SystemTime::UNIX_EPOCH)).to_string();
    let before = lines.len();
    let line = Line { time: &time, entry };
    if serde_json::to_writer(&mut *lines, &line).is_ok() {
        lines.push(b'\n');
    } else {
        lines.truncate(before);
    }
}
