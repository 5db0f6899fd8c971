//! Keeps the best few rows of each group.

use std::{cmp::Ordering, hash::Hash, marker::PhantomData};

use super::Row;

/// Ranks the rows of each group and keeps the first few.
///
/// Laws, checked by [`laws::maximizer`](super::laws::maximizer): `rank` is a total order, `Equal` only for equal rows;
/// `limit` does not change. So the best of a whole are the best of its parts' best, in any order. It ranks finished
/// rows, each there once: the builder never lets partial sums reach it.
pub trait Maximizer: Send + 'static {
    /// What is ranked.
    type Row: Row;
    /// Within what.
    type Group: Row + Ord + Hash;

    /// The row's group.
    fn group(&self, row: &Self::Row) -> Self::Group;

    /// The order of two rows of one group: `Less` where `a` comes before `b`, the best first.
    fn rank(&self, a: &Self::Row, b: &Self::Row) -> Ordering;

    /// How many rows a group keeps.
    fn limit(&self) -> usize;
}

/// Keeps the first `limit` rows of each group by an ascending sort key.
#[derive(Clone, Debug)]
pub struct TopBy<R, G, O> {
    group: G,
    order: O,
    limit: usize,
    row: PhantomData<fn(&R)>,
}

impl<R, G, O> TopBy<R, G, O> {
    /// Ranks by `order`, lowest first ([`std::cmp::Reverse`] turns a part of it round), within `group`. Rows of one
    /// group with equal `order` must be equal.
    pub fn new(group: G, order: O, limit: usize) -> Self {
        TopBy { group, order, limit, row: PhantomData }
    }
}

impl<R, K, T, G, O> Maximizer for TopBy<R, G, O>
where
    R: Row,
    K: Row + Ord + Hash,
    T: Ord,
    G: Fn(&R) -> K + Send + 'static,
    O: Fn(&R) -> T + Send + 'static,
{
    type Row = R;
    type Group = K;

    #[inline]
    fn group(&self, row: &R) -> K {
        (self.group)(row)
    }

    #[inline]
    fn rank(&self, a: &R, b: &R) -> Ordering {
        (self.order)(a).cmp(&(self.order)(b))
    }

    #[inline]
    fn limit(&self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use super::*;
    use crate::operator::laws;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn top_by_keeps_the_laws(rows in prop::collection::btree_set((0..3u8, 0..20u32), 0..40), limit in 1..5usize, cut: usize) {
            let rows: Vec<(u8, u32)> = rows.into_iter().collect();
            laws::maximizer(&TopBy::new(|r: &(u8, u32)| r.0, |r: &(u8, u32)| Reverse(r.1), limit), &rows, cut)?;
        }
    }
}
