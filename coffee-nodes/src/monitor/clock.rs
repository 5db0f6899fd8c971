//! A clock that stands still with its process.

use std::time::{Duration, Instant};

/// More than that between two looks means that the process stood still: stopped by a signal, or a machine that was asleep.
const LONGEST: Duration = Duration::from_millis(500);

/// The time that a process has really run, as far as it has looked: silence that nobody could hear is no silence.
#[derive(Debug)]
pub struct OwnTime {
    looked: Instant,
    time: Duration,
}

impl Default for OwnTime {
    fn default() -> Self {
        OwnTime { looked: Instant::now(), time: Duration::ZERO }
    }
}

impl OwnTime {
    /// The time now. To be looked at several times a second.
    pub fn now(&mut self) -> Duration {
        self.at(Instant::now())
    }

    fn at(&mut self, now: Instant) -> Duration {
        self.time += now.saturating_duration_since(self.looked).min(LONGEST);
        self.looked = now;
        self.time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_no_time() {
        let mut clock = OwnTime::default();
        let begin = clock.looked;
        assert_eq!(clock.at(begin + Duration::from_millis(100)), Duration::from_millis(100));
        assert_eq!(clock.at(begin + Duration::from_secs(60)), Duration::from_millis(600));
        assert_eq!(clock.at(begin + Duration::from_secs(59)), Duration::from_millis(600), "it never goes back");
    }
}
