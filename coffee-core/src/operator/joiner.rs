//! Adds columns of one table to the rows of another.

use std::{hash::Hash, marker::PhantomData};

use super::Row;
use crate::rejection::Rejection;

/// Joins probe rows with the build row of the same key.
///
/// Laws, checked by [`laws::joiner`](super::laws::joiner): the keys are functions of their rows, and `join` of the
/// pair. Of build rows with one key the first in its stream's order stays; so which rows meet does not depend on the
/// order of arrival.
pub trait Joiner: Send + 'static {
    /// The rows that are looked up; all of them are kept until the probes end.
    type Build: Row;
    /// The rows that something is added to.
    type Probe: Row;
    /// What they meet by.
    type Key: Row + Eq + Hash;
    /// What a probe becomes.
    type Out: Row;

    /// A build row's key.
    fn build_key(&self, build: &Self::Build) -> Self::Key;

    /// A probe row's key.
    fn probe_key(&self, probe: &Self::Probe) -> Self::Key;

    /// The joined row; `None` leaves the probe out. `build` is `None` where no build row has its key.
    fn join(&self, probe: &Self::Probe, build: Option<&Self::Build>) -> Option<Self::Out>;

    /// How a build row is reported whose key an earlier one has; `None`, unless implemented: silently left out.
    fn duplicate(&self, build: &Self::Build) -> Option<Rejection> {
        let _ = build;
        None
    }
}

/// A join by a function a side for the key, and one that puts the two rows together.
pub struct Lookup<B, P, FB, FP, FA> {
    build_key: FB,
    probe_key: FP,
    add: FA,
    duplicate: fn(&B) -> Option<Rejection>,
    rows: PhantomData<fn(&B, &P)>,
}

impl<B, P, FB, FP> Lookup<B, P, FB, FP, ()> {
    /// An inner join: rows meet where `probe_key` equals `build_key`; `add` says which columns the result has. Probes that meet
    /// none are left out.
    #[expect(clippy::type_complexity, reason = "a closure's type has no shorter name")]
    pub fn new<O, FA>(
        probe_key: FP,
        build_key: FB,
        add: FA,
    ) -> Lookup<B, P, FB, FP, impl Fn(&P, Option<&B>) -> Option<O> + Send + 'static>
    where
        FA: Fn(&P, &B) -> O + Send + 'static,
    {
        Lookup::left(probe_key, build_key, move |probe: &P, build: Option<&B>| Some(add(probe, build?)))
    }

    /// A left join: each probe is shown with the build row that it meets, or `None`, and what becomes of it is left out where
    /// that is `None`.
    pub fn left<O, FA>(probe_key: FP, build_key: FB, add: FA) -> Lookup<B, P, FB, FP, FA>
    where
        FA: Fn(&P, Option<&B>) -> Option<O> + Send + 'static,
    {
        Lookup { build_key, probe_key, add, duplicate: |_| None, rows: PhantomData }
    }
}

impl<B, P, FB, FP, FA> Lookup<B, P, FB, FP, FA> {
    /// Reports later build rows of a key by `duplicate`.
    #[must_use]
    pub fn rejecting(self, duplicate: fn(&B) -> Option<Rejection>) -> Self {
        Lookup { duplicate, ..self }
    }
}

impl<B, P, K, O, FB, FP, FA> Joiner for Lookup<B, P, FB, FP, FA>
where
    B: Row,
    P: Row,
    K: Row + Eq + Hash,
    O: Row,
    FB: Fn(&B) -> K + Send + 'static,
    FP: Fn(&P) -> K + Send + 'static,
    FA: Fn(&P, Option<&B>) -> Option<O> + Send + 'static,
{
    type Build = B;
    type Probe = P;
    type Key = K;
    type Out = O;

    fn build_key(&self, build: &B) -> K {
        (self.build_key)(build)
    }

    fn probe_key(&self, probe: &P) -> K {
        (self.probe_key)(probe)
    }

    fn join(&self, probe: &P, build: Option<&B>) -> Option<O> {
        (self.add)(probe, build)
    }

    fn duplicate(&self, build: &B) -> Option<Rejection> {
        (self.duplicate)(build)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::laws;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lookup_keeps_the_laws(build in prop::collection::vec((0..9u8, any::<u16>()), 0..20), probes in prop::collection::vec((0..9u8, any::<u16>()), 0..20)) {
            let lookup = Lookup::new(|p: &(u8, u16)| p.0, |b: &(u8, u16)| b.0, |p: &(u8, u16), b: &(u8, u16)| (p.1, b.1));
            laws::joiner(&lookup, &build, &probes)?;
            let left = Lookup::left(|p: &(u8, u16)| p.0, |b: &(u8, u16)| b.0, |p: &(u8, u16), b: Option<&(u8, u16)>| {
                (p.1 > 9).then_some((p.1, b.map(|b| b.1)))
            });
            laws::joiner(&left, &build, &probes)?;
        }
    }

    #[test]
    fn who_meets_none_is_shown_to_a_left_join_alone() {
        let inner = Lookup::new(|p: &u8| *p, |b: &u8| *b, |p: &u8, b: &u8| (*p, *b));
        assert_eq!((inner.join(&1, Some(&1)), inner.join(&1, None)), (Some((1, 1)), None));
        let left =
            Lookup::left(|p: &u8| *p, |b: &u8| *b, |p: &u8, b: Option<&u8>| (*p > 1).then_some((*p, b.copied())));
        assert_eq!((left.join(&2, Some(&2)), left.join(&2, None)), (Some((2, Some(2))), Some((2, None))));
        assert_eq!(left.join(&1, Some(&1)), None);
    }
}
