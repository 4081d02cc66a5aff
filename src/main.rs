//! The `meltemi` command with the protocols that come with it.

use std::{process::ExitCode, sync::Arc};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    meltemi::main(vec![
        Arc::new(meltemi_dubbo::Dubbo),
        Arc::new(meltemi_thrift::Thrift::default()),
        Arc::new(meltemi_redis::Redis::default()),
    ])
}
