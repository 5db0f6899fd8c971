//! The hashes that are fixed for good: the one that assigns keys to shards, and the one that combiners index by.
//! Both are part of the topology version: another function is another format.

use std::hash::{Hash, Hasher};

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15; // 2^64 divided by the golden ratio

/// FNV-1a.
#[inline]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The shard that a key belongs to, from the key's encoding: FNV-1a, its high bits mixed, scaled to the shard count.
#[inline]
pub fn shard_of(key: &[u8], shards: u16) -> u16 {
    let hash = fnv1a(key);
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(MULTIPLIER);
    ((u128::from(mixed) * u128::from(shards)) >> 64) as u16 // below `shards`, so it fits
}

/// A fast hash of a typed key that is the same in every process: combiners index their slots by it, and a segment's
/// bytes may depend on its input alone. Not for tables that an attacker's keys fill: those hash by a random seed.
#[inline]
pub fn fixed<K: Hash>(key: &K) -> u64 {
    let mut hasher = Fixed(MULTIPLIER);
    key.hash(&mut hasher);
    hasher.finish()
}

struct Fixed(u64);

impl Fixed {
    #[inline(always)]
    fn mix(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * u128::from(MULTIPLIER);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for Fixed {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.mix(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.mix(value.into());
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.mix(value.into());
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.mix(value.into());
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64); // the same on 32-bit and 64-bit machines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_fixed_for_good() {
        let shards: Vec<u16> = (0..12u8).map(|key| shard_of(&[key, 7], 5)).collect();
        assert_eq!(shards, PINNED);
    }

    const PINNED: [u16; 12] = [1, 4, 4, 3, 4, 3, 0, 1, 2, 0, 4, 2];

    #[test]
    fn shards_are_in_range_and_even() {
        let mut load = [0u32; 7];
        for key in 0..70_000u32 {
            load[usize::from(shard_of(&key.to_le_bytes(), 7))] += 1;
        }
        assert!(load.iter().all(|n| (9_000..11_000).contains(n)), "{load:?}");
    }

    #[test]
    fn fixed_spreads_close_keys() {
        let mut load = [0u32; 64];
        for key in 0..64_000u64 {
            load[(fixed(&(key % 40, key / 40)) >> 58) as usize] += 1;
        }
        assert!(load.iter().all(|n| (500..1_500).contains(n)), "{load:?}");
    }
}
