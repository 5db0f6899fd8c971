//! Why a row could not be read: all the words of `rejected.csv` that come from CSV, in one place.

use thiserror::Error;

use crate::value::{NotUtf8, ParseMoneyError, ParseTimeError};

/// Why a row, or a field of it, could not be read. Its printed form is what a user reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reason {
    /// The row has more or fewer fields than its file's header.
    #[error("wrong number of fields")]
    FieldCount,
    /// A quote is opened and not closed in the same line.
    #[error("unclosed quote")]
    UnclosedQuote,
    /// Something other than a comma follows a field's closing quote.
    #[error("text after a closing quote")]
    TextAfterQuote,
    /// The line is longer than [`MAX_LINE`](super::MAX_LINE).
    #[error("line longer than 64 KiB")]
    TooLong,
    /// A used column holds bytes that are not UTF-8.
    #[error(transparent)]
    NotUtf8(#[from] NotUtf8),
    /// An id or a quantity is not `digits` or `digits.0`.
    #[error("not a whole number")]
    NotWhole,
    /// An id or a quantity has more than 18 digits.
    #[error("more than 18 digits")]
    TooManyDigits,
    /// An amount of money could not be read.
    #[error(transparent)]
    Money(#[from] ParseMoneyError),
    /// A time could not be read.
    #[error(transparent)]
    Time(#[from] ParseTimeError),
    /// The file's header lacks the column, or can't be read.
    #[error("no such column in the header")]
    NoColumn,
    /// A reason of a [`Record`](super::Record) of the library's user: short, clear, in lower case.
    #[error("{0}")]
    Other(&'static str),
}

/// A field that a [`Record`](super::Record) could not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("column {column}: {reason}")]
pub struct FieldError {
    /// The column, as an index into [`Record::COLUMNS`](super::Record::COLUMNS).
    pub column: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

impl FieldError {
    /// Says that the field of `column`, an index into [`Record::COLUMNS`](super::Record::COLUMNS), is wrong in a way of
    /// the record's own.
    pub fn new(column: usize, reason: &'static str) -> Self {
        FieldError { column, reason: Reason::Other(reason) }
    }
}
