//! Numbers drawn from a seed: splitmix64, whose every bit depends on every bit of the seed, which is fast, fits into
//! three lines and never changes. Not for secrets.

/// A sequence of numbers that its seed alone decides.
pub(super) struct Random {
    state: u64,
}

/// The step between states: 2^64 divided by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The sequence of one row: of the `row`-th of `kind` in the data set of `seed`. Rows are independent of each
    /// other, so that any part of a data set can be generated alone.
    pub fn of_row(seed: u64, kind: u64, row: u64) -> Self {
        Random { state: mix(mix(mix(seed).wrapping_add(kind)).wrapping_add(row)) }
    }

    /// The next number; all 64 bits are equally good.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// The next number, brought below `limit` by a multiplication, which is faster than a remainder and as even; 0 if
    /// `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}

/// Splitmix64's output function: a bijection of 64 bits that leaves no pattern of its input.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers that the published algorithm gives for the seed 1234567.
    #[test]
    fn it_is_splitmix64() {
        let mut random = Random { state: 1_234_567 };
        let numbers = [(); 3].map(|()| random.next());
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn small_numbers_are_spread_evenly() {
        let mut counts = [0u32; 10];
        for row in 0..100_000 {
            counts[Random::of_row(1, 2, row).below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!(Random::of_row(0, 0, 0).below(0), 0);
    }
}
