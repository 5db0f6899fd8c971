//! Rows with a key: what is grouped, ranked or joined by it.

use std::{fmt, hash::Hash};

use super::Flow;
use crate::operator::{GroupBy, Lookup, Measure, Row, TopBy};

/// Rows flowing out of an operator, and the key that they are told apart by; made by [`Flow::key`].
pub struct Keyed<'b, P, R, F> {
    flow: Flow<'b, P, R>,
    key: F,
}

impl<P, R, F: Clone> Clone for Keyed<'_, P, R, F> {
    fn clone(&self) -> Self {
        Keyed { flow: self.flow, key: self.key.clone() }
    }
}

impl<P, R, F: Copy> Copy for Keyed<'_, P, R, F> {}

impl<P, R, F> fmt::Debug for Keyed<'_, P, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").finish_non_exhaustive()
    }
}

impl<'b, P: Row, R: Row> Flow<'b, P, R> {
    /// Names what the next operator groups, ranks or joins by: a function of the row alone.
    pub fn key<K, F>(self, key: F) -> Keyed<'b, P, R, F>
    where
        F: Fn(&R) -> K + Clone + Send + Sync + 'static,
    {
        Keyed { flow: self, key }
    }
}

impl<'b, P: Row, R: Row, K, F> Keyed<'b, P, R, F>
where
    K: Row + Ord + Hash,
    F: Fn(&R) -> K + Clone + Send + Sync + 'static,
{
    /// Measures the rows of each key: they become `(key, measure)`. What leaves rows out, or becomes something else, is an
    /// [`Aggregator`](crate::operator::Aggregator) of one's own, for [`Flow::aggregate`].
    pub fn aggregate<M: Measure<R>>(
        self,
        name: &str,
        make: impl Fn(&P) -> M + Send + Sync + 'static,
    ) -> Flow<'b, P, (K, M::Acc)> {
        let key = self.key;
        self.flow.aggregate(name, move |parameters| {
            let key = key.clone();
            GroupBy::new(move |row: &R| Some(key(row)), make(parameters))
        })
    }

    /// Keeps the first few rows of each key in the order of what a function takes from them, lowest first
    /// ([`std::cmp::Reverse`] turns a part of it round): `make` gives their number and the function. Rows of one key with equal
    /// order must be equal.
    pub fn maximize<T: Ord, O: Fn(&R) -> T + Send + 'static>(
        self,
        name: &str,
        make: impl Fn(&P) -> (usize, O) + Send + Sync + 'static,
    ) -> Flow<'b, P, R> {
        let key = self.key;
        self.flow.maximize(name, move |parameters| {
            let (limit, order) = make(parameters);
            TopBy::new(key.clone(), order, limit)
        })
    }

    /// Joins each row with the one of the same key in `build`, all of which is kept until both sides have ended; of several with
    /// one key, the first in its stream's order. `make` gives the function that puts the two together. Rows that meet none are
    /// left out.
    pub fn join<B: Row, G, O: Row, A>(
        self,
        name: &str,
        build: Keyed<'b, P, B, G>,
        make: impl Fn(&P) -> A + Send + Sync + 'static,
    ) -> Flow<'b, P, O>
    where
        G: Fn(&B) -> K + Clone + Send + Sync + 'static,
        A: Fn(&R, &B) -> O + Send + 'static,
    {
        let (key, build_key) = (self.key, build.key);
        self.flow
            .join(name, build.flow, move |parameters| Lookup::new(key.clone(), build_key.clone(), make(parameters)))
    }

    /// As [`join`](Self::join), but of rows that meet none too: the function is shown `None` for these, and leaves a row out, whether
    /// it meets one or not, by giving `None` itself.
    pub fn left_join<B: Row, G, O: Row, A>(
        self,
        name: &str,
        build: Keyed<'b, P, B, G>,
        make: impl Fn(&P) -> A + Send + Sync + 'static,
    ) -> Flow<'b, P, O>
    where
        G: Fn(&B) -> K + Clone + Send + Sync + 'static,
        A: Fn(&R, Option<&B>) -> Option<O> + Send + 'static,
    {
        let (key, build_key) = (self.key, build.key);
        self.flow
            .join(name, build.flow, move |parameters| Lookup::left(key.clone(), build_key.clone(), make(parameters)))
    }
}
