//! MT19937, the generator by which Envoy puts hosts in an order: `std::mt19937`.

const WORDS: usize = 624;
const MIDDLE: usize = 397;

pub(super) struct Twister {
    state: [u32; WORDS],
    next: usize,
}

impl Twister {
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        let mut last = seed;
        for (index, word) in (1_u32..).zip(state.iter_mut().skip(1)) {
            last = (last ^ (last >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(index);
            *word = last;
        }
        Self { state, next: WORDS }
    }

    fn twist(&mut self) {
        for index in 0..WORDS {
            let (here, behind) = (self.state[index], self.state[(index + 1) % WORDS]);
            let bits = (here & 0x8000_0000) | (behind & 0x7fff_ffff);
            let odd = if bits & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + MIDDLE) % WORDS] ^ (bits >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// Evenly from `0..end`, as Envoy draws it; 0 where that is empty.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        let Some(width) = (1_u64 << 32).checked_div(u64::from(end)) else {
            return 0;
        };
        loop {
            let drawn = u64::from(self.word()) / width;
            if let Some(drawn) = u32::try_from(drawn).ok().filter(|drawn| *drawn < end) {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C++ standard names the ten thousandth number of the default seed ([rand.predef]).
    #[test]
    fn it_is_the_one_of_the_standard() {
        let mut random = Twister::new(5489);
        assert_eq!(random.word(), 3_499_211_612);
        let last = (1..10_000).map(|_| random.word()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn draws_stay_below_their_end() {
        let mut random = Twister::new(7);
        assert_eq!(random.below(0), 0);
        for end in [1, 2, 3, 7, 1000] {
            assert!((0..200).all(|_| random.below(end) < end));
        }
    }
}
