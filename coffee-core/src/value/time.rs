//! Civil time without a zone: dates of the Gregorian calendar, to the second. Longer periods are not here.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{YearHalf, YearMonth, all_digits, padded_load};

/// A date and a time of day, without a zone. Ordered chronologically.
///
/// Read from exactly `YYYY-MM-DD HH:MM:SS`, and printed so. The years are 0000 to 9999 of the Gregorian calendar, carried
/// back before its time; there are no leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct CivilTime(
    /// The date, `year << 9 | month << 5 | day`, above 32 bits for the second of the day. One word, so that
    /// neither order nor copies take it apart.
    u64,
);

/// A time of day, in seconds since midnight. Read from exactly `HH:MM:SS`, and printed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct TimeOfDay(u32);

/// Why a text, or a number out of a frame, is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseTimeError {
    /// It is not written as `YYYY-MM-DD HH:MM:SS`, or as `HH:MM:SS` where a time of day is meant.
    #[error("not a time")]
    Malformed,
    /// The calendar has no such date.
    #[error("no such date")]
    NoSuchDate,
    /// The day has no such time.
    #[error("no such time of day")]
    NoSuchTime,
}

/// Seconds of a day.
const DAY: u32 = 86_400;
/// Years are below this.
pub(super) const YEARS: u32 = 10_000;
/// The bytes of `YYYY-MM-DD HH:MM:SS`.
const LENGTH: usize = 19;

impl CivilTime {
    #[inline(always)]
    const fn new(date: u32, second: u32) -> Self {
        CivilTime((date as u64) << 32 | second as u64)
    }

    const fn date(self) -> u32 {
        (self.0 >> 32) as u32
    }

    const fn second(self) -> u32 {
        self.0 as u32
    }

    /// The year, 0 to 9999.
    #[inline]
    pub const fn year(self) -> u16 {
        (self.date() >> 9) as u16
    }

    /// The month, 1 to 12.
    #[inline]
    pub const fn month(self) -> u8 {
        (self.date() >> 5 & 15) as u8
    }

    /// The day of the month, 1 to 31.
    #[inline]
    pub const fn day(self) -> u8 {
        (self.date() & 31) as u8
    }

    /// The half of the year, 1 or 2.
    #[inline]
    pub const fn half(self) -> u8 {
        1 + (self.month() > 6) as u8
    }

    /// The time of day.
    #[inline]
    pub const fn time_of_day(self) -> TimeOfDay {
        TimeOfDay(self.second())
    }

    /// The month with its year.
    #[inline]
    pub const fn year_month(self) -> YearMonth {
        YearMonth((self.date() >> 9) * 12 + (self.date() >> 5 & 15) - 1)
    }

    /// The half-year.
    #[inline]
    pub const fn year_half(self) -> YearHalf {
        YearHalf((self.date() >> 9) * 2 + (self.month() > 6) as u32)
    }

    /// Reads the first `length` bytes of `rest`; what follows them may be looked at, but makes no difference.
    #[inline(always)]
    pub(crate) fn parse_prefix(rest: &[u8], length: usize, memo: &DateMemo) -> Result<Self, ParseTimeError> {
        if length == LENGTH
            && let Some(text) = rest.first_chunk::<LENGTH>()
            && let Some(date) = memo.date_of(text)
            && let Some(second) = second_of_day(padded_load(text.split_at(11).1))
        {
            return Ok(CivilTime::new(date, second));
        }
        let time = any_time(rest.get(..length).unwrap_or(rest))?;
        if let Some(text) = rest.first_chunk() {
            memo.keep(text, time.date());
        }
        Ok(time)
    }
}

/// Remembers the date that was read last: neighbours in a file mostly have the same.
#[derive(Debug, Default)]
pub(crate) struct DateMemo(Cell<Option<([u64; 2], u32)>>);

impl DateMemo {
    /// The eleven bytes of `YYYY-MM-DD ` as two words.
    #[inline(always)]
    fn words(text: &[u8; LENGTH]) -> [u64; 2] {
        [padded_load(text), padded_load(text.split_at(8).1) & 0xFF_FFFF]
    }

    #[inline(always)]
    fn date_of(&self, text: &[u8; LENGTH]) -> Option<u32> {
        let (words, date) = self.0.get()?;
        (words == Self::words(text)).then_some(date)
    }

    /// Keeps the date of `text`, which has been read as a whole time.
    fn keep(&self, text: &[u8; LENGTH], date: u32) {
        self.0.set(Some((Self::words(text), date)));
    }
}

/// Reads `HH:MM:SS`; `None` if it is anything else.
#[inline(always)]
fn second_of_day(text: u64) -> Option<u32> {
    const FORM: u64 = u64::from_le_bytes(*b"00:00:00");
    const COLONS: u64 = 0x0000_FF00_00FF_0000;
    const PAIRS: u64 = 0x00FF_0000_FF00_00FF;
    /// What must be added to a pair to set its top bit if it is out of range: 24 hours, 60 minutes and seconds.
    const LIMITS: u64 = (128 - 24) | (128 - 60) << 24 | (128 - 60) << 48;
    const TOPS: u64 = 0x80 | 0x80 << 24 | 0x80 << 48;

    let values = text ^ FORM;
    if values & COLONS != 0 || !all_digits(values) {
        return None;
    }
    // Each pair is at most 99, so neither it nor its sum with a limit leaves its byte.
    let pairs = (values * 10 + (values >> 8)) & PAIRS;
    if (pairs + LIMITS) & TOPS != 0 {
        return None;
    }
    let pair = |place: u32| (pairs >> place) as u32 & 0xFF;
    Some(pair(0) * 3600 + pair(24) * 60 + pair(48))
}

/// The whole grammar, and the one authority for errors.
#[cold]
fn any_time(text: &[u8]) -> Result<CivilTime, ParseTimeError> {
    let (Some((date, [b' ', time @ ..])), LENGTH) = (text.split_at_checked(10), text.len()) else {
        return Err(ParseTimeError::Malformed);
    };
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else {
        return Err(ParseTimeError::Malformed);
    };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let (month, day) = (two_digits(m1, m2)?, two_digits(d1, d2)?);
    let TimeOfDay(second) = any_time_of_day(time)?;
    if !is_date(year, month, day) {
        return Err(ParseTimeError::NoSuchDate);
    }
    Ok(CivilTime::new(year << 9 | month << 5 | day, second))
}

fn any_time_of_day(text: &[u8]) -> Result<TimeOfDay, ParseTimeError> {
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = text else {
        return Err(ParseTimeError::Malformed);
    };
    let (hour, minute, second) = (two_digits(h1, h2)?, two_digits(m1, m2)?, two_digits(s1, s2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return Err(ParseTimeError::NoSuchTime);
    }
    Ok(TimeOfDay(hour * 3600 + minute * 60 + second))
}

fn two_digits(tens: u8, ones: u8) -> Result<u32, ParseTimeError> {
    if !(tens.is_ascii_digit() && ones.is_ascii_digit()) {
        return Err(ParseTimeError::Malformed);
    }
    Ok(u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

/// Whether the calendar has it.
fn is_date(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    year < YEARS && (1..=days).contains(&day)
}

impl TryFrom<(u32, u32)> for CivilTime {
    type Error = ParseTimeError;

    fn try_from((date, second): (u32, u32)) -> Result<Self, ParseTimeError> {
        if !is_date(date >> 9, date >> 5 & 15, date & 31) {
            return Err(ParseTimeError::NoSuchDate);
        }
        TimeOfDay::try_from(second).map(|TimeOfDay(second)| CivilTime::new(date, second))
    }
}

impl From<CivilTime> for (u32, u32) {
    fn from(time: CivilTime) -> Self {
        (time.date(), time.second())
    }
}

impl FromStr for CivilTime {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        any_time(text.as_bytes())
    }
}

impl fmt::Display for CivilTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02} {}", self.year(), self.month(), self.day(), self.time_of_day())
    }
}

impl TimeOfDay {
    /// Seconds since midnight.
    #[inline]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for TimeOfDay {
    type Error = ParseTimeError;

    /// From seconds since midnight. Fails for those of another day.
    fn try_from(seconds: u32) -> Result<Self, ParseTimeError> {
        if seconds < DAY { Ok(TimeOfDay(seconds)) } else { Err(ParseTimeError::NoSuchTime) }
    }
}

impl From<TimeOfDay> for u32 {
    fn from(time: TimeOfDay) -> u32 {
        time.0
    }
}

impl FromStr for TimeOfDay {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        any_time_of_day(text.as_bytes())
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.0 / 3600, self.0 / 60 % 60, self.0 % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDateTime, Timelike};
    use proptest::prelude::*;

    fn time(text: &str) -> CivilTime {
        text.parse().unwrap()
    }

    #[test]
    fn parts_and_periods() {
        let at = time("2024-06-30 23:00:01");
        assert_eq!((at.year(), at.month(), at.day(), at.half()), (2024, 6, 30, 1));
        assert_eq!(at.time_of_day(), "23:00:01".parse().unwrap());
        assert_eq!(at.time_of_day().seconds(), 82_801);
        assert_eq!((at.year_month().to_string(), at.year_half().to_string()), ("2024-06".into(), "2024-H1".into()));
        let later = time("2025-12-01 00:00:00");
        assert_eq!((later.year_month().year(), later.year_month().month()), (2025, 12));
        assert_eq!((later.year_half().year(), later.year_half().half()), (2025, 2));
        assert_eq!(time("2024-07-01 00:00:00").year_half().to_string(), "2024-H2");
        assert_eq!((size_of::<CivilTime>(), size_of::<YearMonth>()), (8, 4));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        use ParseTimeError::{Malformed, NoSuchDate, NoSuchTime};
        for (text, error) in [
            ("2023-02-29 00:00:00", NoSuchDate),
            ("1900-02-29 00:00:00", NoSuchDate),
            ("2024-00-01 00:00:00", NoSuchDate),
            ("2024-13-01 00:00:00", NoSuchDate),
            ("2024-99-01 00:00:00", NoSuchDate),
            ("2024-01-00 00:00:00", NoSuchDate),
            ("2024-04-31 00:00:00", NoSuchDate),
            ("2024-01-01 24:00:00", NoSuchTime),
            ("2024-01-01 23:60:00", NoSuchTime),
            ("2024-01-01 23:59:60", NoSuchTime),
            ("2024-01-01 99:99:99", NoSuchTime),
            ("2024-01-01T00:00:00", Malformed),
            ("2024-01-01 00:00", Malformed),
            ("2024-01-01 00:00:00.0", Malformed),
            (" 2024-01-01 00:00:0", Malformed),
            ("2024/01/01 00:00:00", Malformed),
            ("2024-01-01 0a:00:00", Malformed),
            ("2024-01-01", Malformed),
            ("", Malformed),
        ] {
            assert_eq!(text.parse::<CivilTime>(), Err(error), "{text:?}");
        }
        assert_eq!("24:00:00".parse::<TimeOfDay>(), Err(NoSuchTime));
        assert_eq!("6:00:00".parse::<TimeOfDay>(), Err(Malformed));
    }

    #[test]
    fn numbers_out_of_a_frame_are_checked() {
        for pair in [(0, 0), (2023 << 9 | 2 << 5 | 29, 0), (2024 << 9 | 1 << 5 | 1, DAY), (u32::MAX, 0)] {
            assert!(CivilTime::try_from(pair).is_err());
        }
        assert!(YearMonth::try_from(120_000).is_err() && YearHalf::try_from(20_000).is_err());
        let at = time("2024-02-29 12:00:00");
        let bytes = postcard::to_allocvec(&(at, at.year_month(), at.year_half(), at.time_of_day())).unwrap();
        assert_eq!(
            postcard::from_bytes::<(CivilTime, YearMonth, YearHalf, TimeOfDay)>(&bytes).unwrap(),
            (at, at.year_month(), at.year_half(), at.time_of_day())
        );
    }

    proptest! {
        #[test]
        fn the_calendar_is_that_of_chrono(year in 0u32..10_000, month in 0u32..14, day in 0u32..33, second in 0u32..90_000) {
            let text = format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
            let oracle = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").ok();
            let at = text.parse::<CivilTime>().ok();
            prop_assert_eq!(
                at.map(|t| (i32::from(t.year()), u32::from(t.month()), u32::from(t.day()), t.time_of_day().seconds())),
                oracle.map(|t| (t.year(), t.month(), t.day(), t.num_seconds_from_midnight()))
            );
            if let Some(at) = at {
                prop_assert_eq!(at.to_string(), text);
            }
        }

        #[test]
        fn the_short_way_agrees_with_the_whole_grammar(
            texts in prop::collection::vec("20(24|25)-0[12]-[0-3][0-9] [0-2][0-9]:[0-7][0-9]:[0-7][0-9]|[0-9: -]{0,20}", 1..6),
            place in 0usize..19, byte in any::<u8>(), behind in "[0-9 ,\n]{0,9}",
        ) {
            let memo = DateMemo::default();
            for text in texts {
                let mut bytes = text.clone().into_bytes();
                bytes.extend_from_slice(behind.as_bytes());
                prop_assert_eq!(CivilTime::parse_prefix(&bytes, text.len(), &memo), any_time(text.as_bytes()));
                if let Some(at) = bytes.get_mut(place) {
                    *at = byte;
                }
                prop_assert_eq!(CivilTime::parse_prefix(&bytes, text.len(), &memo), any_time(&bytes[..text.len()]));
            }
        }

        #[test]
        fn order_is_chronological(a in "20[0-9]{2}-0[1-9]-[01][1-9] 1[0-9]:[0-5][0-9]:[0-5][0-9]", b in "20[0-9]{2}-0[1-9]-[01][1-9] 1[0-9]:[0-5][0-9]:[0-5][0-9]") {
            prop_assert_eq!(time(&a).cmp(&time(&b)), a.cmp(&b));
            prop_assert!(time(&a).year_month().cmp(&time(&b).year_month()) != time(&b).cmp(&time(&a)) || a == b);
        }
    }
}
