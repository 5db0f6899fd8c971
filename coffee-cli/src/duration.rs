//! Spans of time as people write them: 500ms, 90s, 10m, 24h.

use std::time::Duration;

/// No time is longer, in milliseconds: so many seconds as 32 bits hold, 136 years. So [`show`] has a text for each.
const LONGEST: u64 = u32::MAX as u64 * 1000;

/// A whole number of milliseconds, seconds, minutes, hours or days.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time like 500ms, 90s, 10m, 24h or 7d");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    number.checked_mul(millis).filter(|millis| *millis <= LONGEST).map(Duration::from_millis).ok_or_else(wrong)
}

/// As [`parse`] reads it.
pub fn show(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{}s", time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        for text in ["86400s", "1500ms"] {
            assert_eq!(parse(text).map(show).as_deref(), Ok(text));
        }
        assert_eq!(parse("1d").map(show).as_deref(), Ok("86400s"));
        let longest = "4294967295s";
        assert_eq!(parse(longest).map(show).as_deref(), Ok(longest));
        assert_eq!(parse("4294967294999ms").map(show).and_then(|shown| parse(&shown)), parse("4294967294999ms"));
        for wrong in [
            "4294967296s",
            "4294967295d",
            "18446744073709551615d",
            "",
            "s",
            "10",
            "0s",
            "-1s",
            "1.5h",
            "10µ",
            "10mm",
            "ms",
            "99999999999d",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
