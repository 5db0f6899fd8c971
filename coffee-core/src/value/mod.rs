//! The values that rows are made of: exact money, civil time, and text that needs no heap while it is short.
//! How they are read out of CSV fields is decided here too, because a value is where its grammar is; what a row or a
//! column is, is not known here.

mod money;
mod period;
mod swar;
mod text;
mod time;

pub use money::{Money, ParseMoneyError, Total};
pub use period::{YearHalf, YearMonth};
pub(crate) use swar::{all_digits, digit_values, number, padded_load};
pub use text::{NotUtf8, Text};
pub(crate) use time::DateMemo;
pub use time::{CivilTime, ParseTimeError, TimeOfDay};
