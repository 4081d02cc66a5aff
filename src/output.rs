//! Standard output and standard error, whose reader may be gone and whose disk may be full.
//!
//! That nobody can hear what is said is no reason to end, so `println!` and `eprintln!`, which
//! panic then, are not for this crate.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;

use anyhow::Context as _;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that wait for a reader that has stalled; further ones are dropped.
const WAITING_LINES: usize = 4096;

/// How a process that serves writes to standard error.
static LOG: OnceLock<NonBlocking> = OnceLock::new();

/// Prints what a command was asked for. A reader that has left has read enough.
///
/// # Errors
/// It cannot be written, and somebody may still wait for it.
pub(crate) fn answer(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// Tells people on standard error, if they listen.
pub(crate) fn tell(text: impl Display) {
    let text = format!("{text}\n");
    let _ = match LOG.get() {
        Some(log) => log.clone().write_all(text.as_bytes()),
        None => io::stderr().write_all(text.as_bytes()),
    };
}

/// Standard error for a process that serves. A thread of its own writes it, so that a reader that
/// has stalled holds nobody up; dropping the guard waits for what it still takes, at most a second.
pub(crate) fn log() -> (NonBlocking, WorkerGuard) {
    let (log, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .lossy(true)
        .finish(Log(io::stderr()));
    (LOG.get_or_init(|| log).clone(), guard)
}

/// Standard error as the log sees it: it takes every line.
#[derive(Debug)]
struct Log(io::Stderr);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
