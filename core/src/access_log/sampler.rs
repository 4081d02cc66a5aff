//! Which exchanges are logged.

use rand::Rng;

/// Counts down to the next exchange that is logged, so that those in between cost no draw.
///
/// That each is logged with the same chance, whatever became of the one before, makes the gaps between
/// them geometrically distributed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    /// Of exchanges, from 0 to 1.
    part: f64,
    /// How many are passed over before the next.
    gap: u64,
}

impl Sampler {
    /// `percent` of the exchanges, from 0 to 100.
    pub(crate) fn new(percent: f64, random: &mut impl Rng) -> Self {
        let part = percent / 100.0;
        Self {
            part,
            gap: gap(part, random),
        }
    }

    /// Whether the next exchange is logged.
    pub(crate) fn takes_next(&self) -> bool {
        self.gap == 0
    }

    /// The next exchange begins. True: it is logged.
    pub(crate) fn take(&mut self, random: &mut impl Rng) -> bool {
        let takes = self.takes_next();
        match takes {
            true => self.gap = gap(self.part, random),
            false => self.pass(),
        }
        takes
    }

    /// The next exchange begins, and is known not to be logged.
    pub(crate) fn pass(&mut self) {
        self.gap = self.gap.saturating_sub(1);
    }
}

fn gap(part: f64, random: &mut impl Rng) -> u64 {
    if part >= 1.0 {
        return 0;
    }
    if part <= 0.0 {
        return u64::MAX;
    }
    let drawn: f64 = 1.0 - random.random::<f64>();
    (drawn.ln() / (1.0 - part).ln()) as u64
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn so_many_percent_are_taken() {
        for (percent, least, most) in [
            (100.0, 100_000, 100_000),
            // Five standard deviations of a binomial distribution.
            (25.0, 24_315, 25_685),
            (1.0, 842, 1_158),
            (0.0, 0, 0),
        ] {
            let mut random = SmallRng::seed_from_u64(1);
            let mut sampler = Sampler::new(percent, &mut random);
            let taken = (0..100_000).filter(|_| sampler.take(&mut random)).count();
            assert!((least..=most).contains(&taken), "{percent} %: {taken}");
        }
    }

    #[test]
    fn what_is_passed_counts() {
        let mut random = SmallRng::seed_from_u64(2);
        let mut sampler = Sampler { part: 0.5, gap: 3 };
        for _ in 0..3 {
            assert!(!sampler.takes_next());
            sampler.pass();
        }
        assert!(sampler.takes_next() && sampler.take(&mut random));
    }
}
