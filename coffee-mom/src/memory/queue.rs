//! One queue: its state under its lock, and publishers that wait for room.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::message::Message;
use crate::name::Name;
use crate::producer::PublishError;
use crate::route::Route;
use crate::topology::QueueSpec;

use super::state::State;

/// A queue. Its lock is held for short steps only, and with other queues' locks only in the order of
/// `id`; never while waiting.
#[derive(Debug)]
pub(super) struct Queue {
    /// Unique in its broker.
    pub(super) id: u64,
    pub(super) name: Name,
    pub(super) spec: QueueSpec,
    /// The connection that it is exclusive to.
    pub(super) owner: Option<u64>,
    state: Mutex<State>,
    /// Notified when room is made while `wanted`, and when waiting has become useless.
    room: Condvar,
}

/// How long a publisher waits for room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience<'a> {
    pub(super) deadline: Instant,
    /// Set when the publisher's connection is closed.
    pub(super) closed: &'a AtomicBool,
}

/// Why a message did not get into a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PushError {
    /// The queue was deleted since the route was looked up: look again.
    Deleted,
    /// Nothing was sent.
    Refused(PublishError),
}

impl Queue {
    pub(super) fn new(id: u64, name: Name, spec: QueueSpec, owner: Option<u64>) -> Self {
        let state = Mutex::new(State::new(&spec));
        Self { id, name, spec, owner, state, room: Condvar::new() }
    }

    /// Whether a connection may use it.
    pub(super) fn is_open_to(&self, connection: u64) -> bool {
        self.owner.is_none_or(|owner| owner == connection)
    }

    /// Works on the state under the lock, then wakes publishers if that made room for them.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = work(&mut state);
        let wake = state.wanted && (state.deleted || state.has_room(0));
        if wake {
            state.wanted = false;
        }
        drop(state);
        if wake {
            self.room.notify_all();
        }
        result
    }

    /// Wakes publishers, to look whether their connection is still open.
    pub(super) fn wake(&self) {
        // Those that looked before the lock was free wait by now, and get the notification.
        drop(self.state.lock());
        self.room.notify_all();
    }

    fn check_size(&self, message: &Message) -> Result<(), PushError> {
        let (size, limit) = (message.body.len(), self.spec.max_bytes);
        if size > limit {
            return Err(PushError::Refused(PublishError::TooLarge { size, limit }));
        }
        Ok(())
    }

    /// Waits until there is room for `size` bytes, or there is no point in waiting any longer.
    fn wait(&self, state: &mut MutexGuard<'_, State>, size: usize, patience: Patience<'_>) -> Result<(), PushError> {
        let mut in_time = true;
        loop {
            if state.deleted {
                return Err(PushError::Deleted);
            }
            if patience.closed.load(Ordering::Acquire) {
                return Err(PushError::Refused(PublishError::Closed));
            }
            if state.has_room(size) {
                return Ok(());
            }
            if !in_time {
                return Err(PushError::Refused(PublishError::QueueFull(self.name.clone())));
            }
            state.wanted = true;
            in_time = !self.room.wait_until(state, patience.deadline).timed_out();
        }
    }
}

/// Puts a message into all of the queues, or into none if there is an `Err`.
///
/// The queues are in the order of their ids, each once. The message is left as it is by an `Err`.
pub(super) fn push(
    queues: &[Arc<Queue>],
    route: &Route,
    message: &mut Message,
    patience: Patience<'_>,
) -> Result<(), PushError> {
    queues.iter().try_for_each(|queue| queue.check_size(message))?;
    let size = message.body.len();
    if let [queue] = queues {
        let mut state = queue.state.lock();
        queue.wait(&mut state, size, patience)?;
        state.accept(mem::take(message), route.clone());
        return Ok(());
    }
    loop {
        let mut states: Vec<_> = queues.iter().map(|queue| (queue, queue.state.lock())).collect();
        let Some(full) = states.iter().position(|(_, state)| state.deleted || !state.has_room(size)) else {
            for (_, state) in &mut states {
                state.accept(message.clone(), route.clone());
            }
            return Ok(());
        };
        // Waits for one of them alone; the others' locks must not be held meanwhile.
        let (queue, mut state) = states.swap_remove(full);
        drop(states);
        queue.wait(&mut state, size, patience)?;
    }
}
