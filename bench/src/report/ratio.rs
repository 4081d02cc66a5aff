//! One cost as a multiple of another, and how far a run agrees with itself about it.

use std::fmt;

/// Least cost by least cost: noise only adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    pub(super) value: f64,
    /// The least and the greatest of what the thirds of the run say, each by itself; nothing where
    /// there are too few rounds.
    pub(super) range: Option<(f64, f64)>,
}

/// Parts of a run that are asked apart.
const PARTS: usize = 3;

impl Ratio {
    /// `cost` as a multiple of `ruler`; each has a value for every round.
    pub(super) fn between(cost: &[f64], ruler: &[f64]) -> Option<Self> {
        let value = least(cost)? / least(ruler)?;
        let thirds = parts(cost).zip(parts(ruler));
        let thirds = thirds.filter_map(|(cost, ruler)| Some(least(cost)? / least(ruler)?));
        let thirds: Vec<_> = thirds.collect();
        let range = (thirds.len() == PARTS).then(|| {
            let low = thirds.iter().copied().fold(f64::INFINITY, f64::min);
            (low, thirds.iter().copied().fold(0.0, f64::max))
        });
        Some(Self { value, range })
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.value)?;
        match self.range {
            Some((low, high)) => write!(f, " ({low:.2} to {high:.2})"),
            None => Ok(()),
        }
    }
}

fn parts(rounds: &[f64]) -> impl Iterator<Item = &[f64]> {
    rounds.chunks(rounds.len().div_ceil(PARTS).max(1))
}

pub(super) fn least(values: &[f64]) -> Option<f64> {
    values.iter().copied().min_by(f64::total_cmp)
}

/// The middle value; of an even number the lower of the two, which was really measured.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_measured_value() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0], Some(3.0)),
            (&[9.0, 1.0], Some(1.0)),
            (&[9.0, 1.0, 5.0], Some(5.0)),
        ] {
            assert_eq!(median(values), expected);
        }
    }

    #[test]
    fn a_range_is_what_the_thirds_of_a_run_say() {
        let ruler = [1.0; 6];
        for (cost, ruler, expected) in [
            (&[][..], &ruler[..], None),
            (&[2.0, 3.0], &ruler, Some((2.0, None))),
            (
                &[2.0, 9.0, 3.0, 9.0, 4.0, 9.0],
                &ruler,
                Some((2.0, Some((2.0, 4.0)))),
            ),
            (
                &[2.0, 2.0, 2.0],
                &[4.0, 2.0, 1.0],
                Some((2.0, Some((0.5, 2.0)))),
            ),
        ] {
            let expected = expected.map(|(value, range)| Ratio { value, range });
            assert_eq!(Ratio::between(cost, ruler), expected, "{cost:?}");
        }
    }
}
