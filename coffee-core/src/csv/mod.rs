//! Rows out of CSV: a [`Record`] says which columns it needs and how its fields are read, [`CsvSource`] does the rest.
//!
//! A row is a line. Fields are parted by commas; a field in quotes may hold commas and doubled quotes, but no line break.
//! A quote inside a field that does not begin with one is text. A CR at a line's end, a byte order mark in front of the
//! header and empty lines are no part of any row. Columns are found by their names in the header, so their order and
//! other columns do not matter. What can't be read is left out and said with its place and [`Reason`].
//!
//! Files are not opened here, and nothing here knows a certain table.

mod careful;
mod header;
mod number;
mod reason;
mod record;
mod scan;
mod source;
mod split;

pub use careful::MAX_LINE;
pub use header::{HeaderError, check_header};
pub use reason::{FieldError, Reason};
pub use record::{Fields, Record};
pub use source::CsvSource;
