//! What the owner of a consumer, its actor and its connection have in common: the deliveries in hand
//! and the wishes, under one lock, and what wakes the actor.

use std::mem;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::consumer::{AckError, ConsumerEnd, Delivery, DeliveryTag};
use crate::thread::wake;

use super::acks::{Acks, Settlement, Verdict};

/// Settlements that are sent at once; with less than that, the actor is not woken while the owner
/// has deliveries to go on with.
const BATCH: usize = 32;

/// What the actor is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Flow,
    Pause,
    /// To flow again, after a pause that the actor may not have seen: what is settled in it counts as
    /// settled while nothing flowed.
    Resume,
    End(ConsumerEnd),
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    inbox: Receiver<Delivery>,
    wake: Sender<()>,
    batch: usize,
}

#[derive(Debug)]
struct State {
    acks: Acks,
    wish: Wish,
}

impl Shared {
    /// And what the actor is woken by.
    pub(super) fn new(prefetch: u16, inbox: Receiver<Delivery>) -> (Self, Receiver<()>) {
        let (wake, woken) = bounded(1);
        let prefetch = usize::from(prefetch);
        let state = State { acks: Acks::new(prefetch), wish: Wish::Flow };
        (Self { state: Mutex::new(state), inbox, wake, batch: BATCH.min(prefetch.div_ceil(2)) }, woken)
    }

    pub(super) fn inbox(&self) -> &Receiver<Delivery> {
        &self.inbox
    }

    pub(super) fn ended(&self) -> Option<ConsumerEnd> {
        self.state.lock().acks.end()
    }
}

/// For the owner.
impl Shared {
    /// An ack may wait for others, but not once the owner has nothing else to do; any other verdict
    /// is for somebody else to take up.
    pub(super) fn settle(&self, tag: DeliveryTag, verdict: Verdict) -> Result<(), AckError> {
        let waiting = self.state.lock().acks.settle(tag, verdict)?;
        self.wake_for(waiting, verdict != Verdict::Ack);
        Ok(())
    }

    pub(super) fn ack_through(&self, tag: DeliveryTag) -> Result<(), AckError> {
        let waiting = self.state.lock().acks.ack_through(tag)?;
        self.wake_for(waiting, false);
        Ok(())
    }

    fn wake_for(&self, waiting: usize, urgent: bool) {
        if urgent || waiting >= self.batch || self.inbox.is_empty() {
            wake(&self.wake);
        }
    }

    /// Lets deliveries flow, or not.
    pub(super) fn set_paused(&self, paused: bool) -> Result<(), AckError> {
        let mut state = self.state.lock();
        if let Some(end) = state.acks.end() {
            return Err(end.into());
        }
        match state.wish {
            Wish::End(end) => return Err(end.into()),
            Wish::Flow if !paused => {}
            _ => state.wish = if paused { Wish::Pause } else { Wish::Resume },
        }
        drop(state);
        wake(&self.wake);
        Ok(())
    }

    /// Asks the actor to end. The first end that is asked for stays.
    pub(super) fn close(&self, end: ConsumerEnd) {
        let mut state = self.state.lock();
        if !matches!(state.wish, Wish::End(_)) {
            state.wish = Wish::End(end);
        }
        drop(state);
        wake(&self.wake);
    }
}

/// For the actor.
impl Shared {
    pub(super) fn wish(&self) -> Wish {
        self.state.lock().wish
    }

    /// The wish, and the settlements that wait, swapped with an empty list. When the wish is to end,
    /// no settlement comes after these. `Resume` is told once, then it is `Flow`.
    pub(super) fn look(&self, empty: &mut Vec<Settlement>) -> Wish {
        let mut state = self.state.lock();
        if let Wish::End(end) = state.wish {
            state.acks.finish(end);
        }
        state.acks.swap(empty);
        match state.wish {
            Wish::Resume => mem::replace(&mut state.wish, Wish::Flow),
            wish => wish,
        }
    }

    /// Numbers the next delivery; none when the consumer has ended.
    pub(super) fn deliver(&self) -> Option<DeliveryTag> {
        self.state.lock().acks.deliver()
    }

    /// Settles a delivery that the owner can't be given. None when the consumer has ended.
    pub(super) fn refuse(&self) -> Option<()> {
        let mut state = self.state.lock();
        let tag = state.acks.deliver()?;
        state.acks.settle(tag, Verdict::DeadLetter).ok().map(drop)
    }

    /// The attachment is gone: its deliveries are withdrawn, also those that nobody has taken yet.
    /// Only the actor fills the inbox, so all that is in it is stale.
    pub(super) fn renew(&self) {
        self.state.lock().acks.renew();
        self.inbox.try_iter().for_each(drop);
    }

    /// Nothing is delivered or settled any more. The first end stays.
    pub(super) fn finish(&self, end: ConsumerEnd) {
        self.state.lock().acks.finish(end);
    }
}
