//! The `meltemi` command with memcached beside the protocols that come with it.

use std::{process::ExitCode, sync::Arc};

fn main() -> ExitCode {
    let mut protocols = meltemi::builtin();
    protocols.push(Arc::new(memcached::Memcached));
    meltemi::main(protocols)
}
