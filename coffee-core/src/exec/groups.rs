//! The groups of an aggregation, in partitions.
//!
//! A single table of millions of groups is copied as a whole when it grows, and sorted as a whole. So groups are dealt out to
//! partitions by their hash.
//!
//! Once a partition is large, fetching it for one part takes longer than merging the part. So parts wait there until they are many,
//! but only where no merge can fail: one that can is made when its part comes, as what goes wrong in it is its batch's (invariant 9).

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

/// Bytes of groups from which on a partition is large: smaller ones stay in the second-level cache, all of them together.
const LARGE: usize = if cfg!(test) { 1 << 6 } else { 1 << 12 }; // in tests, parts are to wait

/// Bytes of parts that wait for a partition at most; of all partitions of one aggregation of a shard and job, 16 MiB.
const WAITING: usize = if cfg!(test) { 1 << 7 } else { 1 << 16 };

type Pair<A> = (<A as Aggregator>::Key, <A as Aggregator>::Acc);

/// The groups of an aggregation, each with what was merged into it.
pub struct Groups<A: Aggregator> {
    aggregator: A,
    hasher: RandomState, // by a random seed: the keys are clients' data
    /// None before the first part.
    partitions: Vec<Partition<A>>,
}

struct Partition<A: Aggregator> {
    groups: HashTable<Pair<A>>,
    waiting: Vec<Pair<A>>,
}

impl<A: Aggregator> Groups<A> {
    /// No groups yet.
    pub fn new(aggregator: A) -> Self {
        Groups { aggregator, hasher: RandomState::default(), partitions: Vec::new() }
    }

    /// Merges a part into the key's group, or makes it the group; at once, unless the aggregator promises
    /// [`INFALLIBLE_MERGE`](Aggregator::INFALLIBLE_MERGE).
    #[inline]
    pub fn merge(&mut self, key: A::Key, part: A::Acc) {
        let Groups { aggregator, hasher, partitions } = self;
        let hash = hasher.hash_one(&key);
        // By bits that hashbrown uses neither for the bucket (low) nor for its tag (high).
        match partitions.get_mut((hash >> 40) as usize % PARTITIONS) {
            Some(partition) => partition.take(aggregator, hasher, hash, (key, part)),
            None => self.merge_first(key, part),
        }
    }

    #[cold]
    fn merge_first(&mut self, key: A::Key, part: A::Acc) {
        self.partitions.resize_with(PARTITIONS, || Partition { groups: HashTable::new(), waiting: Vec::new() });
        self.merge(key, part);
    }

    /// A group's result.
    #[inline]
    pub(crate) fn finish(&self, (key, acc): Pair<A>) -> A::Out {
        self.aggregator.finish(key, acc)
    }

    /// Takes the results of all groups out, in no particular order, and frees memory on the way.
    pub fn drain(&mut self) -> impl Iterator<Item = A::Out> + use<'_, A> {
        let Groups { aggregator, hasher, partitions } = self;
        let (aggregator, hasher) = (&*aggregator, &*hasher);
        let groups = std::mem::take(partitions).into_iter().flat_map(|partition| partition.finish(aggregator, hasher));
        groups.map(|(key, acc)| aggregator.finish(key, acc))
    }

    /// Takes all groups out, in key order. Each partition is sorted for itself, which takes no more memory than it had.
    pub(crate) fn drain_sorted(&mut self) -> Sorted<A> {
        let Groups { aggregator, hasher, partitions } = self;
        let sorted = std::mem::take(partitions).into_iter().filter_map(|partition| {
            let mut groups: Vec<Pair<A>> = partition.finish(aggregator, hasher).into_iter().collect();
            groups.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            let mut rest = groups.into_iter();
            Some(Run { head: rest.next()?, rest })
        });
        Sorted(sorted.collect())
    }
}

impl<A: Aggregator> Partition<A> {
    /// Whether parts may wait: what they own would not be bounded by their own size.
    const WAITS: bool = A::INFALLIBLE_MERGE && !std::mem::needs_drop::<Pair<A>>();

    /// So many wait at most, and have room.
    const MOST: usize = if size_of::<Pair<A>>() == 0 { 1 } else { WAITING.div_ceil(size_of::<Pair<A>>()) };

    #[inline]
    fn take(&mut self, aggregator: &A, hasher: &RandomState, hash: u64, pair: Pair<A>) {
        if !Self::WAITS || self.groups.len() * size_of::<Pair<A>>() < LARGE {
            return self.merge(aggregator, hasher, hash, pair);
        }
        if self.waiting.is_empty() {
            self.waiting.reserve_exact(Self::MOST);
        }
        self.waiting.push(pair);
        if self.waiting.len() >= Self::MOST {
            self.settle(aggregator, hasher);
        }
    }

    #[inline]
    fn merge(&mut self, aggregator: &A, hasher: &RandomState, hash: u64, (key, part): Pair<A>) {
        match self.groups.entry(hash, |(held, _)| *held == key, |(held, _)| hasher.hash_one(held)) {
            Entry::Occupied(mut group) => aggregator.merge(&mut group.get_mut().1, part),
            Entry::Vacant(place) => {
                place.insert((key, part));
            }
        }
    }

    /// Merges what waits.
    #[inline(never)]
    fn settle(&mut self, aggregator: &A, hasher: &RandomState) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.drain(..).for_each(|pair| self.merge(aggregator, hasher, hasher.hash_one(&pair.0), pair));
        self.waiting = waiting;
    }

    /// Its groups, with all that waited.
    fn finish(mut self, aggregator: &A, hasher: &RandomState) -> HashTable<Pair<A>> {
        self.settle(aggregator, hasher);
        self.groups
    }
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
    use crate::operator::{Count, GroupBy, Measure, Sum};
    use proptest::prelude::*;

    type Row = (u16, u64);

    fn groups<M: Measure<Row>>(measure: M) -> Groups<impl Aggregator<Key = u16, Acc = M::Acc, Out = (u16, M::Acc)>> {
        Groups::new(GroupBy::new(|row: &Row| Some(row.0), measure))
    }

    /// Takes parts, in two goes, and gives out the same groups each time, in order.
    fn come_out(
        mut groups: Groups<impl Aggregator<Key = u16, Acc = u64, Out = Row>>,
        rows: &[Row],
        model: &BTreeMap<u16, u64>,
    ) -> Result<(), TestCaseError> {
        let model = || model.iter().map(|(key, total)| (*key, *total));
        rows.iter().for_each(|(key, part)| groups.merge(*key, *part));
        let mut any: Vec<Row> = groups.drain().collect();
        any.sort_unstable();
        prop_assert!(any.into_iter().eq(model()));
        rows.iter().for_each(|(key, part)| groups.merge(*key, *part));
        prop_assert!(groups.drain_sorted().eq(model()));
        prop_assert_eq!(groups.drain().count(), 0);
        Ok(())
    }

    proptest! {
        #[test]
        fn groups_come_out_once_and_in_order(rows in prop::collection::vec((0..2_000u16, 1..9u64), 0..6_000)) {
            let mut model = BTreeMap::new();
            rows.iter().for_each(|(key, part)| *model.entry(*key).or_insert(0) += part);
            come_out(groups(Sum::<_, u64>::new(|row: &Row| row.1)), &rows, &model)?;
            come_out(groups(Count), &rows, &model)?;
        }
    }

    /// So many keys that parts wait wherever they may: how many do, at most, in one partition.
    fn waiting<M: Measure<Row, Acc = u64>>(measure: M) -> usize {
        let mut groups = groups(measure);
        let waits = (0..20_000_u16).map(|key| {
            groups.merge(key, 1);
            groups.partitions.iter().map(|partition| partition.waiting.len()).max()
        });
        waits.flatten().max().unwrap_or_default()
    }

    #[test]
    fn parts_wait_where_no_merge_can_fail_and_never_too_many() {
        let bound = WAITING / size_of::<(u16, u64)>();
        assert_eq!(waiting(Count), bound - 1, "those that make it full are merged");
        assert_eq!(waiting(Sum::<_, u64>::new(|row: &Row| row.1)), 0, "a sum can overflow");
    }
}
