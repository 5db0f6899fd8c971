//! Numbers that a seed decides, by splitmix64: small, and good enough to spread and to choose. And
//! names that nobody else has.

use std::hash::{BuildHasher, RandomState};

/// The step between states: 2^64 divided by the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Numbers in a row, the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The choices of one operation, independent of those of all others.
    pub(crate) fn of(seed: u64, operation: u64) -> Self {
        Self { state: mix(mix(seed).wrapping_add(operation)) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A number below `limit`; 0 if that is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }

    /// 0 or more, below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        // 53 bits are what a double holds exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// True for `rate` in a thousand.
    pub(crate) fn hits(&mut self, rate: u32) -> bool {
        self.below(1000) < rate as usize
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// 32 hexadecimal digits, unlike those of any other call in any process.
pub(crate) fn unique_id() -> String {
    format!("{:016x}{:016x}", fresh_seed(), fresh_seed())
}

/// A seed unlike that of any other call in any process.
pub(crate) fn fresh_seed() -> u64 {
    // The keys of a RandomState start at random, and no two have the same.
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_spread_evenly() {
        let mut random = Random::new(7);
        let mean = (0..10_000).map(|_| random.fraction()).sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }

    #[test]
    fn ids_differ_and_have_32_digits() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| unique_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit())));
    }
}
