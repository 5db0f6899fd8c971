//! The four queries as one plan, which shares work between them: one pass over the transactions serves three.
//!
//! ```text
//! transactions -> year -> hour -> amount -> sale ---------------------------------> q1
//!                   |       `--> tpv (by half and store) -> tpv-stores -----------> q3
//!                   `--> purchases (by store and user) -> top-buyers -> buyers-stores -> buyers-users -> q4
//! transaction_items -> items-year -> items (by month and item) -> best-selling -> best-selling-names -> q2_best_selling
//!                                                             `-> most-profit -> most-profit-names -> q2_most_profit
//! ```

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{
    records::{ItemId, MenuItem, Store, StoreId, Transaction, TransactionItem, User, UserId},
    results::{BestSelling, MostProfit, Sale, StoreHalf, TopBuyer},
};
use crate::{
    csv::CsvSource,
    operator::{AtLeast, Between, Count, GroupBy, Joiner, Lookup, OneOf, Sum},
    plan::{Placement, PlacementError, Plan, PlanBuilder, PlanError, SinkId},
    rejection::{Line, Rejection},
    value::{Money, Text, TimeOfDay, Total, YearHalf, YearMonth},
};

/// The parameters of the four queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The years that count.
    pub years: Vec<u16>,
    /// The first time of day that counts, for Q1 and Q3.
    pub from: TimeOfDay,
    /// The last time of day that counts, for Q1 and Q3.
    pub to: TimeOfDay,
    /// The least amount that Q1 lists.
    pub min_amount: Money,
    /// How many users a store Q4 lists.
    pub top: u64,
}

/// Parameters that no answer makes sense for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// No year counts.
    #[error("no year is asked for")]
    NoYear,
    /// No time of day counts.
    #[error("the first time of day, {0}, is after the last, {1}")]
    NoHour(TimeOfDay, TimeOfDay),
    /// No user would be listed.
    #[error("the number of users a store must be at least 1")]
    NoTop,
}

impl Query {
    /// Checks that the parameters make sense.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), QueryError> {
        match self {
            Query { years, .. } if years.is_empty() => Err(QueryError::NoYear),
            Query { from, to, .. } if from > to => Err(QueryError::NoHour(*from, *to)),
            Query { top: 0, .. } => Err(QueryError::NoTop),
            _ => Ok(()),
        }
    }
}

/// The plan and the names of its results.
#[derive(Debug)]
pub struct SalesPlan {
    /// The plan.
    pub plan: Plan,
    /// Q1's result.
    pub q1: SinkId<Sale>,
    /// Q2's first result.
    pub q2_best_selling: SinkId<BestSelling>,
    /// Q2's second result.
    pub q2_most_profit: SinkId<MostProfit>,
    /// Q3's result.
    pub q3: SinkId<StoreHalf>,
    /// Q4's result.
    pub q4: SinkId<TopBuyer>,
}

/// The placement for speed: what can be done where the data comes in is done there.
///
/// # Errors
/// Never: a test parses it.
pub fn fused() -> Result<Placement, PlacementError> {
    Placement::parse(include_str!("placements/fused.toml"))
}

/// The placement of the textbook: one operator a node.
///
/// # Errors
/// Never: a test parses it.
pub fn staged() -> Result<Placement, PlacementError> {
    Placement::parse(include_str!("placements/staged.toml"))
}

type ItemMonth = ((YearMonth, ItemId), (u128, Total));
type HalfTotal = ((YearHalf, StoreId), Total);
type Purchases = ((StoreId, UserId), u64);

/// Builds the plan of the four queries.
///
/// # Errors
/// Never: a test builds it.
pub fn sales_plan() -> Result<SalesPlan, PlanError> {
    let plan = PlanBuilder::<Query>::new();
    let stores = plan.source("stores", |_| CsvSource::<Store>::new());
    let menu = plan.source("menu_items", |_| CsvSource::<MenuItem>::new());
    let users = plan.source("users", |_| CsvSource::<User>::new());

    let transactions = plan.source("transactions", |_| CsvSource::<Transaction>::new());
    let of_years = transactions.filter("year", |q| OneOf::new(|t: &Transaction| t.at.year(), q.years.clone()));
    let of_hours = of_years.filter("hour", |q| Between::new(|t: &Transaction| t.at.time_of_day(), q.from, q.to));

    let q1 = of_hours
        .filter("amount", |q| AtLeast::new(|t: &Transaction| t.amount, q.min_amount))
        .map("sale", |_| |t: &Transaction| Sale { transaction: t.id.clone(), amount: t.amount })
        .sink("q1");

    let items = plan.source("transaction_items", |_| CsvSource::<TransactionItem>::new());
    let items = items
        .filter("items-year", |q| OneOf::new(|i: &TransactionItem| i.at.year(), q.years.clone()))
        .key(|i| (i.at.year_month(), i.item))
        .aggregate("items", |_| {
            let sold = Sum::<_, u128>::new(|i: &TransactionItem| u128::from(i.quantity));
            let brought = Sum::<_, Total>::new(|i: &TransactionItem| i.subtotal);
            (sold, brought)
        });
    let of_months = items.key(|r: &ItemMonth| r.0.0);
    let q2_best_selling = of_months
        .maximize("best-selling", |_| (1, |r: &ItemMonth| (Reverse(r.1.0), r.0.1)))
        .join("best-selling-names", menu, |_| {
            of_item(|r: &ItemMonth, m| BestSelling {
                month: r.0.0,
                item: r.0.1,
                item_name: m.name.clone(),
                quantity: r.1.0,
            })
        })
        .sink("q2_best_selling");
    let q2_most_profit = of_months
        .maximize("most-profit", |_| (1, |r: &ItemMonth| (Reverse(r.1.1), r.0.1)))
        .join("most-profit-names", menu, |_| {
            of_item(|r: &ItemMonth, m| MostProfit {
                month: r.0.0,
                item: r.0.1,
                item_name: m.name.clone(),
                profit: r.1.1,
            })
        })
        .sink("q2_most_profit");

    let q3 = of_hours
        .key(|t| (t.at.year_half(), t.store))
        .aggregate("tpv", |_| Sum::<_, Total>::new(|t: &Transaction| t.amount))
        .join("tpv-stores", stores, |_| {
            of_store(
                |r: &HalfTotal| r.0.1,
                |((half, store), tpv), s| StoreHalf {
                    half: *half,
                    store_name: s.name.clone(),
                    store: *store,
                    tpv: *tpv,
                },
            )
        })
        .sink("q3");

    let q4 = of_years
        .aggregate("purchases", |_| GroupBy::new(|t: &Transaction| Some((t.store, t.user?)), Count))
        .key(|r| r.0.0)
        .maximize("top-buyers", |q| {
            let top = usize::try_from(q.top).unwrap_or(usize::MAX);
            (top, |r: &Purchases| (Reverse(r.1), r.0.1))
        })
        .join("buyers-stores", stores, |_| {
            of_store(|r: &Purchases| r.0.0, |((store, user), purchases), s| (s.name.clone(), *store, *user, *purchases))
        })
        .join("buyers-users", users, |_| {
            type Buyer = (Text, StoreId, UserId, u64);
            let add = |b: &Buyer, u: &User| TopBuyer {
                store_name: b.0.clone(),
                store: b.1,
                purchases: Reverse(b.3),
                user: b.2,
                birthdate: u.birthdate.clone(),
            };
            Lookup::new(|b: &Buyer| b.2, |u: &User| u.user, add).rejecting(|u: &User| repeated(u.line, "user_id"))
        })
        .sink("q4");

    Ok(SalesPlan { plan: plan.build()?, q1, q2_best_selling, q2_most_profit, q3, q4 })
}

/// Adds columns of the product.
fn of_item<O: crate::operator::Row>(
    add: impl Fn(&ItemMonth, &MenuItem) -> O + Send + 'static,
) -> impl Joiner<Build = MenuItem, Probe = ItemMonth, Out = O> {
    Lookup::new(|r: &ItemMonth| r.0.1, |m: &MenuItem| m.item, add).rejecting(|m: &MenuItem| repeated(m.line, "item_id"))
}

/// Adds columns of the store.
fn of_store<P: crate::operator::Row, O: crate::operator::Row>(
    store: impl Fn(&P) -> StoreId + Send + 'static,
    add: impl Fn(&P, &Store) -> O + Send + 'static,
) -> impl Joiner<Build = Store, Probe = P, Out = O> {
    Lookup::new(store, |s: &Store| s.store, add).rejecting(|s: &Store| repeated(s.line, "store_id"))
}

/// Of rows with one key the first stays.
fn repeated(line: Line, column: &str) -> Option<Rejection> {
    Some(Rejection {
        line,
        column: column.to_owned(),
        reason: "repeats the key of an earlier row".to_owned(),
        raw: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::Topology;

    #[test]
    fn the_shipped_placements_fit_the_plan() {
        let plan = Arc::new(sales_plan().unwrap().plan);
        let fused = Topology::new(plan.clone(), &fused().unwrap()).unwrap();
        let staged = Topology::new(plan, &staged().unwrap()).unwrap();
        assert_ne!(fused.version(), staged.version());
        assert!(fused.sources().iter().all(|source| fused.stages()[usize::from(source.stage)].hosted));
        assert!(staged.stages().iter().all(|stage| !stage.hosted));
    }
}
