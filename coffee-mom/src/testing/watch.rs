//! A value that one thread changes and others wait for.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
pub(in crate::testing) struct Watch<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watch<T> {
    pub(in crate::testing) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.value.lock())
    }

    pub(in crate::testing) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.value.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `look` finds something; `None` if it has not by the deadline.
    pub(in crate::testing) fn wait_for<R>(
        &self,
        mut look: impl FnMut(&T) -> Option<R>,
        deadline: Instant,
    ) -> Option<R> {
        let mut value = self.value.lock();
        loop {
            if let Some(found) = look(&value) {
                return Some(found);
            }
            if self.changed.wait_until(&mut value, deadline).timed_out() {
                return look(&value);
            }
        }
    }
}
