//! Whether loops make progress: each beats once a turn, and a watchdog looks whether it has.
//!
//! Nothing here reads a clock. What counts is the watchdog's own ticks, which stand still when the process does: one that
//! was stopped for a minute has not hung for a minute.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;

/// The beats of one loop, which clones share. Costs next to nothing, so that it may be in a hot path.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Beats>);

#[derive(Debug, Default)]
struct Beats {
    count: AtomicU64,
    resting: AtomicBool,
}

impl Pulse {
    /// The loop makes progress: it has done something, or has looked around and found nothing to do. Called by the loop's
    /// thread alone.
    pub fn beat(&self) {
        self.0.count.store(self.0.count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Waits for something that may never come, which is no lack of progress.
    pub fn rest<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.0.resting.store(true, Ordering::Relaxed);
        let waited = wait();
        self.beat();
        self.0.resting.store(false, Ordering::Relaxed);
        waited
    }
}

/// The loops of a process, as its watchdog knows them. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Pulses(Arc<Mutex<Vec<Watched>>>);

#[derive(Debug)]
struct Watched {
    name: String,
    beats: Weak<Beats>,
    seen: u64,
    ticks: u32,
}

impl Pulses {
    /// Watches a loop from now on, until no clone of its pulse is left.
    pub fn watch(&self, name: &str, pulse: &Pulse) {
        let seen = pulse.0.count.load(Ordering::Relaxed);
        self.0.lock().push(Watched { name: name.to_owned(), beats: Arc::downgrade(&pulse.0), seen, ticks: 0 });
    }

    /// A tick of the watchdog: the loop that has made no progress for the most ticks, and for how many; `None` where all make some.
    pub fn tick(&self) -> Option<(String, u32)> {
        let mut loops = self.0.lock();
        loops.retain_mut(Watched::tick);
        let slowest = loops.iter().max_by_key(|watched| watched.ticks).filter(|watched| watched.ticks > 0);
        slowest.map(|watched| (watched.name.clone(), watched.ticks))
    }
}

impl Watched {
    /// Whether the loop is there still.
    fn tick(&mut self) -> bool {
        let Some(beats) = self.beats.upgrade() else { return false };
        let count = beats.count.load(Ordering::Relaxed);
        let progress = count != self.seen || beats.resting.load(Ordering::Relaxed);
        self.ticks = if progress { 0 } else { self.ticks.saturating_add(1) };
        self.seen = count;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_without_progress_is_named() {
        let (pulses, busy, hung) = (Pulses::default(), Pulse::default(), Pulse::default());
        pulses.watch("busy", &busy);
        pulses.watch("hung", &hung);
        for tick in 1..10 {
            busy.beat();
            assert_eq!(pulses.tick(), Some(("hung".to_owned(), tick)));
        }
        hung.beat();
        busy.beat();
        assert_eq!(pulses.tick(), None);
        assert_eq!(pulses.tick().map(|(_, ticks)| ticks), Some(1));
    }

    #[test]
    fn who_waits_or_is_gone_is_no_concern() {
        let (pulses, waits, gone) = (Pulses::default(), Pulse::default(), Pulse::default());
        pulses.watch("waits", &waits);
        pulses.watch("gone", &gone);
        drop(gone);
        waits.rest(|| assert_eq!((pulses.tick(), pulses.tick()), (None, None)));
        assert_eq!(pulses.tick(), None, "it has come back");
        assert_eq!(pulses.tick(), Some(("waits".to_owned(), 1)));
    }
}
