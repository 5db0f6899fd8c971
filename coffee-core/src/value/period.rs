//! The periods that sales are summed over: months and halves of years.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::{ParseTimeError, YEARS};

/// A month of a year. Ordered chronologically; printed as `2024-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct YearMonth(pub(super) u32);

/// A half of a year. Ordered chronologically; printed as `2024-H1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct YearHalf(pub(super) u32);

impl YearMonth {
    /// The year, 0 to 9999.
    pub const fn year(self) -> u16 {
        (self.0 / 12) as u16
    }

    /// The month, 1 to 12.
    pub const fn month(self) -> u8 {
        (self.0 % 12) as u8 + 1
    }
}

impl TryFrom<u32> for YearMonth {
    type Error = ParseTimeError;

    /// From the number of months since January 0000.
    fn try_from(months: u32) -> Result<Self, ParseTimeError> {
        if months < YEARS * 12 { Ok(YearMonth(months)) } else { Err(ParseTimeError::NoSuchDate) }
    }
}

impl From<YearMonth> for u32 {
    fn from(month: YearMonth) -> u32 {
        month.0
    }
}

impl fmt::Display for YearMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.month())
    }
}

impl YearHalf {
    /// The year, 0 to 9999.
    pub const fn year(self) -> u16 {
        (self.0 / 2) as u16
    }

    /// 1 or 2.
    pub const fn half(self) -> u8 {
        (self.0 % 2) as u8 + 1
    }
}

impl TryFrom<u32> for YearHalf {
    type Error = ParseTimeError;

    /// From the number of half-years since the first of 0000.
    fn try_from(halves: u32) -> Result<Self, ParseTimeError> {
        if halves < YEARS * 2 { Ok(YearHalf(halves)) } else { Err(ParseTimeError::NoSuchDate) }
    }
}

impl From<YearHalf> for u32 {
    fn from(half: YearHalf) -> u32 {
        half.0
    }
}

impl fmt::Display for YearHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-H{}", self.year(), self.half())
    }
}
