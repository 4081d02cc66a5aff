//! Hosts in turns as frequent as their weights, which change with their load: Envoy's `EdfScheduler`,
//! by which it balances least requests where weights differ.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::draws::Draws;

/// The earliest deadline is first; each host's next one is as far away as it is light.
///
/// A pick costs the logarithm of the number of hosts, and allocates nothing.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    turns: BinaryHeap<Turn>,
    /// How many turns were given.
    given: u64,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    deadline: f64,
    /// Of equal deadlines the one that was given first is first.
    order: u64,
    position: usize,
}

impl Schedule {
    /// Of hosts with these weights, each somewhere on its way to its first turn: a schedule that is made
    /// anew often, as while hosts warm up, favours nobody.
    pub(super) fn new(weights: impl Iterator<Item = f64>, draws: &mut Draws) -> Self {
        let turns = weights.enumerate().map(|(position, weight)| Turn {
            deadline: f64::from(draws.next_u32()) / f64::from(u32::MAX) / weight,
            order: position as u64,
            position,
        });
        let turns: BinaryHeap<Turn> = turns.collect();
        Self {
            given: turns.len() as u64,
            turns,
        }
    }

    /// The position of the host whose turn it is. `weight` is what it weighs now.
    pub(super) fn pick(&mut self, weight: impl FnOnce(usize) -> f64) -> Option<usize> {
        let mut first = self.turns.peek_mut()?;
        let position = first.position;
        *first = Turn {
            deadline: first.deadline + 1.0 / weight(position),
            order: self.given,
            position,
        };
        self.given += 1;
        Some(position)
    }
}

impl Ord for Turn {
    /// The greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_deadline = other.deadline.total_cmp(&self.deadline);
        by_deadline.then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Turn {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Envoy's rule without a heap: all turns are looked at.
    struct Naive(Vec<Turn>);

    impl Naive {
        fn pick(&mut self, given: u64, weight: impl Fn(usize) -> f64) -> usize {
            let earliest = |a: &&mut Turn, b: &&mut Turn| {
                let by_deadline = a.deadline.total_cmp(&b.deadline);
                by_deadline.then(a.order.cmp(&b.order))
            };
            let first = self.0.iter_mut().min_by(earliest).unwrap();
            first.deadline += 1.0 / weight(first.position);
            first.order = given;
            first.position
        }
    }

    fn of(weights: &[u32], seed: u64) -> Schedule {
        let weights = weights.iter().map(|weight| f64::from(*weight));
        Schedule::new(weights, &mut Draws::new(seed))
    }

    proptest! {
        /// Requests come and go: the host is always the one that Envoy's schedule names.
        #[test]
        fn the_earliest_is_found(
            weights in prop::collection::vec(1_u32..20, 1..12),
            seed in any::<u64>(),
            ends in prop::collection::vec(any::<(bool, prop::sample::Index)>(), 1..300),
        ) {
            let mut schedule = of(&weights, seed);
            let mut naive = Naive(schedule.turns.clone().into_vec());
            let mut active = vec![0_u32; weights.len()];
            for (ended, which) in ends {
                let weight = |host: usize| f64::from(weights[host]) / f64::from(active[host] + 1);
                let expected = naive.pick(schedule.given, weight);
                prop_assert_eq!(schedule.pick(weight), Some(expected));
                active[expected] += 1;
                if ended {
                    let host = which.index(active.len());
                    active[host] = active[host].saturating_sub(1);
                }
            }
        }

        /// Idle hosts have their shares within one turn.
        #[test]
        fn shares_of_the_idle_are_their_weights(
            weights in prop::collection::vec(1_u32..20, 1..12),
            seed in any::<u64>(),
            cycles in 1_u32..5,
        ) {
            let mut schedule = of(&weights, seed);
            let mut picked = vec![0_u32; weights.len()];
            let total: u32 = weights.iter().sum();
            for _ in 0..total * cycles {
                let host = schedule.pick(|host| f64::from(weights[host])).unwrap();
                picked[host] += 1;
            }
            for (picked, weight) in picked.iter().zip(&weights) {
                prop_assert!(picked.abs_diff(weight * cycles) <= 1, "{picked} of {weight}");
            }
        }
    }
}
