//! The protocols that come with Meltemi. This list names them, and nothing else does.

use std::sync::Arc;

use meltemi_codec::Protocol;

/// The protocols that come with Meltemi, for [`crate::main`]; others can be added.
#[must_use]
pub fn builtin() -> Vec<Arc<dyn Protocol>> {
    vec![
        Arc::new(meltemi_dubbo::Dubbo),
        Arc::new(meltemi_thrift::Thrift::default()),
        Arc::new(meltemi_redis::Redis::default()),
    ]
}
