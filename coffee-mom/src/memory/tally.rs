//! The counts of a connection, kept so that counting costs its producers and consumers next to nothing.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::event::Stats;

/// What one producer has done, or one consumer that has ended; those of consumers that have not are
/// with their queues.
///
/// Law: only one thread at a time writes, its owner or whoever has the queue's lock. So a count is a
/// plain load and store, and nobody fights for its place in memory.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Counts {
    pub(super) published: Count,
    pub(super) returned: Count,
    pub(super) dropped: Count,
    pub(super) delivered: Count,
    pub(super) redelivered: Count,
}

/// One count; see the law of [`Counts`].
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add_one(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of all producers and consumers of a connection.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Members>);

#[derive(Debug, Default)]
struct Members {
    alive: Vec<Arc<Counts>>,
    /// The sum of those that are gone.
    gone: Stats,
}

impl Tally {
    /// Counts for a new producer or consumer.
    pub(super) fn join(&self) -> Arc<Counts> {
        let counts = Arc::<Counts>::default();
        let mut members = self.0.lock();
        members.bury();
        members.alive.push(counts.clone());
        counts
    }

    /// All counts so far, but for consumers that have not ended. What is published is settled at once.
    pub(super) fn sum(&self) -> Stats {
        let members = self.0.lock();
        members.alive.iter().fold(members.gone, add)
    }
}

impl Members {
    /// Adds up those that are gone, once they are as many as the others: so a join costs the same on
    /// average, however many come and go.
    fn bury(&mut self) {
        if self.alive.len() < self.alive.capacity() {
            return;
        }
        let (alive, gone) = mem::take(&mut self.alive).into_iter().partition(|counts| Arc::strong_count(counts) > 1);
        self.alive = alive;
        let gone: Vec<_> = gone;
        self.gone = gone.iter().fold(self.gone, add);
        self.alive.reserve(self.alive.len() + 1);
    }
}

fn add(mut sum: Stats, counts: &Arc<Counts>) -> Stats {
    sum.published += counts.published.get();
    sum.settled += counts.published.get();
    sum.returned += counts.returned.get();
    sum.dropped += counts.dropped.get();
    sum.delivered += counts.delivered.get();
    sum.redelivered += counts.redelivered.get();
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_gone_still_count_and_take_no_space() {
        let tally = Tally::default();
        let stays = tally.join();
        stays.published.add_one();
        for _ in 0..1000 {
            tally.join().delivered.add_one();
        }
        assert!(tally.0.lock().alive.len() < 20);
        let sum = tally.sum();
        assert_eq!((sum.published, sum.settled, sum.delivered), (1, 1, 1000));
    }
}
