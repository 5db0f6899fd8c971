//! A month of the calendar, which files are named after and sales happen in.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, Months, NaiveDate};

/// A month of a year from 1 to 9999. Written `2024-01`, and read from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    first: NaiveDate,
}

/// A text that names no month as `YYYY-MM`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no month; one is written like 2024-01")]
pub struct MonthError(String);

impl Month {
    /// The month of that number, from 1 to 12; `None` if there is no such month in years 1 to 9999.
    pub fn new(year: u16, month: u8) -> Option<Month> {
        let first = NaiveDate::from_ymd_opt(year.into(), month.into(), 1)?;
        (1..=9999).contains(&year).then_some(Month { first })
    }

    /// Its length in seconds; no zone, so every day has 86,400.
    pub(super) fn seconds(self) -> u64 {
        let days = self.first.checked_add_months(Months::new(1)).map_or(31, |next| (next - self.first).num_days());
        days.unsigned_abs() * 86_400
    }

    /// A number that no other month has.
    pub(super) fn number(self) -> u64 {
        u64::from(self.first.year().unsigned_abs()) * 12 + u64::from(self.first.month0())
    }

    /// As file names have it: `202401`.
    pub(super) fn file_suffix(self) -> String {
        format!("{:04}{:02}", self.first.year(), self.first.month())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.first.year(), self.first.month())
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let digits = |part: &str, count| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
        text.split_once('-')
            .filter(|(year, month)| digits(year, 4) && digits(month, 2))
            .and_then(|(year, month)| Month::new(year.parse().ok()?, month.parse().ok()?))
            .ok_or_else(|| MonthError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_read_and_written() {
        for text in ["2024-01", "0001-12", "9999-12"] {
            assert_eq!(text.parse::<Month>().unwrap().to_string(), text);
        }
        for text in ["", "2024", "2024-1", "2024-13", "2024-00", "0000-01", "24-01", "+024-01", "2024-01-01", "2024-+1"]
        {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }

    #[test]
    fn months_have_their_lengths() {
        let days = |text: &str| text.parse::<Month>().unwrap().seconds() / 86_400;
        assert_eq!([days("2024-02"), days("2025-02"), days("2025-04"), days("9999-12")], [29, 28, 30, 31]);
    }
}
