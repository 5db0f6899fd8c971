//! How long clients could be heard: the clock by which they are away.

use std::time::{Duration, Instant};

/// All processes of a cluster call at least every five seconds. After twice as long without any call nobody can be heard.
const DEAF: Duration = Duration::from_secs(10);

/// A clock that stands while no calls come: then the broker is away, or this process was held up, and no client is to blame
/// for its silence. It begins anew with each life of the process.
pub(super) struct Hearing {
    /// The most that counts of a time without a call.
    most: Duration,
    /// What counts up to the last call.
    before: Duration,
    called: Instant,
}

impl Hearing {
    /// Begins to hear clients that may be away for so long: no silence uses that up alone.
    pub fn new(limit: Duration, now: Instant) -> Self {
        Hearing { most: DEAF.min(limit / 2), before: Duration::ZERO, called: now }
    }

    /// A call has come.
    pub fn heard(&mut self, now: Instant) {
        self.before = self.so_far(now);
        self.called = now;
    }

    /// How long clients could be heard in all.
    pub fn so_far(&self, now: Instant) -> Duration {
        self.before + now.saturating_duration_since(self.called).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_of_all_does_not_count() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut hearing = Hearing::new(Duration::from_secs(600), begin);
        for seconds in (5..=100).step_by(5) {
            hearing.heard(at(seconds));
        }
        assert_eq!(hearing.so_far(at(104)), Duration::from_secs(104));
        assert_eq!(hearing.so_far(at(3700)), Duration::from_secs(110));
        hearing.heard(at(3700));
        assert_eq!(hearing.so_far(at(3701)), Duration::from_secs(111));
    }
}
