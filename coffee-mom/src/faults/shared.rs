//! What the handles of one connection share: the count of operations, and what each meets.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::broker::{Broker, CloseError};
use crate::name::Name;
use crate::random::Random;

use super::plan::{Fault, FaultPlan};

pub(super) struct Shared {
    inner: Arc<dyn Broker>,
    pub(super) plan: FaultPlan,
    operations: AtomicU64,
    /// How often the connection was lost.
    losses: AtomicU64,
    exclusive: Mutex<HashSet<Name>>,
    closed: AtomicBool,
    /// Publishes that were taken from their owners, or are being, and are not settled.
    open: AtomicU64,
}

/// What one operation meets.
pub(super) struct Step {
    pub(super) fault: Option<Fault>,
    pub(super) random: Random,
    /// Losses of the connection so far, one at this step included.
    pub(super) losses: u64,
}

impl Shared {
    pub(super) fn new(inner: Arc<dyn Broker>, plan: FaultPlan) -> Self {
        Self {
            inner,
            plan,
            operations: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            exclusive: Mutex::new(HashSet::new()),
            closed: AtomicBool::new(false),
            open: AtomicU64::new(0),
        }
    }

    pub(super) fn inner(&self) -> &dyn Broker {
        &*self.inner
    }

    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub(super) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    pub(super) fn note_exclusive(&self, queue: &Name) {
        self.exclusive.lock().insert(queue.clone());
    }

    pub(super) fn forget_exclusive(&self, queue: &Name) {
        self.exclusive.lock().remove(queue);
    }

    pub(super) fn is_exclusive(&self, queue: &Name) -> bool {
        self.exclusive.lock().contains(queue)
    }

    /// Publishes are refused from now on; those that are open are not waited for.
    pub(super) fn close(&self, deadline: Instant) -> Result<(), CloseError> {
        let again = self.closed.swap(true, Ordering::SeqCst);
        self.inner.close(deadline)?;
        if !again && self.open.load(Ordering::SeqCst) > 0 { Err(CloseError::Deadline) } else { Ok(()) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Begins a publish: it is open from now on. False, and not begun, if the connection is closed.
    pub(super) fn begin_publish(&self) -> bool {
        // Counted before it looks, as a close looks after it has said so: one of the two sees the other.
        self.open.fetch_add(1, Ordering::SeqCst);
        let begun = !self.is_closed();
        if !begun {
            self.end_publishes(1);
        }
        begun
    }

    /// They are settled, or were not made, or nobody waits for them any more.
    pub(super) fn end_publishes(&self, count: usize) {
        self.open.fetch_sub(count as u64, Ordering::SeqCst);
    }

    /// Counts an operation and decides what it meets.
    pub(super) fn step(&self) -> Step {
        let n = self.operations.fetch_add(1, Ordering::Relaxed);
        let mut random = Random::of(self.plan.seed, n);
        let fault = self.plan.at.get(&n).copied().or_else(|| self.by_rate(&mut random));
        match fault {
            Some(Fault::Disconnect) => drop(self.losses.fetch_add(1, Ordering::AcqRel)),
            // Nothing is waited for: what is in hand is lost, as with a process that dies.
            Some(Fault::Close) => drop(self.close(Instant::now())),
            _ => {}
        }
        Step { fault, random, losses: self.losses() }
    }

    fn by_rate(&self, random: &mut Random) -> Option<Fault> {
        let (fails, is_lost) = (random.hits(self.plan.failures), random.hits(self.plan.disconnects));
        if is_lost { Some(Fault::Disconnect) } else { fails.then_some(Fault::Fail) }
    }
}
