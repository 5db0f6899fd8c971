//! Who watches a connection: subscriptions to its events, and the counts of what it has done.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;

use crate::event::{Event, Stats};

/// Shared by all parts of a connection.
#[derive(Debug, Default)]
pub(super) struct Hub {
    subscribers: Mutex<Vec<Sender<Event>>>,
    stats: Mutex<Stats>,
    /// Counted apart from the others: one at a time, by all who publish.
    published: AtomicU64,
}

impl Hub {
    pub(super) fn subscribe(&self) -> Receiver<Event> {
        // Unbounded as it is made, so that one that nobody takes from costs nothing until the next
        // event; bounded by how it is filled.
        let (tell, told) = unbounded();
        self.subscribers.lock().push(tell);
        told
    }

    pub(super) fn emit(&self, event: Event) {
        log::debug!("{event:?}");
        self.subscribers
            .lock()
            .retain(|subscriber| subscriber.len() >= Event::BACKLOG || subscriber.send(event.clone()).is_ok());
    }

    /// Counts; to be called for many messages at once.
    pub(super) fn count(&self, add: impl FnOnce(&mut Stats)) {
        add(&mut self.stats.lock());
    }

    /// Counts a publish.
    pub(super) fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        // First those that are settled, as they were published before.
        let stats = *self.stats.lock();
        Stats { published: self.published.load(Ordering::Relaxed), ..stats }
    }
}
