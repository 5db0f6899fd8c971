//! The groups of an aggregation, in partitions.
//!
//! A single table of millions of groups is copied as a whole when it grows, sorted as a whole, and each part that comes for it misses
//! the cache. So groups are dealt out to partitions by their hash, and lie one behind the other in each.
//!
//! Where no merge can fail, parts wait for their partition, which is fetched once for all of them then: into a table that all partitions
//! share, and out of it again. That table stays in the cache; to fetch as many tables as there are partitions would take longer than to
//! make one anew. As many parts may wait as the partition has groups; and as long as they fill no more than 120 KiB, 30 MiB in all, four
//! times as many. A merge that can fail is made when its part comes, as what goes wrong in it is its batch's (invariant 9): there each
//! partition keeps an index.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
    hash::BuildHasher,
    iter,
    sync::LazyLock,
    vec,
};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use crate::operator::Aggregator;

/// Partitions. Each grows on its own, so the peak while one is copied is a small part of the whole; up to some millions of groups, one of
/// them fits the second-level cache.
const PARTITIONS: usize = 1 << 8;

/// So many parts may wait for a partition of few groups.
const FEW: usize = 64;

/// Parts of so many bytes may wait for a partition that has a quarter as many groups: each time that they are merged, all groups of their
/// partition go into the table and out of it. Less than the 128 KiB from which on glibc maps and unmaps each allocation by itself, as to
/// touch a page anew takes longer than to merge the parts in it.
const ROOM: usize = 120 << 10;

/// By a random seed, as keys are clients' data; one for the whole process, so that the groups of all threads are dealt out alike.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

type Pair<A> = (<A as Aggregator>::Key, <A as Aggregator>::Acc);

/// The groups of an aggregation, each with what was merged into it.
///
/// Several threads may each fold rows of their own, with no exchange between them, and have the groups of all in the end: each
/// [splits](Self::split) its groups by key into as many shares as there are threads, and [absorbs](Self::absorb) its own share of the
/// others' groups. Groups go from one to the other by whole partitions. A group lies in each thread that has a row of it until then.
///
/// ```
/// use coffee_core::{exec::Groups, operator::{Count, GroupBy}};
/// use std::thread;
///
/// let count = GroupBy::new(|word: &&str| Some(word.len()), Count);
/// let folded = |words: &'static [&str]| {
///     let mut groups = Groups::new(count.clone());
///     words.iter().for_each(|word| groups.merge(word.len(), 1));
///     groups.split(2)
/// };
/// let (one, two) = thread::scope(|scope| {
///     let other = scope.spawn(|| folded(&["mocha", "latte"]));
///     (folded(&["flat white", "latte", "mocha"]), other.join().unwrap_or_default())
/// });
/// // Here on one thread; each share may have its own.
/// let mut counts = Vec::new();
/// for (mut share, other) in one.into_iter().zip(two) {
///     share.absorb([other]);
///     counts.extend(share.drain());
/// }
/// counts.sort_unstable();
/// assert_eq!(counts, [(5, 4), (10, 1)]);
/// ```
pub struct Groups<A: Aggregator> {
    aggregator: A,
    hasher: RandomState,
    /// None before the first part, then all.
    partitions: Vec<Partition<A>>,
    /// Of the partition that parts are merged into which have waited; empty between two.
    table: HashTable<Pair<A>>,
}

/// Where in its partition a group lies, by the hash of its key.
///
/// Law: it has each group of its partition once.
type Index = HashTable<u32>; // a partition of 2^32 groups would be one of 2^40 groups in all, which no memory holds

struct Partition<A: Aggregator> {
    groups: Vec<Pair<A>>,
    /// Empty where parts wait.
    index: Index,
    waiting: Vec<Pair<A>>,
}

impl<A: Aggregator> Groups<A> {
    /// No groups yet.
    pub fn new(aggregator: A) -> Self {
        Groups { aggregator, hasher: HASHER.clone(), partitions: Vec::new(), table: HashTable::new() }
    }

    /// Merges a part into the key's group, or makes it the group; at once, unless the aggregator promises
    /// [`INFALLIBLE_MERGE`](Aggregator::INFALLIBLE_MERGE).
    #[inline]
    pub fn merge(&mut self, key: A::Key, part: A::Acc) {
        let Groups { aggregator, hasher, partitions, table } = self;
        let hash = hasher.hash_one(&key);
        // By bits that hashbrown uses neither for the bucket (low) nor for its tag (high).
        match partitions.get_mut((hash >> 40) as usize % PARTITIONS) {
            Some(partition) if Partition::<A>::WAITS => partition.wait(aggregator, hasher, table, (key, part)),
            Some(Partition { groups, index, .. }) => merge(aggregator, hasher, groups, index, hash, (key, part)),
            None => self.merge_first(key, part),
        }
    }

    #[cold]
    fn merge_first(&mut self, key: A::Key, part: A::Acc) {
        self.prepare();
        self.merge(key, part);
    }

    fn prepare(&mut self) {
        self.partitions.resize_with(PARTITIONS, Partition::default);
    }

    /// Takes them apart into so many shares, at least one, by key: what [`absorb`](Self::absorb) has to bring together has the same
    /// place in the shares of all threads. Shares are about as large as each other if there are many groups, and far fewer than 256 shares.
    pub fn split(mut self, shares: usize) -> Vec<Self>
    where
        A: Clone,
    {
        let shares = shares.max(1);
        let mut split: Vec<_> = iter::repeat_with(|| Self::new(self.aggregator.clone())).take(shares).collect();
        for (at, partition) in std::mem::take(&mut self.partitions).into_iter().enumerate() {
            let Some(share) = split.get_mut(at * shares / PARTITIONS) else { continue }; // as `at` is below
            share.prepare();
            if let Some(place) = share.partitions.get_mut(at) {
                *place = partition;
            }
        }
        split
    }

    /// Takes in the groups of others, of the same aggregator, and frees their memory on the way. A group that several have is merged.
    ///
    /// All others at once: where parts wait, each call takes up all groups of the partitions that something comes for.
    pub fn absorb(&mut self, others: impl IntoIterator<Item = Self>) {
        let mut others: Vec<_> = others.into_iter().map(|other| other.partitions.into_iter()).collect();
        self.prepare();
        let Groups { aggregator, hasher, partitions, table } = self;
        for partition in partitions {
            let parts = others
                .iter_mut()
                .filter_map(Iterator::next)
                .flat_map(|other| other.groups.into_iter().chain(other.waiting));
            partition.absorb(aggregator, hasher, table, parts);
        }
    }

    /// A group's result.
    #[inline]
    pub(crate) fn finish(&self, (key, acc): Pair<A>) -> A::Out {
        self.aggregator.finish(key, acc)
    }

    /// Takes the results of all groups out, in no particular order, and frees memory on the way.
    pub fn drain(&mut self) -> impl Iterator<Item = A::Out> + use<'_, A> {
        let Groups { aggregator, hasher, partitions, table } = self;
        let (aggregator, hasher, mut table) = (&*aggregator, &*hasher, std::mem::take(table));
        let partitions = std::mem::take(partitions).into_iter();
        let groups = partitions.flat_map(move |partition| partition.finish(aggregator, hasher, &mut table));
        groups.map(|(key, acc)| aggregator.finish(key, acc))
    }

    /// Takes all groups out, in key order. Each partition is sorted for itself, in its place.
    pub(crate) fn drain_sorted(&mut self) -> Sorted<A> {
        let Groups { aggregator, hasher, partitions, table } = self;
        let mut table = std::mem::take(table);
        let sorted = std::mem::take(partitions).into_iter().filter_map(|partition| {
            let mut groups = partition.finish(aggregator, hasher, &mut table);
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

    #[inline]
    fn wait(&mut self, aggregator: &A, hasher: &RandomState, table: &mut HashTable<Pair<A>>, pair: Pair<A>) {
        if self.waiting.len() == self.waiting.capacity() {
            self.make_room(aggregator, hasher, table);
        }
        self.waiting.push(pair);
    }

    #[cold]
    fn make_room(&mut self, aggregator: &A, hasher: &RandomState, table: &mut HashTable<Pair<A>>) {
        self.settle(aggregator, hasher, table, iter::empty());
        provide(&mut self.waiting, Self::room(self.groups.len()));
    }

    /// How many parts may wait for so many groups.
    fn room(groups: usize) -> usize {
        (ROOM / size_of::<Pair<A>>().max(1)).min((4 * groups).max(FEW)).max(groups).max(1)
    }

    /// Merges parts that don't wait.
    fn absorb(
        &mut self,
        aggregator: &A,
        hasher: &RandomState,
        table: &mut HashTable<Pair<A>>,
        parts: impl Iterator<Item = Pair<A>>,
    ) {
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return;
        }
        if Self::WAITS {
            return self.settle(aggregator, hasher, table, parts);
        }
        let Partition { groups, index, .. } = self;
        parts.for_each(|pair| merge(aggregator, hasher, groups, index, hasher.hash_one(&pair.0), pair));
    }

    /// Merges what waits, and more parts.
    #[inline(never)]
    fn settle(
        &mut self,
        aggregator: &A,
        hasher: &RandomState,
        table: &mut HashTable<Pair<A>>,
        more: impl Iterator<Item = Pair<A>>,
    ) {
        let Partition { groups, waiting, .. } = self;
        let hash = |pair: &Pair<A>| hasher.hash_one(&pair.0);
        table.reserve(groups.len(), hash);
        for pair in groups.drain(..) {
            table.insert_unique(hash(&pair), pair, hash);
        }
        for (key, part) in waiting.drain(..).chain(more) {
            match table.entry(hasher.hash_one(&key), |(held, _)| *held == key, hash) {
                Entry::Occupied(group) => aggregator.merge(&mut group.into_mut().1, part),
                Entry::Vacant(place) => {
                    place.insert((key, part));
                }
            }
        }
        provide(groups, table.len());
        groups.extend(table.drain());
    }

    /// Its groups, with all that waited.
    fn finish(mut self, aggregator: &A, hasher: &RandomState, table: &mut HashTable<Pair<A>>) -> Vec<Pair<A>> {
        if !self.waiting.is_empty() {
            self.settle(aggregator, hasher, table, iter::empty());
        }
        self.groups
    }
}

impl<A: Aggregator> Default for Partition<A> {
    fn default() -> Self {
        Partition { groups: Vec::new(), index: Index::new(), waiting: Vec::new() }
    }
}

/// Gives an empty vector room for so many; to grow it would copy what it had.
fn provide<T>(empty: &mut Vec<T>, room: usize) {
    if empty.capacity() < room {
        *empty = Vec::new(); // freed before the new one is there
        empty.reserve_exact(room);
    }
}

/// Merges a part into its group, or makes it one.
#[inline]
fn merge<A: Aggregator>(
    aggregator: &A,
    hasher: &RandomState,
    groups: &mut Vec<Pair<A>>,
    index: &mut Index,
    hash: u64,
    (key, part): Pair<A>,
) {
    let is = |at: &u32| groups.get(*at as usize).is_some_and(|(held, _)| *held == key);
    let hash_at = |at: &u32| groups.get(*at as usize).map_or(0, |(held, _)| hasher.hash_one(held));
    match index.entry(hash, is, hash_at) {
        Entry::Occupied(at) => {
            if let Some((_, acc)) = groups.get_mut(*at.get() as usize) {
                aggregator.merge(acc, part);
            }
        }
        Entry::Vacant(place) => {
            place.insert(groups.len() as u32);
            groups.push((key, part));
        }
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

    fn groups<M: Measure<Row> + Clone>(
        measure: M,
    ) -> Groups<impl Aggregator<Key = u16, Acc = M::Acc, Out = (u16, M::Acc)> + Clone> {
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
        fn groups_come_out_once_and_in_order(rows in prop::collection::vec((0..20_000u16, 1..9u64), 0..40_000)) {
            let mut model = BTreeMap::new();
            rows.iter().for_each(|(key, part)| *model.entry(*key).or_insert(0) += part);
            come_out(groups(Sum::<_, u64>::new(|row: &Row| row.1)), &rows, &model)?;
            come_out(groups(Count), &rows, &model)?;
        }

        #[test]
        fn threads_that_split_and_absorb_have_the_groups_of_all(
            rows in prop::collection::vec((0..20_000u16, 1..9u64), 0..20_000),
            threads in 1_usize..6,
        ) {
            let mut model = BTreeMap::new();
            rows.iter().for_each(|(key, part)| *model.entry(*key).or_insert(0) += part);
            let model: Vec<Row> = model.into_iter().collect();
            prop_assert_eq!(&by_threads(|| groups(Sum::<_, u64>::new(|row: &Row| row.1)), &rows, threads), &model);
            prop_assert_eq!(by_threads(|| groups(Count), &rows, threads), model);
        }
    }

    /// The groups of all threads, each of which takes every so manieth row, share by share.
    fn by_threads<A: Aggregator<Key = u16, Acc = u64, Out = Row> + Clone>(
        make: impl Fn() -> Groups<A>,
        rows: &[Row],
        threads: usize,
    ) -> Vec<Row> {
        let folded = (0..threads).map(|thread| {
            let mut groups = make();
            rows.iter().skip(thread).step_by(threads).for_each(|(key, part)| groups.merge(*key, *part));
            groups.split(threads).into_iter()
        });
        let mut folded: Vec<_> = folded.collect();
        let shares = (0..threads).flat_map(|_| {
            let mut shares = folded.iter_mut().filter_map(Iterator::next);
            let mut share = shares.next().unwrap();
            share.absorb(shares);
            share.drain().collect::<Vec<_>>()
        });
        let mut all: Vec<_> = shares.collect();
        all.sort_unstable();
        all
    }

    /// So many keys that parts wait wherever they may: the most that do, beside the most groups, in one partition.
    fn waiting<M: Measure<Row, Acc = u64> + Clone>(measure: M) -> (usize, usize) {
        let mut groups = groups(measure);
        let most = (0..60_000_u16).map(|key| {
            groups.merge(key, 1);
            groups.partitions.iter().map(|partition| partition.waiting.len()).max()
        });
        let most = most.flatten().max().unwrap_or_default();
        (most, groups.partitions.iter().map(|partition| partition.groups.len()).max().unwrap_or_default())
    }

    #[test]
    fn parts_wait_where_no_merge_can_fail_and_no_more_than_there_is_room_for() {
        let (waited, held) = waiting(Count);
        assert!(waited > FEW && waited <= 4 * held, "{waited} {held}");
        assert_eq!(waiting(Sum::<_, u64>::new(|row: &Row| row.1)).0, 0, "a sum can overflow");
        type Held = Partition<GroupBy<Row, fn(&Row) -> Option<u16>, Count>>;
        assert_eq!([0, 100, 5_000, 100_000].map(Held::room), [FEW, 400, ROOM / 16, 100_000]);
    }
}
