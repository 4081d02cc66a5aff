//! Which of several replicas writes: the one that holds a Lease.
//!
//! Who leads knows it only for a time that is shorter than the others wait: two never lead at once, however late answers
//! are and however wrong clocks, as long as these run at about the same speed. `election` decides, without I/O and
//! clock; `lease` asks the API server.

use std::time::Instant;

use tokio::sync::watch;

mod election;
mod lease;

pub(crate) use lease::identity;
pub use lease::{Candidate, LeaseName};

/// Whether this process leads; a clone is the same.
#[derive(Clone, Debug)]
pub struct Leadership {
    until: watch::Receiver<Option<Instant>>,
}

/// There will be no leadership any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resigned;

impl Leadership {
    #[must_use]
    pub fn leads(&self) -> bool {
        self.until
            .borrow()
            .is_some_and(|until| Instant::now() < until)
    }

    /// Waits until it leads.
    ///
    /// # Errors
    /// When that will never be.
    pub async fn begun(&mut self) -> Result<(), Resigned> {
        let begun = self
            .until
            .wait_for(|until| until.is_some_and(|until| Instant::now() < until));
        begun.await.map(drop).map_err(|_| Resigned)
    }

    /// Whether it leads, as it changes; false once there will be no leadership any more.
    #[must_use]
    pub fn flag(mut self) -> watch::Receiver<bool> {
        let (flag, told) = watch::channel(self.leads());
        tokio::spawn(async move {
            while self.begun().await.is_ok() {
                flag.send_replace(true);
                self.ended().await;
                flag.send_replace(false);
            }
        });
        told
    }

    /// Waits until it does not lead any more.
    pub async fn ended(&mut self) {
        loop {
            let until = *self.until.borrow_and_update();
            let Some(until) = until.filter(|&until| Instant::now() < until) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                changed = self.until.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
