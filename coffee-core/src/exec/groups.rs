//! The groups of an aggregation, in partitions.
//!
//! A single table of millions of groups is copied as a whole when it grows, and sorted as a whole. So groups are dealt out to
//! partitions by their hash. A part is merged when it comes, and never later: whatever goes wrong in that is blamed on its batch.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
    hash::BuildHasher,
    vec,
};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use crate::operator::Aggregator;

/// Partitions. Each table doubles on its own, so the peak while one is copied is a small part of the whole.
const PARTITIONS: usize = 1 << 8;

type Pair<A> = (<A as Aggregator>::Key, <A as Aggregator>::Acc);

/// The groups of an aggregation, each with what was merged into it.
pub struct Groups<A: Aggregator> {
    aggregator: A,
    hasher: RandomState, // by a random seed: the keys are clients' data
    partitions: Vec<HashTable<Pair<A>>>,
}

impl<A: Aggregator> Groups<A> {
    /// No groups yet.
    pub fn new(aggregator: A) -> Self {
        Groups { aggregator, hasher: RandomState::default(), partitions: empty::<A>() }
    }

    /// Merges a part into the key's group, or makes it the group.
    #[inline]
    pub fn merge(&mut self, key: A::Key, part: A::Acc) {
        let Groups { aggregator, hasher, partitions } = self;
        let hash = hasher.hash_one(&key);
        // By bits that hashbrown uses neither for the bucket (low) nor for its tag (high).
        let Some(partition) = partitions.get_mut((hash >> 40) as usize % PARTITIONS) else { return };
        match partition.entry(hash, |(held, _)| *held == key, |(held, _)| hasher.hash_one(held)) {
            Entry::Occupied(mut group) => aggregator.merge(&mut group.get_mut().1, part),
            Entry::Vacant(place) => {
                place.insert((key, part));
            }
        }
    }

    /// A group's result.
    #[inline]
    pub(crate) fn finish(&self, (key, acc): Pair<A>) -> A::Out {
        self.aggregator.finish(key, acc)
    }

    /// Takes the results of all groups out, in no particular order, and frees memory on the way.
    pub fn drain(&mut self) -> impl Iterator<Item = A::Out> + use<'_, A> {
        let Groups { aggregator, partitions, .. } = self;
        std::mem::replace(partitions, empty::<A>()).into_iter().flatten().map(|(key, acc)| aggregator.finish(key, acc))
    }

    /// Takes all groups out, in key order. Each partition is sorted for itself, which takes no more memory than it had.
    pub(crate) fn drain_sorted(&mut self) -> Sorted<A> {
        let sorted = std::mem::replace(&mut self.partitions, empty::<A>()).into_iter().filter_map(|partition| {
            let mut groups: Vec<Pair<A>> = partition.into_iter().collect();
            groups.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            let mut rest = groups.into_iter();
            Some(Run { head: rest.next()?, rest })
        });
        Sorted(sorted.collect())
    }
}

fn empty<A: Aggregator>() -> Vec<HashTable<Pair<A>>> {
    (0..PARTITIONS).map(|_| HashTable::new()).collect()
}

/// Groups in key order: the sorted partitions, merged.
pub(crate) struct Sorted<A: Aggregator>(BinaryHeap<Run<A>>);

/// A sorted partition; the one with the least head is the greatest, as heaps yield that first.
struct Run<A: Aggregator> {
    head: Pair<A>,
    rest: vec::IntoIter<Pair<A>>,
}

impl<A: Aggregator> Iterator for Sorted<A> {
    type Item = Pair<A>;

    fn next(&mut self) -> Option<Pair<A>> {
        let mut least = self.0.peek_mut()?;
        match least.rest.next() {
            Some(next) => Some(std::mem::replace(&mut least.head, next)),
            None => Some(PeekMut::pop(least).head),
        }
    }
}

impl<A: Aggregator> Ord for Run<A> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.head.0.cmp(&self.head.0)
    }
}

impl<A: Aggregator> PartialOrd for Run<A> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<A: Aggregator> PartialEq for Run<A> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<A: Aggregator> Eq for Run<A> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::operator::{GroupBy, Sum};
    use proptest::prelude::*;

    type Row = (u16, u64);

    fn groups() -> Groups<impl Aggregator<Key = u16, Acc = u64, Out = Row>> {
        Groups::new(GroupBy::new(|row: &Row| Some(row.0), Sum::<_, u64>::new(|row: &Row| row.1)))
    }

    proptest! {
        #[test]
        fn groups_come_out_once_and_in_order(rows in prop::collection::vec((0..2_000u16, 1..9u64), 0..6_000)) {
            let (mut sorted, mut drained, mut model) = (groups(), groups(), BTreeMap::new());
            for (key, value) in rows {
                sorted.merge(key, value);
                drained.merge(key, value);
                *model.entry(key).or_insert(0) += value;
            }
            let mut any: Vec<Row> = drained.drain().collect();
            any.sort_unstable();
            prop_assert!(any.into_iter().eq(model.clone()));
            prop_assert!(sorted.drain_sorted().eq(model));
        }
    }
}
