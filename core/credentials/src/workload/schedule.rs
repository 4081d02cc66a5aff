//! When a certificate is asked for, and when one counts no more: no clock, no network, nothing but times.

use std::time::Duration;

use crate::Backoff;

/// Since 1970, as certificates have it.
pub(super) type Time = Duration;

/// What a CA gives for less than twice this is renewed no sooner.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Ask,
    /// What there is has ended.
    Withdraw,
    /// Nothing before this time.
    Wait(Time),
}

/// Of one certificate after the other.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// When the next is asked for.
    due: Time,
    /// When the last one ends; none: there is none.
    ends: Option<Time>,
    backoff: Backoff,
}

impl Schedule {
    pub(super) fn step(&self, now: Time) -> Step {
        match self.ends {
            Some(ends) if now >= ends => Step::Withdraw,
            _ if now >= self.due => Step::Ask,
            Some(ends) => Step::Wait(ends.min(self.due)),
            None => Step::Wait(self.due),
        }
    }

    /// There is a new one: the next is due when half of its life is over, or up to a tenth of that earlier, so that the
    /// proxies of a mesh do not come in step. `random` is drawn from the whole range.
    pub(super) fn granted(&mut self, now: Time, ends: Time, random: u32) {
        self.backoff.succeeded();
        let half = ends.saturating_sub(now) / 2;
        let early = (half / 10).mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.due = now + half.saturating_sub(early).max(SHORTEST);
        self.ends = Some(ends);
    }

    /// There is none, for now; says for how long nobody is asked.
    pub(super) fn failed(&mut self, now: Time, random: u32) -> Duration {
        let delay = self.backoff.failed(random);
        self.due = now + delay;
        delay
    }

    /// Those whom the mesh believes are others. A CA that is out of reach is not asked more often for it.
    pub(super) fn ask_soon(&mut self, now: Time) {
        self.due = self.due.min(now + SHORTEST);
    }

    /// The last one is gone.
    pub(super) fn withdrawn(&mut self) {
        self.ends = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: fn(u64) -> Time = Duration::from_secs;

    #[test]
    fn one_is_asked_for_at_once_and_renewed_at_half_of_its_life() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.step(S(1000)), Step::Ask);
        for (random, due) in [(0, 1500), (u32::MAX, 1450)] {
            schedule.granted(S(1000), S(2000), random);
            assert_eq!(schedule.step(S(1000)), Step::Wait(S(due)));
            assert_eq!(schedule.step(S(due - 1)), Step::Wait(S(due)));
            assert_eq!(schedule.step(S(due)), Step::Ask);
        }
        // Where the clock goes back, nothing is due.
        assert_eq!(schedule.step(S(1)), Step::Wait(S(1450)));
    }

    #[test]
    fn a_ca_that_is_down_is_asked_again_and_what_ends_is_withdrawn() {
        let mut schedule = Schedule::default();
        schedule.granted(S(0), S(20), 0);
        assert_eq!(schedule.step(S(10)), Step::Ask);
        let delays = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        let mut now = S(10);
        for delay in delays {
            let delay = Duration::from_millis(delay);
            assert_eq!(schedule.failed(now, u32::MAX), delay);
            let due = (now + delay).min(S(20));
            assert_eq!(schedule.step(now), Step::Wait(due));
            now = due;
            if now >= S(20) {
                break;
            }
            assert_eq!(schedule.step(now), Step::Ask);
        }
        assert_eq!(schedule.step(now), Step::Withdraw);
        schedule.withdrawn();
        assert_ne!(schedule.step(now), Step::Withdraw);
        assert_eq!(schedule.step(S(60)), Step::Ask);
    }

    #[test]
    fn other_roots_are_reason_to_ask() {
        let mut schedule = Schedule::default();
        schedule.granted(S(0), S(1000), 0);
        schedule.ask_soon(S(10));
        assert_eq!(schedule.step(S(10)), Step::Wait(S(11)));
        assert_eq!(schedule.step(S(11)), Step::Ask);
    }

    #[test]
    fn what_ended_before_it_came_is_not_asked_for_without_a_pause() {
        let mut schedule = Schedule::default();
        schedule.granted(S(100), S(50), 0);
        assert_eq!(schedule.step(S(100)), Step::Withdraw);
        schedule.withdrawn();
        assert_eq!(schedule.step(S(100)), Step::Wait(S(101)));
    }

    proptest! {
        /// With a CA that sometimes answers, whoever has half of a certificate's life to reach it again never is without.
        #[test]
        fn a_ca_that_is_back_in_time_is_never_missed(
            outages in prop::collection::vec((any::<u32>(), 0_u64..440), 1..50),
        ) {
            const LIFE: u64 = 1000;
            let mut schedule = Schedule::default();
            let mut now = S(5000);
            schedule.granted(now, now + S(LIFE), 0);
            for (random, outage) in outages {
                let mut back = None;
                loop {
                    match schedule.step(now) {
                        Step::Wait(until) => {
                            prop_assert!(until > now);
                            now = until;
                        }
                        Step::Withdraw => prop_assert!(false, "it has ended"),
                        Step::Ask if now >= *back.get_or_insert(now + S(outage)) => {
                            schedule.granted(now, now + S(LIFE), random);
                            break;
                        }
                        Step::Ask => {
                            schedule.failed(now, random);
                        }
                    }
                }
            }
        }
    }
}
