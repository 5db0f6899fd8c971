//! A hash table of groups that grows in small steps.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

/// Tables a set of groups is spread over. Each doubles on its own, so the peak while one is copied is a small part of
/// the whole: with one table, 4.4 million groups would need half as much again for that moment.
const TABLES: usize = 32;

pub(crate) struct Groups<K, A> {
    hasher: RandomState, // by a random seed: the keys are clients' data
    tables: Vec<HashTable<(K, A)>>,
}

impl<K: Eq + Hash, A> Groups<K, A> {
    pub fn new() -> Self {
        Groups { hasher: RandomState::default(), tables: (0..TABLES).map(|_| HashTable::new()).collect() }
    }

    /// Merges `part` into the key's group by `merge`, or makes it the group.
    #[inline]
    pub fn merge(&mut self, key: K, part: A, merge: impl FnOnce(&mut A, A)) {
        let hash = self.hasher.hash_one(&key);
        let Groups { hasher, tables } = self;
        // The table is chosen by bits that hashbrown uses neither for the bucket (low) nor for its tag (high).
        let Some(table) = tables.get_mut((hash >> 40) as usize % TABLES) else { return };
        match table.entry(hash, |(held, _)| *held == key, |(held, _)| hasher.hash_one(held)) {
            Entry::Occupied(mut group) => merge(&mut group.get_mut().1, part),
            Entry::Vacant(place) => {
                place.insert((key, part));
            }
        }
    }

    /// Empties it in no particular order, freeing memory on the way.
    pub fn drain(&mut self) -> impl Iterator<Item = (K, A)> {
        std::mem::take(&mut self.tables).into_iter().flatten()
    }

    /// Empties it in key order.
    pub fn drain_sorted(&mut self) -> Vec<(K, A)>
    where
        K: Ord,
    {
        let mut all = Vec::with_capacity(self.tables.iter().map(HashTable::len).sum());
        all.extend(self.drain());
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}
