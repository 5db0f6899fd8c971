//! The rows of the coffee shops' tables, with the columns that the queries use.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::csv::{FieldError, Fields, Record};
use crate::rejection::Line;
use crate::value::{CivilTime, Money, Text};

/// Declares the ids, which differ in nothing but in what they name.
macro_rules! ids {
    ($($(#[$docs:meta])* $name:ident;)*) => {$(
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// Names a store.
    StoreId;
    /// Names a product of the menu.
    ItemId;
    /// Names a registered customer.
    UserId;
}

/// A purchase, from the table `transactions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its id, which is any text.
    pub id: Text,
    /// Where it was made.
    pub store: StoreId,
    /// Who made it, if they are registered.
    pub user: Option<UserId>,
    /// What was paid in the end.
    pub amount: Money,
    /// When.
    pub at: CivilTime,
}

/// A product in a purchase, from the table `transaction_items`. Which purchase is not kept, as no query asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionItem {
    /// The product.
    pub item: ItemId,
    /// How many of it.
    pub quantity: u64,
    /// The price of all of them.
    pub subtotal: Money,
    /// When.
    pub at: CivilTime,
}

/// A store, from the table `stores`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Its id.
    pub store: StoreId,
    /// Its name.
    pub name: Text,
    /// Where it stands in the table.
    pub line: Line,
}

/// A product, from the table `menu_items`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuItem {
    /// Its id.
    pub item: ItemId,
    /// Its name.
    pub name: Text,
    /// Where it stands in the table.
    pub line: Line,
}

/// A registered customer, from the table `users`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their id.
    pub user: UserId,
    /// Their birthdate, which is any text.
    pub birthdate: Text,
    /// Where they stand in the table.
    pub line: Line,
}

impl Record for Transaction {
    const COLUMNS: &'static [&'static str] = &["transaction_id", "store_id", "user_id", "final_amount", "created_at"];

    #[inline]
    fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
        let store = StoreId(fields.whole_number(1)?);
        let user = fields.optional_whole_number(2)?.map(UserId);
        let (amount, at) = (fields.money(3)?, fields.time(4)?);
        Ok(Transaction { id: fields.text(0), store, user, amount, at })
    }
}

impl Record for TransactionItem {
    const COLUMNS: &'static [&'static str] = &["transaction_id", "item_id", "quantity", "subtotal", "created_at"];

    #[inline]
    fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
        Ok(TransactionItem {
            item: ItemId(fields.whole_number(1)?),
            quantity: fields.whole_number(2)?,
            subtotal: fields.money(3)?,
            at: fields.time(4)?,
        })
    }
}

impl Record for Store {
    const COLUMNS: &'static [&'static str] = &["store_id", "store_name"];

    fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
        Ok(Store { store: StoreId(fields.whole_number(0)?), name: fields.text(1), line: fields.line() })
    }
}

impl Record for MenuItem {
    const COLUMNS: &'static [&'static str] = &["item_id", "item_name"];

    fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
        Ok(MenuItem { item: ItemId(fields.whole_number(0)?), name: fields.text(1), line: fields.line() })
    }
}

impl Record for User {
    const COLUMNS: &'static [&'static str] = &["user_id", "birthdate"];

    #[inline]
    fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
        Ok(User { user: UserId(fields.whole_number(0)?), birthdate: fields.text(1), line: fields.line() })
    }
}
