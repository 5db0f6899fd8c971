//! A plan whose operators panic at some rows where its parameters say so, its placements, and its plain answer.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{
    operator::{Aggregator, AtLeast, Lookup, TopBy},
    plan::{Placement, Plan, PlanBuilder},
    source::EncodedRows,
};

#[path = "poison_placement.rs"]
mod poison_placement;
pub use poison_placement::placement;

pub type Sale = (u8, u32);
pub type Name = (u8, u64, String);

/// The least large amount, how many of each parity are best, and which operator panics at [`DEADLY`].
pub type Asked = (u32, u8, Poison);

/// An operator that panics at a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Poison {
    Nowhere,
    /// In a stateless chain.
    Columns,
    /// Where rows set out to be summed.
    Sums,
    /// Where a second part of a sum arrives.
    Merge,
    /// Where the best are picked: by the sender, in its emission, where it combines, else by the receiver.
    Best,
    /// In an emission.
    Named,
}

/// The amount, key or name that is poison.
pub const DEADLY: u8 = 7;

impl Poison {
    fn at(self, place: Poison, deadly: bool) {
        assert!(self != place || !deadly, "poisoned");
    }
}

/// Sums by key. A part knows whether it is poison, as a merge is not told its key.
struct Sums(Poison);

impl Aggregator for Sums {
    type Row = Sale;
    type Key = u8;
    type Acc = (u64, bool);
    type Out = (u8, u64);

    fn key(&self, sale: &Sale) -> Option<u8> {
        Some(sale.0)
    }

    fn fold(&self, acc: &mut (u64, bool), sale: &Sale) {
        self.0.at(Poison::Sums, sale.0 == DEADLY);
        *acc = (acc.0 + u64::from(sale.1), acc.1 || sale.0 == DEADLY);
    }

    fn merge(&self, acc: &mut (u64, bool), part: (u64, bool)) {
        self.0.at(Poison::Merge, part.1);
        *acc = (acc.0 + part.0, acc.1 || part.1);
    }

    fn finish(&self, key: u8, (sum, _): (u64, bool)) -> (u8, u64) {
        (key, sum)
    }
}

/// Sums by key, the best few sums of each parity, joined with names; and the large sales as they are.
pub fn plan() -> Plan {
    let plan = PlanBuilder::<Asked>::new();
    let names = plan.source("names", |_| EncodedRows::<Name>::new());
    let sales = plan.source("sales", |_| EncodedRows::<Sale>::new());
    let large = sales.filter("large", |p: &Asked| AtLeast::new(|sale: &Sale| sale.1, p.0));
    let columns = |p: &Asked| {
        let poison = p.2;
        move |sale: &Sale| {
            poison.at(Poison::Columns, sale.0 == DEADLY);
            (sale.1, sale.0)
        }
    };
    large.map("columns", columns).sink("large-sales");
    sales
        .aggregate("sums", |p| Sums(p.2))
        .maximize("best", |p| {
            let poison = p.2;
            let parity = move |r: &(u8, u64)| {
                poison.at(Poison::Best, r.0 == DEADLY);
                r.0 % 2
            };
            TopBy::new(parity, |r: &(u8, u64)| (Reverse(r.1), r.0), p.1.into())
        })
        .join("named", names, |p| {
            let poison = p.2;
            let joined = move |r: &(u8, u64), n: &Name| {
                poison.at(Poison::Named, r.0 == DEADLY);
                (r.1, n.2.clone())
            };
            Lookup::new(|r: &(u8, u64)| r.0, |n: &Name| n.0, joined)
        })
        .sink("best-names");
    plan.build().unwrap()
}

/// What each sink must yield, computed plainly.
pub type Large = (u32, u8);
pub type BestName = (u64, String);

pub fn expected(sales: &[Sale], names: &[Name], (least, limit, _): Asked) -> (Vec<Large>, Vec<BestName>) {
    let mut large: Vec<(u32, u8)> = sales.iter().filter(|sale| sale.1 >= least).map(|sale| (sale.1, sale.0)).collect();
    large.sort();
    let mut sums: BTreeMap<u8, u64> = BTreeMap::new();
    sales.iter().for_each(|sale| *sums.entry(sale.0).or_default() += u64::from(sale.1));
    let mut best = Vec::new();
    for parity in 0..2 {
        let mut group: Vec<(u8, u64)> =
            sums.iter().filter(|sum| sum.0 % 2 == parity).map(|(key, sum)| (*key, *sum)).collect();
        group.sort_by_key(|(key, sum)| (Reverse(*sum), *key));
        best.extend(group.into_iter().take(limit.into()));
    }
    let first = |key: u8| names.iter().find(|name| name.0 == key).map(|name| name.2.clone());
    let mut named: Vec<(u64, String)> = best.into_iter().filter_map(|(key, sum)| Some((sum, first(key)?))).collect();
    named.sort();
    (large, named)
}
