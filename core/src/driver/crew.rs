//! All workers, as each of them knows the others: who has how many connections, and how it is told
//! something.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as commands;
use std::time::Instant;

use mio::Waker;

use super::link::Load;
use super::pulse::{Pulse, Vitals};
use super::worker::Command;

/// The workers by their number.
#[derive(Debug)]
pub(super) struct Crew(Box<[Handle]>);

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) commands: commands::Sender<Command>,
    /// Tells it that there are some.
    pub(super) waker: Waker,
    /// Its client connections.
    pub(super) load: Arc<AtomicUsize>,
    pub(super) pulse: Arc<Pulse>,
}

impl Crew {
    pub(super) fn new(handles: Vec<Handle>) -> Self {
        Self(handles.into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Counts one more connection of the worker that has the fewest, and says which one that is:
    /// `own` where no other has fewer.
    pub(super) fn count_in(&self, own: usize) -> Option<(usize, Load)> {
        loop {
            let loads = self.0.iter().map(|it| it.load.load(Ordering::Relaxed));
            let (number, load) = least(loads, own)?;
            let of = &self.0.get(number)?.load;
            // Where another worker has counted one in meanwhile, who has the fewest is asked again.
            let counted = of.compare_exchange(load, load + 1, Ordering::Relaxed, Ordering::Relaxed);
            if counted.is_ok() {
                return Some((number, Load::of(Arc::clone(of))));
            }
        }
    }

    pub(super) fn tell(&self, number: usize, command: Command) {
        if let Some(worker) = self.0.get(number) {
            worker.tell(command);
        }
    }

    /// How each of them is, without asking it.
    pub(super) fn vitals(&self, now: Instant) -> Vec<Vitals> {
        let vitals = |it: &Handle| it.pulse.vitals(it.load.load(Ordering::Relaxed), now);
        self.0.iter().map(vitals).collect()
    }

    /// Tells each of them.
    pub(super) fn tell_all(&self, mut command: impl FnMut() -> Command) {
        for worker in &self.0 {
            worker.tell(command());
        }
    }
}

impl Handle {
    fn tell(&self, command: Command) {
        // A worker that has ended closed its connections; it needs to be told nothing.
        if self.commands.send(command).is_ok() {
            // A wake-up that cannot be written is one of many that were not read.
            let _ = self.waker.wake();
        }
    }
}

/// The worker with the fewest connections, `own` before others, and how many these are.
fn least(loads: impl Iterator<Item = usize>, own: usize) -> Option<(usize, usize)> {
    loads
        .enumerate()
        .min_by_key(|&(number, load)| (load, number != own))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use mio::{Poll, Token};

    use super::*;

    #[test]
    fn connections_that_are_counted_at_once_are_spread_evenly() {
        const WORKERS: usize = 3;
        let polls: Vec<_> = (0..WORKERS).map(|_| Poll::new().unwrap()).collect();
        let handles = polls.iter().map(|poll| Handle {
            commands: commands::channel().0,
            waker: Waker::new(poll.registry(), Token(0)).unwrap(),
            load: Arc::default(),
            pulse: Arc::default(),
        });
        let crew = Arc::new(Crew::new(handles.collect()));
        let threads = (0..WORKERS).map(|own| {
            let crew = Arc::clone(&crew);
            thread::spawn(move || {
                let counted = (0..2_000).map(|_| crew.count_in(own).unwrap().1);
                counted.collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        let counted: Vec<_> = threads.into_iter().map(|it| it.join().unwrap()).collect();
        let loads = || -> Vec<_> {
            let vitals = crew.vitals(Instant::now());
            vitals.iter().map(|it| it.connections).collect()
        };
        assert_eq!(loads(), [2_000; WORKERS]);
        drop(counted);
        assert_eq!(loads(), [0; WORKERS]);
    }

    #[test]
    fn a_connection_goes_to_who_has_the_fewest_and_stays_where_nobody_has_fewer() {
        for (loads, own, expected) in [
            (&[0][..], 0, Some((0, 0))),
            (&[3, 3, 3], 1, Some((1, 3))),
            (&[3, 3, 2], 1, Some((2, 2))),
            (&[2, 3, 2], 1, Some((0, 2))),
            (&[], 0, None),
        ] {
            assert_eq!(least(loads.iter().copied(), own), expected, "{loads:?}");
        }
    }
}
