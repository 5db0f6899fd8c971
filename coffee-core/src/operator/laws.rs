//! The operators' laws as checks on data of your choosing: hand them your own operator and rows, in a property test or a plain
//! one. Each returns what it found broken. `cut` and `swap` say where the rows are taken apart: any numbers will do, so try many.
//!
//! ```
//! use coffee_core::operator::{Count, GroupBy, laws};
//!
//! let rows: Vec<u32> = (0..12).map(|n| n * 7 % 5).collect();
//! let by_parity = GroupBy::new(|n: &u32| Some(n % 2), Count);
//! for cut in 0..rows.len() {
//!     laws::aggregator(&by_parity, &rows, cut, cut + 3)?;
//! }
//! # Ok::<(), laws::Broken>(())
//! ```

use std::{cmp::Ordering, collections::BTreeMap, fmt::Debug};

use super::{Aggregator, Filter, Joiner, Maximizer, Projection, Row};
use crate::codec;

/// A law that does not hold: which, and where it was seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("law broken: {law}: {seen}")]
pub struct Broken {
    /// The law, in words.
    pub law: &'static str,
    /// The case that breaks it.
    pub seen: String,
}

fn hold(holds: bool, law: &'static str, seen: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { law, seen: seen() }) }
}

fn halves<T>(rows: &[T], cut: usize) -> (&[T], &[T]) {
    rows.split_at(if rows.is_empty() { 0 } else { cut % rows.len() })
}

/// Rows are encoded faithfully, and equal rows equally.
pub fn row<R: Row + PartialEq + Debug>(value: &R) -> Result<(), Broken> {
    let encode = |value: &R| {
        let mut bytes = Vec::new();
        codec::encode(value, &mut bytes).map(|()| bytes).unwrap_or_default()
    };
    let bytes = encode(value);
    let back = codec::decode::<R>(&mut bytes.as_slice());
    hold(back.as_ref().is_ok_and(|back| back == value), "decoding gives the row back", || format!("{value:?}"))?;
    hold(encode(&value.clone()) == bytes, "equal rows have equal encodings", || format!("{value:?}"))
}

/// A filter decides by the row alone.
pub fn filter<R: Debug>(filter: &impl Filter<R>, rows: &[R], cut: usize) -> Result<(), Broken> {
    let all: Vec<bool> = rows.iter().map(|row| filter.keep(row)).collect();
    let (head, tail) = halves(rows, cut);
    let parts: Vec<bool> = tail.iter().chain(head).map(|row| filter.keep(row)).collect();
    let (first, second) = all.split_at(head.len());
    hold(parts == [second, first].concat(), "keep depends on the row alone", || format!("{rows:?}"))
}

/// A projection maps by the row alone.
pub fn projection<R: Debug, P: Projection<R>>(projection: &P, rows: &[R], cut: usize) -> Result<(), Broken>
where
    P::Out: PartialEq + Debug,
{
    let all: Vec<P::Out> = rows.iter().map(|row| projection.project(row)).collect();
    let (head, tail) = halves(rows, cut);
    let parts: Vec<P::Out> = tail.iter().chain(head).map(|row| projection.project(row)).collect();
    let same = parts.iter().eq(all[head.len()..].iter().chain(&all[..head.len()]));
    hold(same, "project depends on the row alone", || format!("{rows:?}"))
}

/// Merging is associative and commutative with the default as identity, and agrees with folding.
pub fn aggregator<A: Aggregator>(aggregator: &A, rows: &[A::Row], cut: usize, swap: usize) -> Result<(), Broken>
where
    A::Acc: PartialEq + Debug,
    A::Key: Debug,
{
    let fold = |rows: &[A::Row]| {
        let mut groups: BTreeMap<A::Key, A::Acc> = BTreeMap::new();
        for row in rows {
            if let Some(key) = aggregator.key(row) {
                aggregator.fold(groups.entry(key).or_default(), row);
            }
        }
        groups
    };
    let merge = |mut into: BTreeMap<A::Key, A::Acc>, part: BTreeMap<A::Key, A::Acc>| {
        for (key, acc) in part {
            aggregator.merge(into.entry(key).or_default(), acc);
        }
        into
    };
    let (head, tail) = halves(rows, cut);
    let (middle, end) = halves(tail, swap);
    let whole = fold(rows);
    let seen = || format!("{:?}", fold(rows));
    hold(merge(fold(head), fold(tail)) == whole, "folding parts and merging is folding the whole", seen)?;
    hold(merge(fold(tail), fold(head)) == whole, "merge is commutative", seen)?;
    let left = merge(merge(fold(head), fold(middle)), fold(end));
    let right = merge(fold(head), merge(fold(middle), fold(end)));
    hold(left == right && left == whole, "merge is associative", seen)?;
    for acc in whole.values() {
        let mut identity = acc.clone();
        aggregator.merge(&mut identity, A::Acc::default());
        hold(identity == *acc, "the default accumulator is the identity", || format!("{acc:?}"))?;
        row(acc)?;
    }
    Ok(())
}

/// The ranking is a total order, equal only for equal rows.
pub fn maximizer<M: Maximizer>(maximizer: &M, rows: &[M::Row], cut: usize) -> Result<(), Broken>
where
    M::Row: PartialEq + Debug,
{
    for a in rows {
        for b in rows.iter().filter(|b| maximizer.group(a) == maximizer.group(b)) {
            let order = maximizer.rank(a, b);
            hold(order == maximizer.rank(b, a).reverse(), "rank is antisymmetric", || format!("{a:?} {b:?}"))?;
            hold((order == Ordering::Equal) == (a == b), "rank is Equal only for equal rows", || {
                format!("{a:?} {b:?}")
            })?;
            for c in rows.iter().filter(|c| maximizer.group(a) == maximizer.group(c)) {
                let chain = order.is_le() && maximizer.rank(b, c).is_le();
                hold(!chain || maximizer.rank(a, c).is_le(), "rank is transitive", || format!("{a:?} {b:?} {c:?}"))?;
            }
        }
    }
    let best = |rows: Vec<M::Row>| {
        let mut groups: BTreeMap<M::Group, Vec<M::Row>> = BTreeMap::new();
        for row in rows {
            groups.entry(maximizer.group(&row)).or_default().push(row);
        }
        groups
            .into_values()
            .flat_map(|mut group| {
                group.sort_by(|a, b| maximizer.rank(a, b));
                group.truncate(maximizer.limit());
                group
            })
            .collect::<Vec<_>>()
    };
    let (head, tail) = halves(rows, cut);
    let parts = [best(tail.to_vec()), best(head.to_vec())].concat();
    hold(best(parts) == best(rows.to_vec()), "the best of the parts' best are the best", || format!("{rows:?}"))
}

/// Keys and joined rows are functions of their rows.
pub fn joiner<J: Joiner>(joiner: &J, build: &[J::Build], probes: &[J::Probe]) -> Result<(), Broken>
where
    J::Out: PartialEq + Debug,
    J::Build: Debug,
    J::Probe: Debug,
{
    for probe in probes {
        hold(joiner.probe_key(probe) == joiner.probe_key(&probe.clone()), "the key depends on the row alone", || {
            format!("{probe:?}")
        })?;
        let matching = build.iter().find(|row| joiner.build_key(row) == joiner.probe_key(probe));
        let again = joiner.join(&probe.clone(), matching.cloned().as_ref());
        hold(joiner.join(probe, matching) == again, "the join depends on the pair alone", || {
            format!("{probe:?} {matching:?}")
        })?;
    }
    Ok(())
}
