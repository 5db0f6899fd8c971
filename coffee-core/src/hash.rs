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

/// A fast hash of a typed key that is the same in every process. Not for tables that an attacker's keys fill: those hash
/// by a random seed.
#[inline]
pub fn fixed<K: Hash>(key: &K) -> u64 {
    mix(word_of(key))
}

/// How many bits a [`slot`] has.
pub const SLOT_BITS: u32 = 12;

/// A typed key's slot in a direct-mapped table: as fixed as [`fixed`] is, as a segment's bytes may depend on its input
/// alone. A key that is one small integer has a slot of that number's own, so that few dense keys never meet in one.
#[inline]
pub fn slot<K: Hash>(key: &K) -> u16 {
    let word = word_of(key);
    if word < 1 << SLOT_BITS { word as u16 } else { (mix(word) >> (64 - SLOT_BITS)) as u16 }
}

/// A key as one word: the last of its words, altered by those before. Of a single word, that word.
#[inline]
fn word_of<K: Hash>(key: &K) -> u64 {
    let mut hasher = Fixed(0);
    key.hash(&mut hasher);
    hasher.finish()
}

/// Spreads a word over all bits; 0 stays 0.
#[inline(always)]
fn mix(word: u64) -> u64 {
    let product = u128::from(word) * u128::from(MULTIPLIER);
    (product as u64) ^ ((product >> 64) as u64)
}

struct Fixed(u64);

impl Fixed {
    #[inline(always)]
    fn add(&mut self, value: u64) {
        self.0 = mix(self.0) ^ value;
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
            self.add(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.add(value.into());
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.add(value.into());
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.add(value.into());
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.add((value >> 64) as u64); // nothing, where it is 0
        self.add(value as u64);
    }

    #[inline]
    fn write_i8(&mut self, value: i8) {
        self.write_i64(value.into());
    }

    #[inline]
    fn write_i16(&mut self, value: i16) {
        self.write_i64(value.into());
    }

    #[inline]
    fn write_i32(&mut self, value: i32) {
        self.write_i64(value.into());
    }

    /// Small numbers of both signs stay small.
    #[inline]
    fn write_i64(&mut self, value: i64) {
        self.add(((value << 1) ^ (value >> 63)) as u64);
    }

    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.write_i64(value as i64);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.add(value as u64); // the same on 32-bit and 64-bit machines
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
    fn small_numbers_have_slots_of_their_own() {
        assert!((0..1 << SLOT_BITS).all(|key: u16| slot(&key) == key && slot(&u128::from(key)) == key));
        let distinct = |slots: &mut dyn Iterator<Item = u16>| slots.collect::<std::collections::BTreeSet<u16>>().len();
        assert_eq!(distinct(&mut (-1000..1000_i64).map(|key| slot(&key))), 2000);
        assert_eq!(distinct(&mut (-1000..1000_i32).map(|key| slot(&key))), 2000);
        assert_eq!(distinct(&mut (-128..=127_i8).map(|key| slot(&key))), 256);
    }

    /// Packed ids, dates and times have as many slots, or nearly, as if they were drawn.
    #[test]
    fn numbers_with_a_pattern_are_spread() {
        let packed = |bits: u32| (0..16u64).flat_map(move |x| (0..16u64).map(move |y| x << bits | y));
        let hours = (0..256u64).map(|hour| 1_700_000_000 + hour * 3600);
        let doubled = (0..256u64).map(|number| number * 4097);
        let keys: [Vec<u64>; 5] =
            [packed(12).collect(), packed(24).collect(), packed(32).collect(), hours.collect(), doubled.collect()];
        for keys in keys {
            let slots: std::collections::BTreeSet<u16> = keys.iter().map(slot).collect();
            assert!(slots.len() > 200, "{} of {} keys: {keys:?}", slots.len(), keys.len());
        }
    }

    #[test]
    fn slots_spread_keys_of_several_words() {
        let mut load = [0u32; 64];
        for key in 0..64_000u64 {
            load[usize::from(slot(&(key % 40, key / 40)) >> 6)] += 1;
        }
        assert!(load.iter().all(|n| (200..1_800).contains(n)), "{load:?}");
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
