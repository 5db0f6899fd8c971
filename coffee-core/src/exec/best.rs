//! The best rows of each group so far.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use crate::{hash, operator::Maximizer};

/// Keeps the best rows of each group, and a few more for a while.
pub struct Best<M: Maximizer> {
    pub(super) maximizer: M,
    groups: Vec<(M::Group, Candidates<M::Row>)>,
    hasher: RandomState, // by a random seed: the groups are clients' data
    /// Where each group is.
    index: HashTable<usize>,
    /// Where the last group of each slot is: few groups are found here, without a look into the index.
    near: Vec<u32>,
}

/// At most twice the limit of rows: sorted and cut when there are more, so that a row costs a constant on average, for
/// any limit.
struct Candidates<R> {
    rows: Vec<R>,
    /// How many rows at the front are sorted; once it is the limit, the last of them is the one to beat.
    sorted: usize,
}

impl<M: Maximizer> Best<M> {
    /// No rows yet.
    pub fn new(maximizer: M) -> Self {
        Best {
            maximizer,
            groups: Vec::new(),
            hasher: RandomState::default(),
            index: HashTable::new(),
            near: Vec::new(),
        }
    }

    /// Takes a row, which is kept if it is among the best so far.
    #[inline]
    pub fn offer(&mut self, row: &M::Row) {
        let at = self.place(self.maximizer.group(row));
        let Best { maximizer, groups, .. } = self;
        let Some((_, group)) = groups.get_mut(at) else { return };
        let limit = maximizer.limit();
        let beaten = |worst: &M::Row| maximizer.rank(row, worst).is_ge();
        if group.sorted == limit && group.rows.get(limit.wrapping_sub(1)).is_none_or(beaten) {
            return;
        }
        group.push(row, maximizer);
    }

    /// Takes the best rows out, by group and rank.
    pub fn take(&mut self) -> Vec<M::Row> {
        self.index.clear();
        let mut groups = std::mem::take(&mut self.groups);
        groups.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let rows = groups.into_iter().flat_map(|(_, mut group)| {
            group.cut(&self.maximizer);
            group.rows
        });
        rows.collect()
    }

    /// Where a group is; it is added where it is new.
    #[inline]
    fn place(&mut self, group: M::Group) -> usize {
        let slot = usize::from(hash::slot(&group));
        match self.near.get(slot) {
            Some(at) if self.groups.get(*at as usize).is_some_and(|(held, _)| *held == group) => *at as usize,
            _ => self.look_up(slot, group),
        }
    }

    #[cold]
    #[inline(never)]
    fn look_up(&mut self, slot: usize, group: M::Group) -> usize {
        let Best { groups, hasher, index, near, .. } = self;
        let hash_of = |at: usize| groups.get(at).map_or(0, |(held, _)| hasher.hash_one(held));
        let same = |at: &usize| groups.get(*at).is_some_and(|(held, _)| *held == group);
        let at = match index.entry(hasher.hash_one(&group), same, |at| hash_of(*at)) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(place) => {
                let at = groups.len();
                place.insert(at);
                groups.push((group, Candidates { rows: Vec::new(), sorted: 0 }));
                at
            }
        };
        near.resize(1 << hash::SLOT_BITS, 0);
        // One so far out that it can't be noted is looked up each time.
        if let (Some(near), Ok(at)) = (near.get_mut(slot), u32::try_from(at)) {
            *near = at;
        }
        at
    }
}

impl<R: Clone> Candidates<R> {
    #[inline(never)]
    fn push<M: Maximizer<Row = R>>(&mut self, row: &R, maximizer: &M) {
        self.rows.push(row.clone());
        if self.rows.len() >= maximizer.limit().saturating_mul(2).max(16) {
            self.cut(maximizer);
        }
    }

    fn cut<M: Maximizer<Row = R>>(&mut self, maximizer: &M) {
        self.rows.sort_unstable_by(|a, b| maximizer.rank(a, b));
        self.rows.truncate(maximizer.limit());
        self.sorted = self.rows.len();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::operator::TopBy;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_of_each_group_stay(batches in prop::collection::vec(prop::collection::vec((0..9_000u32, any::<u16>()), 0..200), 0..4), groups in 1..9_000u32, limit in 0..5usize) {
            let mut best = Best::new(TopBy::new(|row: &(u32, u16)| row.0, |row: &(u32, u16)| row.1, limit));
            for batch in batches {
                let mut model: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
                for (group, value) in batch {
                    best.offer(&(group % groups, value));
                    model.entry(group % groups).or_default().push(value);
                }
                let first = model.into_iter().flat_map(|(group, mut values)| {
                    values.sort_unstable();
                    values.into_iter().take(limit).map(move |value| (group, value))
                });
                prop_assert_eq!(best.take(), first.collect::<Vec<_>>());
            }
        }
    }
}
