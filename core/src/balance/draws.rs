//! Further random numbers from the one that a caller gives.

/// SplitMix64: each draw is as good as independent of the others.
#[derive(Clone, Debug, Default)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new(random: u64) -> Self {
        Self(random)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly from all 32-bit numbers.
    pub(super) fn next_u32(&mut self) -> u32 {
        (self.next() >> 32) as u32
    }

    /// Evenly from `0..end`; 0 if that is empty.
    pub(super) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}
