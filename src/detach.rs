//! `meltemi detach`.

use std::process::ExitCode;

use meltemi_controller::{Detach, detach};

use crate::{output, proxy::block_on};

/// 0: all of it is done. 1: something is left, which was told.
pub(crate) fn main(asked: &Detach) -> anyhow::Result<ExitCode> {
    let mut written = Ok(());
    // That nobody can hear of it is no reason to stop half-way.
    let mut tell = |line: std::fmt::Arguments<'_>| {
        let line = output::answer(line);
        if written.is_ok() {
            written = line;
        }
    };
    let is_done = block_on(detach(asked, &mut tell))?;
    written?;
    Ok(ExitCode::from(u8::from(!is_done)))
}
