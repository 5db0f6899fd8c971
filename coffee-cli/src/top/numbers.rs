//! Numbers in a few characters, for columns.

/// With a suffix from a thousand on: 950, 1.2k, 34k, 5.6M.
pub fn short(number: u64) -> String {
    scaled(number, 1000, ["", "k", "M", "G", "T", "P", "E"])
}

/// Bytes, by 1,024: 950, 1.2K, 34M.
pub fn bytes(number: u64) -> String {
    scaled(number, 1024, ["", "K", "M", "G", "T", "P", "E"])
}

fn scaled(number: u64, by: u64, units: [&str; 7]) -> String {
    let (mut scaled, mut units) = (number as f64, units.into_iter());
    let mut unit = units.next().unwrap_or_default();
    // Before it would be shown with four digits.
    while scaled >= 999.5
        && let Some(next) = units.next()
    {
        scaled /= by as f64;
        unit = next;
    }
    if unit.is_empty() || scaled >= 9.95 { format!("{scaled:.0}{unit}") } else { format!("{scaled:.1}{unit}") }
}

/// A span in milliseconds, by its largest units: 12s, 3m04s, 5h06m, 7d08h.
pub fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, ..) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// A time of day in UTC, of milliseconds since 1970.
pub fn clock(at_ms: u64) -> String {
    let seconds = at_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_four_characters_and_spans_six() {
        let shown: Vec<String> = [0, 950, 999, 1000, 9_949, 9_950, 999_499, 999_500, 34_000_000].map(short).into();
        assert_eq!(shown, ["0", "950", "999", "1.0k", "9.9k", "10k", "999k", "1.0M", "34M"]);
        assert_eq!([1023, 1 << 20, 5 << 30].map(bytes), ["1.0K", "1.0M", "5.0G"]);
        assert!(short(u64::MAX).len() <= 4 && bytes(u64::MAX).len() <= 4);
        assert_eq!([999, 61_000, 3_660_000, 90_000_000].map(span), ["0s", "1m01s", "1h01m", "1d01h"]);
        assert_eq!(clock(86_399_999), "23:59:59");
    }
}
