//! Work that takes long, beside the thread that all streams share.

use std::panic::resume_unwind;

/// Does it on a thread of its own. Whoever stops waiting for it does not end it.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let failed = match tokio::task::spawn_blocking(work).await {
        Ok(done) => return done,
        Err(failed) => failed,
    };
    match failed.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        // The runtime ends.
        Err(_) => std::future::pending().await,
    }
}
