//! Which batches of a stream have arrived (invariant 2).

use serde::{Deserialize, Serialize};

/// A set of batch numbers, kept as sorted, disjoint, non-adjacent half-open intervals: a stream that arrives nearly in
/// order costs a few of them however long it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    intervals: Vec<(u64, u64)>,
}

impl Coverage {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `seq`; false where it was there already.
    pub fn insert(&mut self, seq: u64) -> bool {
        let at = self.intervals.partition_point(|(_, end)| *end < seq);
        match self.intervals.get(at).copied() {
            Some((start, end)) if start <= seq && seq < end => return false,
            Some((_, end)) if end == seq => {
                self.intervals[at].1 = seq + 1;
                self.merge_with_next(at);
            }
            Some((start, _)) if start == seq + 1 => self.intervals[at].0 = seq,
            _ => self.intervals.insert(at, (seq, seq + 1)),
        }
        true
    }

    /// Adds every number of another set.
    pub fn extend(&mut self, other: &Coverage) {
        if self.intervals.is_empty() {
            self.intervals.clone_from(&other.intervals);
            return;
        }
        let mut all = std::mem::take(&mut self.intervals);
        all.extend_from_slice(&other.intervals);
        all.sort_unstable();
        for (start, end) in all {
            match self.intervals.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => self.intervals.push((start, end)),
            }
        }
    }

    /// Whether `seq` is in.
    pub fn contains(&self, seq: u64) -> bool {
        let at = self.intervals.partition_point(|(_, end)| *end <= seq);
        self.intervals.get(at).is_some_and(|(start, _)| *start <= seq)
    }

    /// Whether exactly the numbers below `count` are in.
    pub fn is_exactly(&self, count: u64) -> bool {
        match self.intervals.as_slice() {
            [] => count == 0,
            [(0, end)] => *end == count,
            _ => false,
        }
    }

    /// How many intervals it takes; its size in memory and on the wire.
    pub fn intervals(&self) -> usize {
        self.intervals.len()
    }

    /// How many numbers are in.
    pub fn len(&self) -> u64 {
        // A foreign set may hold anything.
        self.intervals.iter().fold(0, |sum: u64, (start, end)| sum.saturating_add(end.saturating_sub(*start)))
    }

    /// Whether nothing is in.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Whether what was decoded is a set of this form: foreign bytes may hold intervals in any order.
    pub fn is_well_formed(&self) -> bool {
        self.intervals.iter().all(|(start, end)| start < end)
            && self.intervals.windows(2).all(|pair| matches!(pair, [(_, end), (start, _)] if end < start))
    }

    fn merge_with_next(&mut self, at: usize) {
        if self.intervals.get(at + 1).is_some_and(|(start, _)| *start == self.intervals[at].1) {
            let (_, end) = self.intervals.remove(at + 1);
            self.intervals[at].1 = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn of(seqs: &[u64]) -> Coverage {
        let mut coverage = Coverage::new();
        for seq in seqs {
            coverage.insert(*seq);
        }
        coverage
    }

    proptest! {
        #[test]
        fn it_is_a_set(seqs in prop::collection::vec(0..40u64, 0..60), others in prop::collection::vec(0..40u64, 0..60), count in 0..40u64) {
            let mut coverage = Coverage::new();
            let mut model = BTreeSet::new();
            for seq in &seqs {
                prop_assert_eq!(coverage.insert(*seq), model.insert(*seq));
                prop_assert!(coverage.is_well_formed());
            }
            prop_assert_eq!(coverage.is_exactly(count), model.iter().copied().eq(0..count));
            coverage.extend(&of(&others));
            model.extend(others);
            prop_assert!(coverage.is_well_formed());
            for seq in 0..41 {
                prop_assert_eq!(coverage.contains(seq), model.contains(&seq));
            }
            prop_assert_eq!(coverage, of(&model.into_iter().collect::<Vec<_>>()));
        }
    }

    #[test]
    fn in_order_arrival_takes_one_interval() {
        assert_eq!(of(&(0..1000).collect::<Vec<_>>()).intervals(), 1);
        assert!(of(&[0, 1, 2]).is_exactly(3));
        assert!(!of(&[0, 2]).is_exactly(2));
        assert!(of(&[]).is_exactly(0));
    }
}
