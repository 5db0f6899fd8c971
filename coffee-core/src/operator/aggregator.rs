//! Folds the rows of each key into one.

use std::{hash::Hash, marker::PhantomData, ops::AddAssign};

use super::Row;

/// Groups rows by a key and folds each group.
///
/// Laws, checked by [`laws::aggregator`](super::laws::aggregator): `merge` is associative and commutative,
/// `Acc::default()` is its identity, and folding a row is merging the accumulator of that row alone. So rows may be
/// folded in any order and grouping, on any number of machines: accumulators hold exact integers, never floats.
pub trait Aggregator: Send + 'static {
    /// What comes in.
    type Row;
    /// What groups are told apart by.
    type Key: Row + Ord + Hash;
    /// A group's state.
    type Acc: Row + Default;
    /// What a finished group becomes.
    type Out: Row;

    /// Promises that `merge` returns whatever the two accumulators hold, and `Eq` and `Hash` of the key whatever the keys: no
    /// panic, no overflow that is checked, no abort. Such parts may wait and be merged with those of other batches, which for
    /// millions of groups is much faster. Others are merged when they come, so that a merge that fails is blamed on its batch.
    const INFALLIBLE_MERGE: bool = false;

    /// The row's group; `None` leaves the row out.
    fn key(&self, row: &Self::Row) -> Option<Self::Key>;

    /// Adds a row to its group.
    fn fold(&self, acc: &mut Self::Acc, row: &Self::Row);

    /// Adds a part of the group, folded elsewhere.
    fn merge(&self, acc: &mut Self::Acc, part: Self::Acc);

    /// The group's result: called once a key, when every row is in.
    fn finish(&self, key: Self::Key, acc: Self::Acc) -> Self::Out;
}

/// What is measured of a group. The laws of [`Aggregator`] hold for its accumulator.
pub trait Measure<R>: Send + 'static {
    /// The measure's state.
    type Acc: Row + Default;

    /// Promises that `merge` returns whatever the two accumulators hold: as [`Aggregator::INFALLIBLE_MERGE`], for which the keys that
    /// it is used with, as by [`GroupBy`], have to keep their part: a comparison or hash that panics is blamed on any batch then.
    const INFALLIBLE_MERGE: bool = false;

    /// Adds a row.
    fn fold(&self, acc: &mut Self::Acc, row: &R);

    /// Adds a part.
    fn merge(&self, acc: &mut Self::Acc, part: Self::Acc);
}

/// Counts rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl<R> Measure<R> for Count {
    type Acc = u64;

    const INFALLIBLE_MERGE: bool = true;

    #[inline]
    fn fold(&self, acc: &mut u64, _row: &R) {
        *acc += 1;
    }

    #[inline]
    fn merge(&self, acc: &mut u64, part: u64) {
        *acc = acc.wrapping_add(part); // as a foreign frame may hold any number
    }
}

/// Sums a value in an exact integer type.
#[derive(Clone, Copy, Debug)]
pub struct Sum<F, T> {
    value: F,
    total: PhantomData<fn() -> T>,
}

impl<F, T> Sum<F, T> {
    /// Sums `value` into a `T`, which is wide enough for any sum of them.
    pub fn new(value: F) -> Self {
        Sum { value, total: PhantomData }
    }
}

impl<R, V, T, F> Measure<R> for Sum<F, T>
where
    T: Row + Default + AddAssign + AddAssign<V>,
    F: Fn(&R) -> V + Send + 'static,
{
    type Acc = T;

    #[inline]
    fn fold(&self, acc: &mut T, row: &R) {
        *acc += (self.value)(row);
    }

    #[inline]
    fn merge(&self, acc: &mut T, part: T) {
        *acc += part;
    }
}

impl<R, A: Measure<R>, B: Measure<R>> Measure<R> for (A, B) {
    type Acc = (A::Acc, B::Acc);

    const INFALLIBLE_MERGE: bool = A::INFALLIBLE_MERGE && B::INFALLIBLE_MERGE;

    #[inline]
    fn fold(&self, acc: &mut Self::Acc, row: &R) {
        self.0.fold(&mut acc.0, row);
        self.1.fold(&mut acc.1, row);
    }

    #[inline]
    fn merge(&self, acc: &mut Self::Acc, part: Self::Acc) {
        self.0.merge(&mut acc.0, part.0);
        self.1.merge(&mut acc.1, part.1);
    }
}

/// Groups rows by a key and takes a [`Measure`] of each group; the result is `(key, measure)`.
#[derive(Clone, Debug)]
pub struct GroupBy<R, F, M> {
    key: F,
    measure: M,
    row: PhantomData<fn(&R)>,
}

impl<R, F, M> GroupBy<R, F, M> {
    /// Groups by `key`, which leaves a row out by `None`, and measures each group by `measure`.
    pub fn new(key: F, measure: M) -> Self {
        GroupBy { key, measure, row: PhantomData }
    }
}

impl<R, K, F, M> Aggregator for GroupBy<R, F, M>
where
    R: 'static,
    K: Row + Ord + Hash,
    F: Fn(&R) -> Option<K> + Send + 'static,
    M: Measure<R>,
{
    type Row = R;
    type Key = K;
    type Acc = M::Acc;
    type Out = (K, M::Acc);

    const INFALLIBLE_MERGE: bool = M::INFALLIBLE_MERGE;

    #[inline]
    fn key(&self, row: &R) -> Option<K> {
        (self.key)(row)
    }

    #[inline]
    fn fold(&self, acc: &mut M::Acc, row: &R) {
        self.measure.fold(acc, row);
    }

    #[inline]
    fn merge(&self, acc: &mut M::Acc, part: M::Acc) {
        self.measure.merge(acc, part);
    }

    #[inline]
    fn finish(&self, key: K, acc: M::Acc) -> (K, M::Acc) {
        (key, acc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::laws;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shipped_measures_keep_the_laws(rows in prop::collection::vec((0..4u8, any::<i32>()), 0..60), cut: usize, swap: usize) {
            let key = |r: &(u8, i32)| (r.0 > 0).then_some(r.0);
            laws::aggregator(&GroupBy::new(key, Count), &rows, cut, swap)?;
            laws::aggregator(&GroupBy::new(key, Sum::<_, i64>::new(|r: &(u8, i32)| i64::from(r.1))), &rows, cut, swap)?;
            laws::aggregator(&GroupBy::new(key, (Count, Sum::<_, i64>::new(|r: &(u8, i32)| i64::from(r.1)))), &rows, cut, swap)?;
        }
    }
}
