//! What all connections to one in-process broker share, and what each of them owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::message::Message;
use crate::route::Route;

use super::queue::Queue;
use super::registry::Registry;
use super::state::State;
use super::tally::Tally;

/// One in-process broker.
#[derive(Debug, Default)]
pub(super) struct Core {
    /// Locked before any queue, and never while publishing along a known route.
    registry: RwLock<Registry>,
    /// Grows with each change of the registry, so that producers know when to look routes up anew.
    version: AtomicU64,
    ids: AtomicU64,
}

impl Core {
    /// A number that is used once in this broker.
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        look(&self.registry.read())
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registry = self.registry.write();
        let result = change(&mut registry);
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    /// Works on a queue so that messages come back to it, and rejects those that did too often.
    pub(super) fn give_back<T>(&self, queue: &Queue, work: impl FnOnce(&mut State) -> T) -> T {
        let (result, rejected) = queue.with(|state| (work(state), state.take_rejected()));
        for entry in rejected {
            self.reject(queue, &entry.message);
        }
        result
    }

    /// Passes a message to where the queue's rejected messages go; nowhere, if that is not set.
    pub(super) fn reject(&self, queue: &Queue, message: &Message) {
        if let Some(to) = &queue.spec.dead_letter {
            self.dead_letter(to, message);
        }
    }

    /// The message is taken whatever the bounds of its queues say: waiting could lock up the consumer
    /// that rejects it, and dropping would lose it.
    fn dead_letter(&self, to: &Route, message: &Message) {
        let resolved = self.read(|registry| registry.resolve(to, message));
        let targets = resolved.map(|resolved| resolved.targets).unwrap_or_default();
        if targets.is_empty() {
            log::warn!("a dead letter is dropped: nothing is bound for {to}");
        }
        for queue in targets.iter() {
            queue.with(|state| {
                if !state.deleted {
                    state.accept(message.clone(), to.clone());
                }
            });
        }
    }
}

/// One connection to a broker; closes when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) core: Arc<Core>,
    pub(super) id: u64,
    pub(super) closed: AtomicBool,
    pub(super) tally: Tally,
}

impl Connection {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let id = core.next_id();
        Self { core, id, closed: AtomicBool::new(false), tally: Tally::default() }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends its consumers, deletes its exclusive queues, wakes its publishers.
    ///
    /// What attaches or waits looks at `closed` under the queue's lock, so each queue is left
    /// without a trace of the connection, however the calls interleave.
    pub(super) fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let queues = self.core.change(|registry| {
            let queues = registry.all_queues();
            registry.delete_owned(self.id);
            queues
        });
        for queue in queues {
            self.core.give_back(&queue, |state| state.detach_connection(self.id));
            queue.wake();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}
