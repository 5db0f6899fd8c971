//! The rows of the results. Their derived order is the order of their files.

use std::{cmp::Reverse, io::Write};

use serde::{Deserialize, Serialize};

use super::records::{ItemId, StoreId, UserId};
use crate::value::{Money, Text, Total, YearHalf, YearMonth};

/// A row of a result file.
pub trait ResultRow {
    /// The file's header.
    const HEADER: &'static [&'static str];

    /// Passes the row's fields on, in the header's order.
    fn fields(&self, field: &mut dyn FnMut(&[u8]));
}

/// Q1: a purchase of at least the asked amount.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sale {
    /// The transaction's id.
    pub transaction: Text,
    /// What was paid.
    pub amount: Money,
}

/// Q2: the product most sold in a month.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BestSelling {
    /// The month.
    pub month: YearMonth,
    /// The product.
    pub item: ItemId,
    /// Its name.
    pub item_name: Text,
    /// How many were sold.
    pub quantity: u128,
}

/// Q2: the product that brought most in a month.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MostProfit {
    /// The month.
    pub month: YearMonth,
    /// The product.
    pub item: ItemId,
    /// Its name.
    pub item_name: Text,
    /// What it brought.
    pub profit: Total,
}

/// Q3: what a store took in half a year.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoreHalf {
    /// The half-year.
    pub half: YearHalf,
    /// The store's name.
    pub store_name: Text,
    /// The store.
    pub store: StoreId,
    /// What it took: the total payment value.
    pub tpv: Total,
}

/// Q4: one of a store's most frequent customers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TopBuyer {
    /// The store's name.
    pub store_name: Text,
    /// The store.
    pub store: StoreId,
    /// How many purchases they made, most first.
    pub purchases: Reverse<u64>,
    /// The customer.
    pub user: UserId,
    /// Their birthdate.
    pub birthdate: Text,
}

/// Formats a value as a field without allocating.
fn show(field: &mut dyn FnMut(&[u8]), value: impl std::fmt::Display) {
    let mut text = [0; 64]; // the longest is a total of 39 digits, a sign and a point
    let mut rest = text.as_mut_slice();
    let _ = write!(rest, "{value}");
    let length = 64 - rest.len();
    field(text.get(..length).unwrap_or_default());
}

impl ResultRow for Sale {
    const HEADER: &'static [&'static str] = &["transaction_id", "final_amount"];

    fn fields(&self, field: &mut dyn FnMut(&[u8])) {
        field(self.transaction.as_bytes());
        show(field, self.amount);
    }
}

impl ResultRow for BestSelling {
    const HEADER: &'static [&'static str] = &["year_month_created_at", "item_name", "sellings_qty"];

    fn fields(&self, field: &mut dyn FnMut(&[u8])) {
        show(field, self.month);
        field(self.item_name.as_bytes());
        show(field, self.quantity);
    }
}

impl ResultRow for MostProfit {
    const HEADER: &'static [&'static str] = &["year_month_created_at", "item_name", "profit_sum"];

    fn fields(&self, field: &mut dyn FnMut(&[u8])) {
        show(field, self.month);
        field(self.item_name.as_bytes());
        show(field, self.profit);
    }
}

impl ResultRow for StoreHalf {
    const HEADER: &'static [&'static str] = &["year_half_created_at", "store_name", "tpv"];

    fn fields(&self, field: &mut dyn FnMut(&[u8])) {
        show(field, self.half);
        field(self.store_name.as_bytes());
        show(field, self.tpv);
    }
}

impl ResultRow for TopBuyer {
    const HEADER: &'static [&'static str] = &["store_name", "birthdate", "purchases_qty"];

    fn fields(&self, field: &mut dyn FnMut(&[u8])) {
        field(self.store_name.as_bytes());
        field(self.birthdate.as_bytes());
        show(field, self.purchases.0);
    }
}
