//! Waiting on conditions, never on time: a test is as fast as what it waits for.

use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take on a busy machine before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Asks `condition` until it gives a value.
///
/// # Panics
/// With `what` in the message, when it gave none for [`PATIENCE`].
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
