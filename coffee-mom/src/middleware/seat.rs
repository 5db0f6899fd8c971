//! The place of an endpoint's consuming thread: one at a time, also while it is being attached. No
//! lock is held while the broker is asked or a callback runs.

use std::mem;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::broker::AttachError;
use crate::consumer::{Consumer, DeliveryTag};

use super::inbox::Stop;
use super::worker::Worker;
use super::{SettleError, StartError, StopError, Verdict};

pub(super) struct Seat {
    state: Mutex<State>,
    /// A start has come to its end.
    changed: Condvar,
}

struct State {
    slot: Slot,
    /// Lasts over a stop and a start.
    paused: bool,
    closed: bool,
}

enum Slot {
    Idle,
    /// A thread asks the broker for a consumer, and gives it up again if there is a stop meanwhile.
    Starting {
        stop: bool,
    },
    Running(Worker),
}

impl Slot {
    /// The worker that has come to its end, if that is all there is.
    fn take_finished(&mut self) -> Option<Worker> {
        match mem::replace(self, Self::Idle) {
            Self::Running(worker) if worker.is_finished() => Some(worker),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// The right to attach; when it is dropped, the seat is free unless a worker was put in.
struct Reservation<'a>(&'a Seat);

impl Seat {
    pub(super) fn new() -> Self {
        let state = State { slot: Slot::Idle, paused: false, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Lets nobody start any more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
    }

    /// Attaches, then starts a worker with the consumer; `start` is also told whether it begins paused.
    pub(super) fn start(
        &self,
        attach: impl FnOnce() -> Result<Box<dyn Consumer>, AttachError>,
        start: impl FnOnce(Box<dyn Consumer>, bool) -> std::io::Result<Worker>,
        deadline: Instant,
    ) -> Result<(), StartError> {
        let _reservation = self.reserve()?;
        let mut consumer = attach()?;
        // Locked over the start, so that the first callback finds its worker in place.
        let mut state = self.state.lock();
        if matches!(state.slot, Slot::Starting { stop: false }) {
            state.slot = Slot::Running(start(consumer, state.paused)?);
            return Ok(());
        }
        let error = if state.closed { StartError::Closed } else { StartError::Stopped };
        drop(state);
        // What it was delivered already is back before the stop returns.
        if let Err(error) = consumer.close(deadline) {
            log::debug!("a consumer that came too late: {error}");
        }
        Err(error)
    }

    fn reserve(&self) -> Result<Reservation<'_>, StartError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(StartError::Closed);
        }
        let finished = state.slot.take_finished();
        if !matches!(state.slot, Slot::Idle) {
            return Err(StartError::Consuming);
        }
        state.slot = Slot::Starting { stop: false };
        drop(state);
        let reservation = Reservation(self);
        finished.map(Worker::join);
        Ok(reservation)
    }

    pub(super) fn set_paused(&self, paused: bool) {
        let mut state = self.state.lock();
        state.paused = paused;
        if let Slot::Running(worker) = &state.slot {
            worker.post().set_paused(paused);
        }
    }

    pub(super) fn settle(&self, tag: DeliveryTag, verdict: Verdict, deadline: Instant) -> Result<(), SettleError> {
        let post = match &self.state.lock().slot {
            Slot::Running(worker) => worker.post().clone(),
            Slot::Starting { .. } | Slot::Idle => return Err(SettleError::NotConsuming),
        };
        post.settle(tag, verdict, deadline)
    }

    pub(super) fn stop(&self, stop: Stop, deadline: Instant) -> Result<(), StopError> {
        let mut state = self.state.lock();
        let finished = loop {
            match &mut state.slot {
                Slot::Idle => return Ok(()),
                Slot::Starting { stop } => *stop = true,
                Slot::Running(worker) => {
                    worker.post().ask_to_stop(stop, deadline);
                    if worker.is_current_thread() {
                        return Ok(());
                    }
                    break worker.finished();
                }
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Err(StopError::Deadline);
            }
        };
        if !MutexGuard::unlocked(&mut state, || finished.wait(deadline)) {
            return Err(StopError::Deadline);
        }
        let worker = state.slot.take_finished();
        drop(state);
        if worker.is_none_or(Worker::join) { Ok(()) } else { Err(StopError::Deadline) }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(state.slot, Slot::Starting { .. }) {
            state.slot = Slot::Idle;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}
