//! The `meltemi` command with myproto beside the protocols that come with it.

use std::{process::ExitCode, sync::Arc};

fn main() -> ExitCode {
    let mut protocols = meltemi::builtin();
    protocols.push(Arc::new(myproto::MyProto));
    meltemi::main(protocols)
}
