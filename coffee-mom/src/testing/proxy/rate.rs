//! How many bytes may go one way now: all of them, or no more than so many a second.

use std::time::{Duration, Instant};

/// How often bytes that were saved up are let go.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// What is saved up at most, in seconds: a pause is not made up for by a burst.
const SAVED_SECONDS: f64 = 0.05;

#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_second: Option<u64>,
    saved: f64,
    filled: Instant,
}

impl Rate {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second, saved: 0.0, filled: Instant::now() }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.bytes_per_second.is_some()
    }

    pub(super) fn fill(&mut self, now: Instant) {
        if let Some(rate) = self.bytes_per_second {
            let rate = rate as f64;
            let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
            // At least one byte, lest a low rate is none at all.
            self.saved = (self.saved + elapsed * rate).min((rate * SAVED_SECONDS).max(1.0));
            self.filled = now;
        }
    }

    /// Bytes that may go now.
    pub(super) fn room(&self) -> usize {
        if self.is_limited() { self.saved as usize } else { usize::MAX }
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        if self.is_limited() {
            self.saved -= bytes as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_bytes_go_as_the_time_allows() {
        let mut rate = Rate::new(Some(1000));
        let start = rate.filled;
        assert_eq!(rate.room(), 0);
        rate.fill(start + Duration::from_millis(20));
        assert_eq!(rate.room(), 20);
        rate.spend(15);
        assert_eq!(rate.room(), 5);
        rate.fill(start + Duration::from_secs(20));
        assert_eq!(rate.room(), 50);
    }

    #[test]
    fn a_low_rate_moves_and_no_rate_does_not_limit() {
        let mut slow = Rate::new(Some(1));
        slow.fill(slow.filled + Duration::from_secs(1));
        assert_eq!(slow.room(), 1);
        let mut free = Rate::new(None);
        free.spend(1 << 20);
        assert_eq!(free.room(), usize::MAX);
    }
}
