//! The one owner of the calls to rate limit services: workers ask it, and it tells them the verdicts.

use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::workers::Workers;
use crate::config::Snapshot;
use crate::engine::QuestionId;
use crate::rate_limit::client::{Answered, Services};
use crate::rate_limit::{Failure, Question, Verdict};

/// Questions of workers that nobody has looked at yet.
const WAITING: usize = 4096;

/// Calls under way.
const CALLS: usize = 4096;

/// A question, and which worker asks.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) worker: usize,
    pub(super) question: Question,
}

/// Where workers ask.
pub(crate) type Questions = mpsc::Sender<Asked>;

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Limiter(JoinHandle<()>);

impl Limiter {
    /// Where workers ask, and what its owner takes from there.
    pub(crate) fn questions() -> (Questions, mpsc::Receiver<Asked>) {
        mpsc::channel(WAITING)
    }

    pub(crate) fn start(
        workers: Arc<Workers>,
        asked: mpsc::Receiver<Asked>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> Self {
        Self(tokio::spawn(own(workers, asked, snapshots)))
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn own(
    workers: Arc<Workers>,
    mut asked: mpsc::Receiver<Asked>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
) {
    let mut services = Services::default();
    let mut calls = FuturesUnordered::new();
    let mut is_fed = true;
    loop {
        tokio::select! {
            changed = snapshots.changed(), if is_fed => match changed {
                Ok(()) => services.configure(&snapshots.borrow_and_update()),
                // Nobody is left to change it: the last one stays.
                Err(_) => is_fed = false,
            },
            Some((from, answered)) = calls.next() => {
                tell(&workers, from, &answered);
                services.learn(&answered, Instant::now(), rand::random());
            }
            one = asked.recv(), if calls.len() < CALLS => {
                // No worker is left.
                let Some(Asked { worker, question }) = one else { return };
                let from = (worker, question.id);
                let now = Instant::now();
                // One that has waited too long was decided by its worker.
                if question.due <= now {
                    continue;
                }
                let call = services.call(&question, &snapshots.borrow(), now);
                match call {
                    Some(call) => calls.push(async move { (from, call.make().await) }),
                    None => workers.decide(from, Verdict::Failed(Failure::Unreachable)),
                }
            }
        }
    }
}

fn tell(workers: &Workers, from: (usize, QuestionId), answered: &Answered) {
    // At that time its worker has decided.
    if answered.verdict != Verdict::Failed(Failure::Timeout) {
        workers.decide(from, answered.verdict);
    }
}
