//! What is in one queue: ready messages in order, its consumers, its bounds. No locks, no waiting.

use std::collections::VecDeque;
use std::mem;
use std::num::NonZeroU32;

use crate::consumer::{AckError, ConsumerEnd};
use crate::message::Message;
use crate::route::Route;
use crate::topology::{QueueSpec, QueueStatus};

use super::attached::{Attached, Consumers, Entry};

/// The state of a queue, to be kept under its lock.
///
/// Law: after each call there is either no ready message or no free consumer.
#[derive(Debug)]
pub(super) struct State {
    /// In order of position.
    ready: VecDeque<Entry>,
    consumers: Consumers,
    next_position: u64,
    held_messages: usize,
    held_bytes: usize,
    max_messages: usize,
    max_bytes: usize,
    /// How often a message may come back.
    max_returns: u32,
    /// Those that came back too often, until somebody takes them out.
    rejected: Vec<Entry>,
    /// Whether a publisher waits for room.
    pub(super) wanted: bool,
    pub(super) deleted: bool,
}

impl State {
    pub(super) fn new(spec: &QueueSpec) -> Self {
        Self {
            ready: VecDeque::new(),
            consumers: Consumers::new(spec.single_active),
            next_position: 0,
            held_messages: 0,
            held_bytes: 0,
            max_messages: spec.max_messages,
            max_bytes: spec.max_bytes,
            max_returns: spec.delivery_limit.map_or(u32::MAX, NonZeroU32::get),
            rejected: Vec::new(),
            wanted: false,
            deleted: false,
        }
    }

    pub(super) fn status(&self) -> QueueStatus {
        QueueStatus { ready: self.ready.len(), consumers: self.consumers.len() }
    }

    /// Whether a body of `size` bytes may come in.
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.held_messages < self.max_messages && self.held_bytes.saturating_add(size) <= self.max_bytes
    }

    /// Takes a message in, bounds or not, and delivers it if somebody is free.
    pub(super) fn accept(&mut self, message: Message, route: Route) {
        self.held_messages += 1;
        self.held_bytes = self.held_bytes.saturating_add(message.body.len());
        let entry = Entry { position: self.next_position, message, route, returns: 0 };
        self.next_position += 1;
        if !self.ready.is_empty() {
            self.ready.push_back(entry);
        } else if let Err(entry) = self.consumers.deliver(entry) {
            self.ready.push_back(entry);
        }
    }

    /// Adds a consumer; false if one of an exclusive consumer and another would have to share.
    pub(super) fn attach(&mut self, consumer: Attached) -> bool {
        if self.consumers.has_exclusive() || (consumer.exclusive && self.consumers.len() > 0) {
            return false;
        }
        self.consumers.add(consumer);
        self.dispatch();
        true
    }

    /// Ends a consumer, if it is there, and requeues what it has not acked.
    pub(super) fn detach(&mut self, epoch: u64, end: ConsumerEnd) {
        if let Some(consumer) = self.consumers.remove(epoch) {
            consumer.end(end).into_iter().rev().for_each(|entry| self.requeue(entry));
            self.dispatch();
        }
    }

    /// What came back too often since the last call, in the queue's order; its room is free.
    pub(super) fn take_rejected(&mut self) -> Vec<Entry> {
        let mut rejected = mem::take(&mut self.rejected);
        rejected.sort_by_key(|entry| entry.position);
        rejected
    }

    /// Ends the consumers of a connection.
    pub(super) fn detach_connection(&mut self, connection: u64) {
        let own = self.consumers.of_connection(connection);
        own.into_iter().for_each(|epoch| self.detach(epoch, ConsumerEnd::ConnectionClosed));
    }

    /// Takes out a delivery into `done`; its room is free.
    pub(super) fn ack(&mut self, epoch: u64, number: u64, done: &mut Vec<Entry>) -> Result<(), AckFault> {
        let consumer = self.consumers.get_mut(epoch).ok_or(AckFault::Gone)?;
        let entry = consumer.unacked.take(number).ok_or(AckFault::Unknown)?;
        self.release(&entry);
        done.push(entry);
        self.consumers.enlist(epoch);
        self.dispatch();
        Ok(())
    }

    /// Takes out all deliveries up to `number` into `done`.
    pub(super) fn ack_through(&mut self, epoch: u64, number: u64, done: &mut Vec<Entry>) -> Result<(), AckFault> {
        let consumer = self.consumers.get_mut(epoch).ok_or(AckFault::Gone)?;
        if number >= consumer.unacked.next_number() {
            return Err(AckFault::Unknown);
        }
        let already = done.len();
        done.extend(std::iter::from_fn(|| consumer.unacked.take_first_through(number)));
        for entry in done.iter().skip(already) {
            self.release(entry);
        }
        self.consumers.enlist(epoch);
        self.dispatch();
        Ok(())
    }

    /// Puts a delivery back at its place, or takes it out into `done` if it came back too often.
    pub(super) fn give_back(&mut self, epoch: u64, number: u64, done: &mut Vec<Entry>) -> Result<(), AckFault> {
        let consumer = self.consumers.get_mut(epoch).ok_or(AckFault::Gone)?;
        let entry = consumer.unacked.take(number).ok_or(AckFault::Unknown)?;
        self.requeue(entry);
        done.append(&mut self.rejected);
        self.consumers.enlist(epoch);
        self.dispatch();
        Ok(())
    }

    /// Pauses or resumes a consumer.
    pub(super) fn pause(&mut self, epoch: u64, paused: bool) -> Result<(), AckFault> {
        if !self.consumers.set_paused(epoch, paused) {
            return Err(AckFault::Gone);
        }
        self.dispatch();
        Ok(())
    }

    /// How many deliveries, and how many of them again, the consumers of a connection have had here.
    pub(super) fn delivered(&self, connection: u64) -> (u64, u64) {
        self.consumers.delivered(connection)
    }

    /// Ends the consumers and lets all messages go.
    pub(super) fn delete(&mut self) {
        self.deleted = true;
        for epoch in self.consumers.epochs() {
            if let Some(consumer) = self.consumers.remove(epoch) {
                drop(consumer.end(ConsumerEnd::QueueDeleted));
            }
        }
        self.ready = VecDeque::new();
        self.rejected = Vec::new();
    }

    fn release(&mut self, entry: &Entry) {
        self.held_messages = self.held_messages.saturating_sub(1);
        self.held_bytes = self.held_bytes.saturating_sub(entry.message.body.len());
    }

    fn requeue(&mut self, mut entry: Entry) {
        if entry.returns >= self.max_returns {
            self.release(&entry);
            self.rejected.push(entry);
            return;
        }
        entry.returns = entry.returns.saturating_add(1);
        match self.ready.front() {
            Some(front) if front.position < entry.position => {
                let place = self.ready.partition_point(|other| other.position < entry.position);
                self.ready.insert(place, entry);
            }
            _ => self.ready.push_front(entry),
        }
    }

    fn dispatch(&mut self) {
        while self.consumers.may_be_free()
            && let Some(entry) = self.ready.pop_front()
        {
            if let Err(entry) = self.consumers.deliver(entry) {
                self.ready.push_front(entry);
            }
        }
    }
}

/// Why an acknowledgement finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckFault {
    /// The consumer is not attached any more.
    Gone,
    /// No such delivery waits for an ack.
    Unknown,
}

impl AckFault {
    /// As the owner of a consumer sees it, whose end is known once it is gone.
    pub(super) fn into_error(self, end: Option<ConsumerEnd>) -> AckError {
        match self {
            Self::Gone => AckError::Ended(end.unwrap_or(ConsumerEnd::Closed)),
            Self::Unknown => AckError::UnknownTag,
        }
    }
}

#[cfg(test)]
mod tests;
