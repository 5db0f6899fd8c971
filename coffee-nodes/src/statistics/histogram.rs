//! How long something takes, counted by magnitude.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What the buckets reach up to; one more has what takes longer.
pub const BOUNDS: [Duration; 10] = [
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// The buckets, with that of what takes longer.
const BUCKETS: usize = BOUNDS.len() + 1;

/// Counts times. By any number of threads at once.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    total_ns: AtomicU64,
}

impl Histogram {
    /// It took so long once more.
    pub fn count(&self, took: Duration) {
        let at = BOUNDS.partition_point(|bound| *bound < took);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
        self.total_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What was counted so far.
    pub fn now(&self) -> Latencies {
        Latencies {
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Relaxed)),
            total_ns: self.total_ns.load(Relaxed),
        }
    }
}

/// How often something was done, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latencies {
    /// How often it took more than the [bound](BOUNDS) before, and no more than the bucket's own; the last has no bound.
    pub buckets: [u64; BUCKETS],
    /// What it took in all, in nanoseconds.
    pub total_ns: u64,
}

impl Latencies {
    /// How often it was done.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_first_bucket_that_reaches_up_to_it() {
        let histogram = Histogram::default();
        for took in [0, 100, 101, 7_000_000].map(Duration::from_micros) {
            histogram.count(took);
        }
        let seen = histogram.now();
        assert_eq!((seen.buckets[0], seen.buckets[1], seen.buckets[BUCKETS - 1]), (2, 1, 1));
        assert_eq!((seen.count(), seen.total_ns), (4, 7_000_201_000));
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS.is_sorted());
    }
}
