//! The tables that a run reads, opened and checked before any work.

use std::path::Path;

use coffee_core::{
    csv::{HeaderError, check_header},
    sales::records::{MenuItem, Store, Transaction, TransactionItem, User},
};

use super::SalesError;
use crate::input::Table;

/// Opens a table and checks that each of its files has the columns that are used.
pub(super) fn open(data: &Path, name: &str) -> Result<Table, SalesError> {
    let table = Table::open(data, name)?;
    for (path, header) in table.headers() {
        check(name, header).map_err(|error| SalesError::Header { path: path.to_owned(), error })?;
    }
    Ok(table)
}

fn check(table: &str, header: &[u8]) -> Result<(), HeaderError> {
    match table {
        "transactions" => check_header::<Transaction>(header),
        "transaction_items" => check_header::<TransactionItem>(header),
        "stores" => check_header::<Store>(header),
        "menu_items" => check_header::<MenuItem>(header),
        "users" => check_header::<User>(header),
        _ => Ok(()),
    }
}

/// A file of a table as people know it: `TABLE/FILE`.
pub(super) fn file_name(table: &Table, file: u32) -> String {
    let name = table.files().get(file as usize).map(|file| file.name()).unwrap_or_default();
    format!("{}/{name}", table.name())
}
