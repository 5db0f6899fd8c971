//! The window of a producer: how much may be on its way, in messages and bytes.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::producer::PublishError;

/// Lets publishes in while there is room, and out when they are settled.
#[derive(Debug)]
pub(super) struct Gate {
    max_messages: usize,
    max_bytes: usize,
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    messages: usize,
    bytes: usize,
    closed: bool,
    /// Whether somebody waits; most of the time nobody does, and nobody is woken.
    wanted: bool,
}

impl Gate {
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { max_messages, max_bytes, inside: Mutex::default(), changed: Condvar::new() }
    }

    /// Lets a publish of so many bytes in, waiting for room and for `is_blocked` to become false.
    pub(super) fn enter(
        &self,
        bytes: usize,
        deadline: Instant,
        is_blocked: impl Fn() -> bool,
    ) -> Result<(), PublishError> {
        let mut inside = self.inside.lock();
        let mut in_time = true;
        loop {
            if inside.closed {
                return Err(PublishError::Closed);
            }
            let blocked = is_blocked();
            if !blocked && self.has_room(&inside, bytes) {
                inside.messages += 1;
                inside.bytes += bytes;
                return Ok(());
            }
            if !in_time {
                return Err(if blocked { PublishError::Blocked } else { PublishError::WindowFull });
            }
            inside.wanted = true;
            in_time = !self.changed.wait_until(&mut inside, deadline).timed_out();
        }
    }

    /// A body that is larger than the window goes alone.
    fn has_room(&self, inside: &Inside, bytes: usize) -> bool {
        let fits = inside.bytes.saturating_add(bytes) <= self.max_bytes;
        inside.messages == 0 || (inside.messages < self.max_messages && fits)
    }

    /// Lets publishes out.
    pub(super) fn leave(&self, messages: usize, bytes: usize) {
        let mut inside = self.inside.lock();
        inside.messages -= messages;
        inside.bytes -= bytes;
        let wake = std::mem::take(&mut inside.wanted);
        drop(inside);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Has those who wait look again.
    pub(super) fn look_again(&self) {
        // Whoever looked before the lock was free waits by now, and is woken.
        drop(self.inside.lock());
        self.changed.notify_all();
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.inside.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.inside.lock().messages == 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inside.lock().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_enter(gate: &Gate, bytes: usize) -> Result<(), PublishError> {
        gate.enter(bytes, Instant::now(), || false)
    }

    #[test]
    fn both_bounds_hold_and_a_large_one_goes_alone() {
        let gate = Gate::new(3, 100);
        assert_eq!(try_enter(&gate, 1000), Ok(()));
        assert_eq!(try_enter(&gate, 0), Err(PublishError::WindowFull));
        gate.leave(1, 1000);
        assert_eq!(try_enter(&gate, 60), Ok(()));
        assert_eq!(try_enter(&gate, 60), Err(PublishError::WindowFull));
        assert_eq!(try_enter(&gate, 40), Ok(()));
        assert_eq!(try_enter(&gate, 0), Ok(()));
        assert_eq!(try_enter(&gate, 0), Err(PublishError::WindowFull));
    }

    #[test]
    fn a_blocked_broker_and_a_closed_gate_let_nobody_in() {
        let gate = Gate::new(3, 100);
        assert_eq!(gate.enter(1, Instant::now(), || true), Err(PublishError::Blocked));
        gate.close();
        assert_eq!(try_enter(&gate, 1), Err(PublishError::Closed));
    }
}
