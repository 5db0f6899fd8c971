//! What a kind of row must say about itself to be read from CSV, and the fields that it is given.

use super::number::whole_number;
use super::{FieldError, Reason};
use crate::rejection::Line;
use crate::value::{CivilTime, DateMemo, Money, Text};

/// A kind of row that can be read from CSV.
///
/// ```
/// use coffee_core::csv::{FieldError, Fields, Record};
/// use coffee_core::value::{CivilTime, Text};
///
/// struct Reading {
///     sensor: Text,
///     celsius: f32,
///     at: CivilTime,
/// }
///
/// impl Record for Reading {
///     const COLUMNS: &'static [&'static str] = &["sensor", "celsius", "at"];
///
///     fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
///         Ok(Reading {
///             sensor: fields.text(0),
///             celsius: fields.str(1).parse().map_err(|_| FieldError::new(1, "not a temperature"))?,
///             at: fields.time(2)?,
///         })
///     }
/// }
/// ```
pub trait Record: Sized + Send + 'static {
    /// The names of the columns that are used, as the header has them.
    const COLUMNS: &'static [&'static str];

    /// Reads one row. An error rejects the row.
    ///
    /// Must depend on `fields` alone: a row may be parsed a second time before it is rejected.
    fn parse(fields: &Fields<'_>) -> Result<Self, FieldError>;
}

/// The fields of one row, without their quotes. A `column` is an index into [`Record::COLUMNS`]; all these fields are
/// valid UTF-8. A column outside of it reads as empty.
pub struct Fields<'a> {
    /// The row, and what follows it in memory.
    pub(super) bytes: &'a [u8],
    /// Where each of the row's fields starts in `bytes`, and where one behind the last would; the byte before each
    /// start belongs to no field.
    pub(super) starts: &'a [u32],
    /// For each used column the number of its field.
    pub(super) places: &'a [usize],
    pub(super) line: Line,
    pub(super) dates: &'a DateMemo,
}

impl<'a> Fields<'a> {
    /// The bytes from the start of the field on, and the field's length.
    #[inline(always)]
    fn locate(&self, column: usize) -> (&'a [u8], usize) {
        self.places.get(column).and_then(|&place| self.locate_place(place)).unwrap_or((&[], 0))
    }

    #[inline(always)]
    fn locate_place(&self, place: usize) -> Option<(&'a [u8], usize)> {
        let &[start, next] = self.starts.get(place..)?.first_chunk()?;
        let rest = self.bytes.get(start as usize..)?;
        Some((rest, (next - start - 1) as usize))
    }

    /// Whether all used fields are UTF-8: if not, the first one that isn't.
    pub(super) fn check_utf8(&self) -> Result<(), FieldError> {
        for column in 0..self.places.len() {
            Text::check(self.bytes(column)).map_err(|error| FieldError { column, reason: error.into() })?;
        }
        Ok(())
    }

    /// The field's bytes.
    #[inline]
    pub fn bytes(&self, column: usize) -> &'a [u8] {
        let (rest, length) = self.locate(column);
        rest.get(..length).unwrap_or(rest)
    }

    /// The field's text. Costs a check of its bytes; where bytes do, take [`Fields::bytes`].
    #[inline]
    pub fn str(&self, column: usize) -> &'a str {
        std::str::from_utf8(self.bytes(column)).unwrap_or_default()
    }

    /// The field's text, to keep.
    #[inline(always)]
    pub fn text(&self, column: usize) -> Text {
        let (rest, length) = self.locate(column);
        Text::from_utf8_prefix(rest, length)
    }

    /// A whole number that is not negative: `digits` or `digits.0`, at most 18 digits.
    #[inline(always)]
    pub fn whole_number(&self, column: usize) -> Result<u64, FieldError> {
        let (rest, length) = self.locate(column);
        whole_number(rest, length).map_err(|reason| FieldError { column, reason })
    }

    /// As [`Fields::whole_number`], but the field may be empty.
    #[inline(always)]
    pub fn optional_whole_number(&self, column: usize) -> Result<Option<u64>, FieldError> {
        match self.locate(column) {
            (_, 0) => Ok(None),
            (rest, length) => match whole_number(rest, length) {
                Ok(number) => Ok(Some(number)),
                Err(reason) => Err(FieldError { column, reason }),
            },
        }
    }

    /// An amount of money, as [`Money`] is written.
    #[inline(always)]
    pub fn money(&self, column: usize) -> Result<Money, FieldError> {
        let (rest, length) = self.locate(column);
        Money::parse_prefix(rest, length).map_err(|error| FieldError { column, reason: Reason::Money(error) })
    }

    /// A time, as [`CivilTime`] is written.
    #[inline(always)]
    pub fn time(&self, column: usize) -> Result<CivilTime, FieldError> {
        let (rest, length) = self.locate(column);
        CivilTime::parse_prefix(rest, length, self.dates)
            .map_err(|error| FieldError { column, reason: Reason::Time(error) })
    }

    /// Where the row stands.
    #[inline]
    pub fn line(&self) -> Line {
        self.line
    }
}
