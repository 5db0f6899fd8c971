//! Spans of time as people write them: 90s, 10m, 24h.

use std::time::Duration;

/// A whole number of seconds, minutes, hours or days.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time like 90s, 10m, 24h or 7d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().ok().filter(|number| *number > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

/// As [`parse`] reads it.
pub fn show(time: Duration) -> String {
    format!("{}s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(parse(&show(Duration::from_secs(86_400))), parse("1d"));
        for wrong in ["", "s", "10", "0s", "-1s", "1.5h", "10µ", "99999999999d"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
