//! The consumer of the in-process broker: an inbox that publishers and ackers fill.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};

use crate::broker::{AttachError, CloseError, ConnectionError};
use crate::consumer::{AckError, Consumer, ConsumerEnd, ConsumerOptions, Delivery, DeliveryTag, Nack};

use super::attached::{Attached, Entry};
use super::core::Connection;
use super::queue::Queue;
use super::state::{AckFault, State};

/// Acks and nacks run the queue's dispatch on their owner's thread.
#[derive(Debug)]
pub(super) struct MemoryConsumer {
    connection: Arc<Connection>,
    queue: Arc<Queue>,
    epoch: u64,
    inbox: Receiver<Delivery>,
    end: Arc<OnceLock<ConsumerEnd>>,
    /// Entries that are done with, dropped outside the queue's lock; empty between calls.
    done: Vec<Entry>,
}

impl MemoryConsumer {
    pub(super) fn attach(
        connection: Arc<Connection>,
        queue: Arc<Queue>,
        options: &ConsumerOptions,
    ) -> Result<Self, AttachError> {
        let epoch = DeliveryTag::next_epoch();
        let end = Arc::new(OnceLock::new());
        let (to_inbox, inbox) = bounded(usize::from(options.prefetch.get()));
        let counts = connection.tally.join();
        let attached = Attached::new(epoch, connection.id, options, to_inbox, end.clone(), counts);
        queue.with(|state| {
            if connection.is_closed() {
                return Err(ConnectionError::Closed.into());
            }
            if state.deleted {
                return Err(AttachError::UnknownQueue(queue.name.clone()));
            }
            if !state.attach(attached) {
                return Err(AttachError::InUse(queue.name.clone()));
            }
            Ok(())
        })?;
        Ok(Self { connection, queue, epoch, inbox, end, done: Vec::new() })
    }

    /// Takes deliveries out of the queue by `take`, then does `last` with each outside its lock.
    fn finish(
        &mut self,
        tag: DeliveryTag,
        take: impl FnOnce(&mut State, u64, u64, &mut Vec<Entry>) -> Result<(), AckFault>,
        last: impl FnMut(Entry),
    ) -> Result<(), AckError> {
        if tag.epoch != self.epoch {
            return Err(AckError::Stale);
        }
        let done = &mut self.done;
        let taken = self.queue.with(|state| take(state, tag.epoch, tag.number, done));
        self.done.drain(..).for_each(last);
        taken.map_err(|fault| fault.into_error(self.ended()))
    }

    fn detach(&self) {
        self.connection.core.give_back(&self.queue, |state| state.detach(self.epoch, ConsumerEnd::Closed));
    }

    fn set_paused(&self, paused: bool) -> Result<(), AckError> {
        let result = self.queue.with(|state| state.pause(self.epoch, paused));
        result.map_err(|fault| fault.into_error(self.ended()))
    }
}

impl Consumer for MemoryConsumer {
    fn deliveries(&self) -> &Receiver<Delivery> {
        &self.inbox
    }

    fn ended(&self) -> Option<ConsumerEnd> {
        self.end.get().copied()
    }

    fn ack(&mut self, tag: DeliveryTag) -> Result<(), AckError> {
        self.finish(tag, State::ack, |_| {})
    }

    fn ack_through(&mut self, tag: DeliveryTag) -> Result<(), AckError> {
        self.finish(tag, State::ack_through, |_| {})
    }

    fn nack(&mut self, tag: DeliveryTag, then: Nack) -> Result<(), AckError> {
        let (connection, queue) = (self.connection.clone(), self.queue.clone());
        let reject = |entry: Entry| connection.core.reject(&queue, &entry.message);
        match then {
            Nack::Requeue => self.finish(tag, State::give_back, reject),
            Nack::DeadLetter => self.finish(tag, State::ack, reject),
        }
    }

    fn pause(&mut self) -> Result<(), AckError> {
        self.set_paused(true)
    }

    fn resume(&mut self) -> Result<(), AckError> {
        self.set_paused(false)
    }

    fn close(&mut self, _deadline: Instant) -> Result<(), CloseError> {
        self.detach();
        Ok(())
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.detach();
    }
}
