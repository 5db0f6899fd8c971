//! Deadlines from spans of time that somebody else chose: they never overflow.

use std::time::{Duration, Instant};

/// As good as never: some thirty years.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// So long from now.
pub(crate) fn after(span: Duration) -> Instant {
    later(Instant::now(), span)
}

/// So long after an instant.
pub(crate) fn later(start: Instant, span: Duration) -> Instant {
    start.checked_add(span.min(LONGEST)).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_span_is_far_away() {
        let now = Instant::now();
        assert_eq!(later(now, Duration::from_secs(3)), now + Duration::from_secs(3));
        assert_eq!(later(now, Duration::MAX), now + LONGEST);
        assert!(after(Duration::MAX) >= now + LONGEST);
    }
}
