//! What a consuming thread is told from outside: to stop, to pause, and the verdicts that were deferred.
//! Waking the thread is its owner's business.

use std::collections::VecDeque;
use std::mem;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::consumer::DeliveryTag;

use super::{SettleError, Verdict};

/// Deferred verdicts that wait for the thread; more make their senders wait.
const VERDICTS: usize = 256;

/// How a thread is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// After the callback in hand.
    Now,
    /// After the callback in hand and all verdicts that it deferred.
    Finish,
}

pub(super) type Verdicts = VecDeque<(DeliveryTag, Verdict)>;

/// What the thread is to do next.
#[derive(Debug)]
pub(super) struct Wishes {
    pub(super) pause: bool,
    /// Which stop, and until when it waits for verdicts; for the broker, a while longer if need be.
    pub(super) stop: Option<(Stop, Instant)>,
    pub(super) verdicts: Verdicts,
}

/// Every verdict that it takes is given to the thread, also when the thread is about to end.
#[derive(Debug)]
pub(super) struct Inbox {
    contents: Mutex<Contents>,
    /// There is room for a verdict, or there will be none.
    changed: Condvar,
}

#[derive(Debug)]
struct Contents {
    wishes: Wishes,
    closed: bool,
}

impl Contents {
    fn is_full(&self) -> bool {
        !self.closed && self.wishes.verdicts.len() >= VERDICTS
    }
}

impl Inbox {
    pub(super) fn new(paused: bool) -> Self {
        let wishes = Wishes { pause: paused, stop: None, verdicts: Verdicts::new() };
        Self { contents: Mutex::new(Contents { wishes, closed: false }), changed: Condvar::new() }
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.contents.lock().wishes.pause = paused;
    }

    /// The last call counts, but a `Now` stays one.
    pub(super) fn ask_to_stop(&self, stop: Stop, deadline: Instant) {
        let asked = &mut self.contents.lock().wishes.stop;
        let now = matches!(asked, Some((Stop::Now, _)));
        *asked = Some((if now { Stop::Now } else { stop }, deadline));
    }

    /// Waits for room, `deadline` at most.
    pub(super) fn put(&self, tag: DeliveryTag, verdict: Verdict, deadline: Instant) -> Result<(), SettleError> {
        let mut contents = self.contents.lock();
        self.changed.wait_while_until(&mut contents, |contents| contents.is_full(), deadline);
        if contents.closed {
            return Err(SettleError::NotConsuming);
        }
        if contents.is_full() {
            return Err(SettleError::Deadline);
        }
        contents.wishes.verdicts.push_back((tag, verdict));
        Ok(())
    }

    /// For the thread: all there is. The verdicts are taken out.
    pub(super) fn take(&self) -> Wishes {
        let mut contents = self.contents.lock();
        let Wishes { pause, stop, ref mut verdicts } = contents.wishes;
        let verdicts = mem::take(verdicts);
        if !verdicts.is_empty() {
            self.changed.notify_all();
        }
        Wishes { pause, stop, verdicts }
    }

    /// For the thread, at its end: the last wishes. No verdict is taken from now on.
    pub(super) fn close(&self) -> Wishes {
        self.contents.lock().closed = true;
        self.changed.notify_all();
        self.take()
    }
}
