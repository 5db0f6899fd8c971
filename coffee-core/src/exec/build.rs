//! The build side of a join: rows kept encoded, one after the other, with an index of their places. A small row costs
//! its encoding and a dozen bytes, so millions of them fit where a map of decoded rows would take several times as much.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use super::ExecError;
use crate::{codec, frame::Stream, operator::Joiner};

/// Parts that grow one after the other instead of all at once.
const PARTS: usize = 16;

/// A build row's place, by which the first of a key is told: its stream, batch and row there.
pub(crate) type At = (Stream, u64, u32);

#[derive(Default)]
struct Part {
    rows: Vec<u8>,
    /// The hash and the offset of each row that stays.
    index: HashTable<(u32, u32)>,
}

pub(crate) struct BuildTable {
    hasher: RandomState, // by a random seed: the keys are clients' data
    parts: Vec<Part>,
}

impl BuildTable {
    pub fn new() -> Self {
        BuildTable { hasher: RandomState::default(), parts: (0..PARTS).map(|_| Part::default()).collect() }
    }

    /// Adds a row, given decoded and encoded. Where its key is there already the earlier row stays, and the later one is
    /// returned.
    pub fn insert<J: Joiner>(
        &mut self,
        joiner: &J,
        at: At,
        row: &J::Build,
        encoded: &[u8],
    ) -> Result<Option<J::Build>, ExecError> {
        let key = joiner.build_key(row);
        let hash = self.hasher.hash_one(&key);
        let Some(Part { rows, index }) = self.parts.get_mut(part(hash)) else { return Ok(None) };
        let short = hash as u32;
        let same = |(held, offset): &(u32, u32)| {
            *held == short && read::<J>(rows, *offset).is_ok_and(|(_, held)| joiner.build_key(&held) == key)
        };
        let offset = u32::try_from(rows.len()).map_err(|_| ExecError::TooLarge)?;
        let later = match index.entry(spread(short), same, |(hash, _)| spread(*hash)) {
            Entry::Vacant(place) => {
                place.insert((short, offset));
                None
            }
            Entry::Occupied(mut place) => {
                let (held_at, held) = read::<J>(rows, place.get().1)?;
                if held_at <= at {
                    return Ok(Some(row.clone()));
                }
                place.get_mut().1 = offset;
                Some(held)
            }
        };
        codec::encode(&at, rows)?;
        rows.extend_from_slice(encoded);
        Ok(later)
    }

    /// The row of a key.
    pub fn find<J: Joiner>(&self, joiner: &J, key: &J::Key) -> Result<Option<J::Build>, ExecError> {
        let hash = self.hasher.hash_one(key);
        let Some(Part { rows, index }) = self.parts.get(part(hash)) else { return Ok(None) };
        let short = hash as u32;
        let same = |(held, offset): &(u32, u32)| {
            *held == short && read::<J>(rows, *offset).is_ok_and(|(_, held)| joiner.build_key(&held) == *key)
        };
        Ok(match index.find(spread(short), same) {
            Some((_, offset)) => Some(read::<J>(rows, *offset)?.1),
            None => None,
        })
    }
}

fn part(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

/// The index hashes by what it keeps of a hash, its low half, spread over the bits that the table looks at.
fn spread(short: u32) -> u64 {
    u64::from(short).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn read<J: Joiner>(rows: &[u8], offset: u32) -> Result<(At, J::Build), ExecError> {
    let mut bytes = rows.get(offset as usize..).unwrap_or_default();
    Ok(codec::decode(&mut bytes)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::operator::Lookup;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_by_place_stays_whatever_arrives_first(mut rows in prop::collection::vec((0..30u64, any::<u32>()), 0..80), shuffle: u64) {
            let lookup = Lookup::new(|k: &u64| *k, |b: &(u64, u32)| b.0, |_: &u64, b: &(u64, u32)| *b);
            let mut first = BTreeMap::new();
            for row in &rows {
                first.entry(row.0).or_insert(*row);
            }
            let mut placed: Vec<(usize, (u64, u32))> = rows.drain(..).enumerate().collect();
            placed.sort_by_key(|(at, _)| crate::hash::fixed(&(*at as u64 ^ shuffle)));
            let mut table = BuildTable::new();
            let mut later = 0;
            let total = placed.len();
            for (at, row) in placed {
                let at = (Stream { origin: 0, shard: 0 }, (at / 7) as u64, (at % 7) as u32);
                let mut encoded = Vec::new();
                codec::encode(&row, &mut encoded)?;
                later += usize::from(table.insert(&lookup, at, &row, &encoded)?.is_some());
            }
            prop_assert_eq!(later, total - first.len());
            for key in 0..31 {
                prop_assert_eq!(table.find(&lookup, &key)?, first.get(&key).copied());
            }
        }
    }
}
