//! Weighted choice that is exact over time.
//!
//! A [`WeightedCycle`] of total weight W visits each of W equal slots once in every W consecutive
//! turns, in an order that spreads the slots of a choice evenly. So 90/10 is exactly 90 and 10 in
//! any hundred consecutive requests, where random choice would be off by several. It is immutable
//! and can be shared; the caller keeps the turn, one counter for each user of the cycle.

use thiserror::Error;

/// Weights that cannot be shared out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WeightsError {
    #[error("there is nothing to choose from")]
    Empty,
    #[error("all weights are 0")]
    Zero,
    #[error("the weights add up to {total}, more than 4294967295")]
    TooLarge { total: u64 },
    /// Rule of the MetaRouter resource, for more than one destination.
    #[error("the weights add up to {total}; they have to add up to 100")]
    NotHundred { total: u64 },
}

/// Checks the weights of a route's destinations: of several, they add up to 100; a single one's
/// weight means nothing.
pub fn validate_percentages(weights: &[u32]) -> Result<(), WeightsError> {
    match weights {
        [] => Err(WeightsError::Empty),
        [_] => Ok(()),
        _ => match total(weights) {
            100 => Ok(()),
            total => Err(WeightsError::NotHundred { total }),
        },
    }
}

/// Chooses among indices in proportion to their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedCycle {
    /// Where each index's slots end; empty when all weights are equal.
    ends: Vec<u32>,
    slots: u32,
    /// Coprime to `slots`: turns that follow each other land far apart.
    stride: u32,
}

impl WeightedCycle {
    /// A weight of 0 is never chosen.
    pub fn new(weights: &[u32]) -> Result<Self, WeightsError> {
        let sum = total(weights);
        if weights.is_empty() {
            return Err(WeightsError::Empty);
        }
        if sum == 0 {
            return Err(WeightsError::Zero);
        }
        if weights.iter().all(|&weight| weight == weights[0])
            && let Ok(slots) = u32::try_from(weights.len())
        {
            return Ok(Self {
                ends: Vec::new(),
                slots,
                stride: 1,
            });
        }
        if u32::try_from(sum).is_err() {
            return Err(WeightsError::TooLarge { total: sum });
        }
        let unit = weights.iter().copied().fold(0, gcd);
        let ends: Vec<u32> = weights
            .iter()
            .scan(0, |end, &weight| {
                *end += weight / unit;
                Some(*end)
            })
            .collect();
        let slots = ends.last().copied().unwrap_or_default();
        Ok(Self {
            ends,
            slots,
            stride: golden_stride(slots),
        })
    }

    /// The choice of a turn; consecutive turns keep the proportions exactly.
    pub fn at(&self, turn: u64) -> usize {
        let slot = turn % u64::from(self.slots);
        self.owner((slot * u64::from(self.stride) % u64::from(self.slots)) as u32)
    }

    /// A choice by an evenly distributed random number; keeps the proportions on average.
    pub fn pick(&self, random: u32) -> usize {
        self.owner(((u64::from(random) * u64::from(self.slots)) >> 32) as u32)
    }

    /// The part of all turns, from 0 to 1, that is the choice's.
    pub fn share(&self, choice: usize) -> f64 {
        let end = |choice: usize| match self.ends.get(choice) {
            Some(&end) => end,
            None if self.ends.is_empty() => (choice as u32 + 1).min(self.slots),
            None => self.slots,
        };
        let start = choice.checked_sub(1).map_or(0, end);
        f64::from(end(choice) - start) / f64::from(self.slots)
    }

    fn owner(&self, slot: u32) -> usize {
        if self.ends.is_empty() {
            slot as usize
        } else {
            self.ends.partition_point(|&end| end <= slot)
        }
    }
}

fn total(weights: &[u32]) -> u64 {
    weights.iter().map(|&weight| u64::from(weight)).sum()
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The number nearest below `slots / φ` that is coprime to `slots`.
///
/// Multiples of the golden ratio spread most evenly over a circle; coprimality makes the walk
/// visit every slot.
fn golden_stride(slots: u32) -> u32 {
    let golden = ((u64::from(slots) * 0x9E37_79B9) >> 32) as u32;
    (1..=golden)
        .rev()
        .find(|&stride| gcd(stride, slots) == 1)
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentages_are_validated() {
        for (weights, expected) in [
            (&[][..], Err(WeightsError::Empty)),
            (&[7], Ok(())),
            (&[0], Ok(())),
            (&[90, 10], Ok(())),
            (&[100, 0], Ok(())),
            (&[50, 49], Err(WeightsError::NotHundred { total: 99 })),
            (
                &[u32::MAX, 101],
                Err(WeightsError::NotHundred {
                    total: u64::from(u32::MAX) + 101,
                }),
            ),
        ] {
            assert_eq!(validate_percentages(weights), expected, "{weights:?}");
        }
    }

    #[test]
    fn weights_without_a_choice_are_refused() {
        for (weights, expected) in [
            (&[][..], WeightsError::Empty),
            (&[0, 0], WeightsError::Zero),
            (
                &[u32::MAX, 1],
                WeightsError::TooLarge {
                    total: u64::from(u32::MAX) + 1,
                },
            ),
        ] {
            assert_eq!(WeightedCycle::new(weights), Err(expected), "{weights:?}");
        }
    }

    #[test]
    fn equal_weights_take_turns() {
        let cycle = WeightedCycle::new(&[5, 5, 5]).unwrap();
        let turns: Vec<usize> = (0..6).map(|turn| cycle.at(turn)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_rare_choice_is_spread_out() {
        let cycle = WeightedCycle::new(&[90, 10]).unwrap();
        for ten in 0..10 {
            let rare = (ten * 10..ten * 10 + 10)
                .filter(|&t| cycle.at(t) == 1)
                .count();
            assert!(rare <= 2, "{rare} of ten go to the choice of weight 10");
        }
    }

    proptest! {
        #[test]
        fn any_whole_cycle_is_exact(
            weights in prop::collection::vec(0u32..50, 1..10)
                .prop_filter("something to choose", |w| w.iter().any(|&w| w > 0)),
            start in 0u64..1 << 40,
        ) {
            let cycle = WeightedCycle::new(&weights).unwrap();
            let mut counts = vec![0u32; weights.len()];
            for turn in start..start + total(&weights) {
                counts[cycle.at(turn)] += 1;
            }
            prop_assert_eq!(counts, weights);
        }

        #[test]
        fn random_choice_has_the_same_slots(
            weights in prop::collection::vec(0u32..50, 1..10)
                .prop_filter("something to choose", |w| w.iter().any(|&w| w > 0)),
        ) {
            let cycle = WeightedCycle::new(&weights).unwrap();
            let sum = total(&weights);
            for (choice, &weight) in weights.iter().enumerate() {
                prop_assert_eq!(cycle.share(choice), f64::from(weight) / sum as f64);
            }
            prop_assert_eq!(cycle.share(weights.len()), 0.0);
            let mut counts = vec![0u32; weights.len()];
            for slot in 0..sum {
                // The middle of each of `sum` equal parts of the range of the random number.
                counts[cycle.pick((((2 * slot + 1) << 31) / sum) as u32)] += 1;
            }
            prop_assert_eq!(counts, weights);
        }
    }
}
