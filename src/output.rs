//! Standard output and standard error, whose reader may be gone and whose disk may be full.
//!
//! That nobody can hear what is said is no reason to end, so `println!` and `eprintln!`, which
//! panic then, are not for this crate.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context as _;

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
    let _ = writeln!(io::stderr(), "{text}");
}

/// Standard error as the log sees it: it takes every line.
#[derive(Debug)]
pub(crate) struct Log(io::Stderr);

impl Log {
    pub(crate) fn new() -> Self {
        Self(io::stderr())
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
