//! What the fuzzer runs, and `cargo test` over the corpus.

use std::sync::{Arc, LazyLock};

use meltemi_codec::{
    Protocol,
    kit::{fuzz_downstream, fuzz_upstream},
};

/// With answers in order, and by number.
static PROTOCOLS: LazyLock<[Arc<dyn Protocol>; 2]> = LazyLock::new(|| {
    [&[][..], &[("correlation", "id"), ("oneway", "fire")]].map(|settings| {
        let configured = meltemi_thrift::protocol().configure(settings);
        configured.expect("the settings are right")
    })
});

/// The codec of a connection to a client.
pub fn downstream(data: &[u8]) {
    for protocol in &*PROTOCOLS {
        fuzz_downstream(&**protocol, data);
    }
}

/// The codec of a connection to a server.
pub fn upstream(data: &[u8]) {
    for protocol in &*PROTOCOLS {
        fuzz_upstream(&**protocol, data);
    }
}
