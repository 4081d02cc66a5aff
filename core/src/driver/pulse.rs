//! Whether a worker is hot, or stuck, without asking it.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

/// Written by its worker as turns begin and end, read by whoever asks.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Of its thread, and when that began.
    thread: OnceLock<(Pid, Instant)>,
    /// Nanoseconds from there to the beginning of the turn that it is in; 0 while it waits.
    began: AtomicU64,
}

/// How a worker is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vitals {
    /// Its client connections.
    pub(crate) connections: usize,
    /// For how long it has been in its turn; zero while it waits.
    pub(crate) turn: Duration,
    /// What its thread has had of a CPU; nothing where the system does not tell.
    pub(crate) cpu: Option<Duration>,
}

impl Pulse {
    /// This thread is the worker's.
    pub(super) fn start(&self, now: Instant) {
        // A worker has one thread.
        let _ = self.thread.set((gettid(), now));
    }

    pub(super) fn turn_begins(&self, now: Instant) {
        let since = self
            .thread
            .get()
            .map(|&(_, start)| nanoseconds(now - start));
        self.began
            .store(since.unwrap_or_default().max(1), Ordering::Relaxed);
    }

    pub(super) fn turn_ends(&self) {
        self.began.store(0, Ordering::Relaxed);
    }

    pub(super) fn vitals(&self, connections: usize, now: Instant) -> Vitals {
        let began = self.began.load(Ordering::Relaxed);
        let thread = self.thread.get();
        let turn = thread.filter(|_| began > 0).map(|&(_, start)| {
            let lasts = now.saturating_duration_since(start);
            lasts.saturating_sub(Duration::from_nanos(began))
        });
        Vitals {
            connections,
            turn: turn.unwrap_or_default(),
            cpu: thread.and_then(|&(thread, _)| cpu_time(thread)),
        }
    }
}

/// Of five centuries at most. In 64 bits: this is done twice a request where requests come one by one.
fn nanoseconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs().wrapping_mul(1_000_000_000);
    seconds.wrapping_add(duration.subsec_nanos().into())
}

/// By the scheduler's own clock, the first number of `schedstat` (proc_pid_schedstat(5)), in nanoseconds.
fn cpu_time(thread: Pid) -> Option<Duration> {
    let path = format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero());
    let text = fs::read_to_string(path).ok()?;
    let nanoseconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// Keeps this thread on one of the CPUs that it may run on: the one of this number, beginning anew where there
/// are fewer.
///
/// # Errors
/// The system does not allow it.
pub(super) fn keep_on_one_cpu(number: usize) -> rustix::io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let allowed: Vec<_> = (0..CpuSet::MAX_CPU)
        .filter(|&cpu| allowed.is_set(cpu))
        .collect();
    let Some(&cpu) = allowed.get(number % allowed.len().max(1)) else {
        return Ok(());
    };
    let mut one = CpuSet::new();
    one.set(cpu);
    sched_setaffinity(None, &one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_lasts_until_it_ends_and_a_thread_has_had_of_a_cpu() {
        let pulse = Pulse::default();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(pulse.vitals(0, at(5)).turn, Duration::ZERO);
        assert_eq!(pulse.vitals(0, at(5)).cpu, None, "it does not run yet");
        pulse.start(start);
        pulse.turn_begins(at(10));
        let vitals = pulse.vitals(7, at(25));
        assert_eq!(
            (vitals.connections, vitals.turn),
            (7, Duration::from_millis(15))
        );
        // The scheduler adds it up when the thread has had its turn.
        while pulse.vitals(7, at(25)).cpu == Some(Duration::ZERO) {
            std::thread::yield_now();
        }
        assert!(vitals.cpu.is_some(), "{vitals:?}");
        pulse.turn_ends();
        assert_eq!(pulse.vitals(7, at(30)).turn, Duration::ZERO);
    }

    #[test]
    fn threads_are_kept_on_cpus_in_turn() {
        let count = std::thread::available_parallelism().unwrap().get();
        let place = |number| {
            let thread = std::thread::spawn(move || {
                keep_on_one_cpu(number).unwrap();
                let set = sched_getaffinity(None).unwrap();
                let cpus = (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu));
                cpus.collect::<Vec<_>>()
            });
            thread.join().unwrap()
        };
        let places: Vec<_> = (0..count).map(place).collect();
        assert!(places.iter().all(|cpus| cpus.len() == 1), "{places:?}");
        let distinct: std::collections::BTreeSet<_> = places.iter().collect();
        assert_eq!(distinct.len(), count);
        assert_eq!(place(count), place(0));
    }
}
