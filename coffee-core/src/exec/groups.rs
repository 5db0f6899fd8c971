//! A hash table of groups that grows in small steps.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
    hash::{BuildHasher, Hash},
    vec,
};

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

    /// Empties it in key order. Each table is sorted for itself, which takes no more memory than it had.
    pub fn drain_sorted(&mut self) -> Sorted<K, A>
    where
        K: Ord,
    {
        let sorted = std::mem::take(&mut self.tables).into_iter().filter_map(|table| {
            let mut groups: Vec<(K, A)> = table.into_iter().collect();
            groups.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            let mut rest = groups.into_iter();
            Some(Run { head: rest.next()?, rest })
        });
        Sorted(sorted.collect())
    }
}

/// Groups in key order: the sorted tables, merged.
pub(crate) struct Sorted<K, A>(BinaryHeap<Run<K, A>>);

/// A sorted table; the one with the least head is the greatest, as heaps yield that first.
struct Run<K, A> {
    head: (K, A),
    rest: vec::IntoIter<(K, A)>,
}

impl<K: Ord, A> Iterator for Sorted<K, A> {
    type Item = (K, A);

    fn next(&mut self) -> Option<(K, A)> {
        let mut least = self.0.peek_mut()?;
        match least.rest.next() {
            Some(next) => Some(std::mem::replace(&mut least.head, next)),
            None => Some(PeekMut::pop(least).head),
        }
    }
}

impl<K: Ord, A> Ord for Run<K, A> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.head.0.cmp(&self.head.0)
    }
}

impl<K: Ord, A> PartialOrd for Run<K, A> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, A> PartialEq for Run<K, A> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord, A> Eq for Run<K, A> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn groups_come_out_once_and_in_order(rows in prop::collection::vec((0..200u16, 1..9u64), 0..400)) {
            let (mut groups, mut model) = (Groups::new(), BTreeMap::new());
            for (key, value) in rows {
                groups.merge(key, value, |acc, part| *acc += part);
                *model.entry(key).or_insert(0) += value;
            }
            prop_assert!(groups.drain_sorted().eq(model));
        }
    }
}
