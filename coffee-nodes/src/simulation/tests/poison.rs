//! A plan whose operators panic at some rows where its parameters say so, its placements, and its plain answer.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use coffee_core::{
    operator::{AtLeast, GroupBy, Lookup, Sum, TopBy},
    plan::{Placement, Plan, PlanBuilder, SourceId, Topology},
};

#[path = "../../../../coffee-core/src/node/tests/poison_placement.rs"]
mod poison_placement;
use poison_placement::placement;

pub type Sale = (u8, u32);
pub type Name = (u8, u64, String);

/// The least large amount, how many of each parity are best, and which operator panics at [`DEADLY`].
pub type Asked = (u32, u8, Poison);

/// An operator that panics at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Poison {
    Nowhere,
    /// In a stateless chain.
    Columns,
    /// In a shard's emission.
    Named,
}

/// The key that is poison.
pub const DEADLY: u8 = 7;

impl Poison {
    fn at(self, place: Poison, key: u8) {
        assert!(self != place || key != DEADLY, "on purpose");
    }
}

/// What it reads.
pub struct Tables {
    pub names: SourceId<Name>,
    pub sales: SourceId<Sale>,
}

/// Sums by key, the best few sums of each parity, joined with names; and the large sales as they are.
fn plan() -> (Plan, Tables) {
    let plan = PlanBuilder::<Asked>::new();
    let (names_table, names) = plan.rows::<Name>("names");
    let (sales_table, sales) = plan.rows::<Sale>("sales");
    let large = sales.filter("large", |p: &Asked| AtLeast::new(|sale: &Sale| sale.1, p.0));
    let columns = |p: &Asked| {
        let poison = p.2;
        move |sale: &Sale| {
            poison.at(Poison::Columns, sale.0);
            (sale.1, sale.0)
        }
    };
    large.map("columns", columns).sink("large-sales");
    sales
        .aggregate("sums", |_| {
            GroupBy::new(|sale: &Sale| Some(sale.0), Sum::<_, u64>::new(|sale: &Sale| u64::from(sale.1)))
        })
        .maximize("best", |p| TopBy::new(|r: &(u8, u64)| r.0 % 2, |r: &(u8, u64)| (Reverse(r.1), r.0), p.1.into()))
        .join("named", names, |p| {
            let poison = p.2;
            let joined = move |r: &(u8, u64), n: &Name| {
                poison.at(Poison::Named, r.0);
                (r.1, n.2.clone())
            };
            Lookup::new(|r: &(u8, u64)| r.0, |n: &Name| n.0, joined)
        })
        .sink("best-names");
    (plan.build().unwrap(), Tables { names: names_table, sales: sales_table })
}

pub fn topology(staged: bool, shards: u16, replicas: u16, combine: bool) -> (Arc<Topology>, Tables) {
    let (plan, tables) = plan();
    (Arc::new(Topology::new(plan, &placement(staged, shards, replicas, combine)).unwrap()), tables)
}

pub type Large = (u32, u8);
pub type BestName = (u64, String);

/// What each sink must yield, computed plainly; `None` where an operator panics on the way to it.
pub type Expected = (Option<Vec<Large>>, Option<Vec<BestName>>);

pub fn expected(staged: bool, sales: &[Sale], names: &[Name], (least, limit, poison): Asked) -> Expected {
    let mut large: Vec<Large> = sales.iter().filter(|sale| sale.1 >= least).map(|sale| (sale.1, sale.0)).collect();
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
    let joined: Vec<(u8, BestName)> =
        best.into_iter().filter_map(|(key, sum)| Some((key, (sum, first(key)?)))).collect();
    let in_columns = poison == Poison::Columns && large.iter().any(|(_, key)| *key == DEADLY);
    let in_named = poison == Poison::Named && joined.iter().any(|(key, _)| *key == DEADLY);
    let mut named: Vec<BestName> = joined.into_iter().map(|(_, named)| named).collect();
    named.sort();
    // What one stage does with a chunk fails as a whole.
    let best_fails = in_named || in_columns && !staged;
    ((!in_columns).then_some(large), (!best_fails).then_some(named))
}
