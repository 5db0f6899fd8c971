//! Who watches a connection: subscriptions to its events, and the counts of what it has done.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;

use crate::event::{Event, Stats};

/// Shared by all parts of a connection.
#[derive(Debug, Default)]
pub(super) struct Hub {
    subscribers: Mutex<Vec<Sender<Event>>>,
    stats: Mutex<Stats>,
}

impl Hub {
    pub(super) fn subscribe(&self) -> Receiver<Event> {
        let (tell, told) = bounded(Event::BACKLOG);
        self.subscribers.lock().push(tell);
        told
    }

    pub(super) fn emit(&self, event: Event) {
        log::debug!("{event:?}");
        self.subscribers.lock().retain(|subscriber| match subscriber.try_send(event.clone()) {
            Ok(()) | Err(TrySendError::Full(_)) => true,
            Err(TrySendError::Disconnected(_)) => false,
        });
    }

    /// Counts; to be called for many messages at once.
    pub(super) fn count(&self, add: impl FnOnce(&mut Stats)) {
        add(&mut self.stats.lock());
    }

    pub(super) fn stats(&self) -> Stats {
        *self.stats.lock()
    }
}
