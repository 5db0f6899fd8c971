//! What is in one queue: ready messages in order, its consumers, its bounds. No locks, no waiting.

use std::collections::VecDeque;

use crate::consumer::{AckError, ConsumerEnd};
use crate::message::Message;
use crate::route::Route;
use crate::topology::QueueStatus;

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
    /// Whether a publisher waits for room.
    pub(super) wanted: bool,
    pub(super) deleted: bool,
}

impl State {
    pub(super) fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self {
            ready: VecDeque::new(),
            consumers: Consumers::default(),
            next_position: 0,
            held_messages: 0,
            held_bytes: 0,
            max_messages,
            max_bytes,
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

    /// Puts a delivery back at its place.
    pub(super) fn give_back(&mut self, epoch: u64, number: u64) -> Result<(), AckFault> {
        let consumer = self.consumers.get_mut(epoch).ok_or(AckFault::Gone)?;
        let entry = consumer.unacked.take(number).ok_or(AckFault::Unknown)?;
        self.requeue(entry);
        self.consumers.enlist(epoch);
        self.dispatch();
        Ok(())
    }

    /// Pauses or resumes a consumer.
    pub(super) fn pause(&mut self, epoch: u64, paused: bool) -> Result<(), AckFault> {
        self.consumers.get_mut(epoch).ok_or(AckFault::Gone)?.paused = paused;
        self.consumers.enlist(epoch);
        self.dispatch();
        Ok(())
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
    }

    fn release(&mut self, entry: &Entry) {
        self.held_messages = self.held_messages.saturating_sub(1);
        self.held_bytes = self.held_bytes.saturating_sub(entry.message.body.len());
    }

    fn requeue(&mut self, mut entry: Entry) {
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
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, OnceLock};

    use crossbeam_channel::{Receiver, bounded};
    use proptest::prelude::*;

    use super::*;
    use crate::consumer::{ConsumerOptions, Delivery};
    use crate::name::Name;

    #[derive(Debug, Clone)]
    enum Step {
        Publish,
        Attach(u16),
        Detach(usize),
        Ack(usize, u64),
        AckThrough(usize, u64),
        GiveBack(usize, u64),
        Pause(usize, bool),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (who, number) = (0..4usize, 0..40u64);
        let step = prop_oneof![
            6 => Just(Step::Publish),
            2 => (1..5u16).prop_map(Step::Attach),
            1 => who.clone().prop_map(Step::Detach),
            4 => (who.clone(), number.clone()).prop_map(|(who, n)| Step::Ack(who, n)),
            1 => (who.clone(), number.clone()).prop_map(|(who, n)| Step::AckThrough(who, n)),
            2 => (who.clone(), number).prop_map(|(who, n)| Step::GiveBack(who, n)),
            1 => (who, any::<bool>()).prop_map(|(who, paused)| Step::Pause(who, paused)),
        ];
        prop::collection::vec(step, 0..200)
    }

    /// A consumer as the model sees it: what it holds, by number; the messages' positions are their
    /// bodies.
    struct Model {
        epoch: u64,
        prefetch: usize,
        paused: bool,
        held: BTreeMap<u64, u64>,
        inbox: Receiver<Delivery>,
    }

    impl Model {
        fn read(&mut self) {
            for delivery in self.inbox.try_iter() {
                let body = delivery.message.body[..].try_into().unwrap();
                self.held.insert(delivery.tag.number, u64::from_le_bytes(body));
            }
        }
    }

    fn attach(state: &mut State, epoch: u64, prefetch: u16) -> Model {
        let options = ConsumerOptions::default().prefetch(prefetch.try_into().unwrap());
        let (to_inbox, inbox) = bounded(prefetch.into());
        let end = Arc::new(OnceLock::new());
        assert!(state.attach(Attached::new(epoch, 0, &options, to_inbox, end)));
        Model { epoch, prefetch: prefetch.into(), paused: false, held: BTreeMap::new(), inbox }
    }

    proptest! {
        /// Whatever happens: each message that is not acked is in one place, ready ones are in order,
        /// no consumer holds more than its prefetch, and none is free while something is ready.
        #[test]
        fn every_message_is_in_one_place(steps in steps()) {
            let mut state = State::new(usize::MAX, usize::MAX);
            let route = Route::queue(&Name::new("queue").unwrap());
            let mut models: Vec<Model> = Vec::new();
            let (mut published, mut acked, mut epochs) = (0u64, 0, 0);
            for step in steps {
                match step {
                    Step::Publish => {
                        let message = Message::new(published.to_le_bytes().to_vec());
                        state.accept(message, route.clone());
                        published += 1;
                    }
                    Step::Attach(prefetch) if models.len() < 4 => {
                        models.push(attach(&mut state, epochs, prefetch));
                        epochs += 1;
                    }
                    Step::Detach(who) if who < models.len() => {
                        state.detach(models.remove(who).epoch, ConsumerEnd::Closed);
                    }
                    Step::Ack(who, n) => if let Some(model) = models.get_mut(who) {
                        let known = model.held.remove(&n).is_some();
                        let mut done = Vec::new();
                        let found = state.ack(model.epoch, n, &mut done).is_ok();
                        prop_assert_eq!((found, done.len()), (known, usize::from(known)));
                        acked += done.len();
                    }
                    Step::AckThrough(who, n) => if let Some(model) = models.get_mut(who) {
                        let mut done = Vec::new();
                        if state.ack_through(model.epoch, n, &mut done).is_ok() {
                            let later = model.held.split_off(&(n + 1));
                            prop_assert_eq!(done.len(), model.held.len());
                            model.held = later;
                        }
                        acked += done.len();
                    }
                    Step::GiveBack(who, n) => if let Some(model) = models.get_mut(who) {
                        let known = model.held.remove(&n).is_some();
                        prop_assert_eq!(state.give_back(model.epoch, n).is_ok(), known);
                    }
                    Step::Pause(who, paused) => if let Some(model) = models.get_mut(who) {
                        model.paused = paused;
                        state.pause(model.epoch, paused).unwrap();
                    }
                    _ => {}
                }
                models.iter_mut().for_each(Model::read);
                let ready: Vec<_> = state.ready.iter().map(|entry| entry.position).collect();
                prop_assert!(ready.is_sorted());
                let mut all: Vec<_> = ready.clone();
                all.extend(models.iter().flat_map(|model| model.held.values()));
                all.sort_unstable();
                all.dedup();
                prop_assert_eq!(all.len() + acked, published as usize);
                prop_assert_eq!(state.held_messages, all.len());
                prop_assert_eq!(state.held_bytes, all.len() * 8);
                for model in &models {
                    prop_assert!(model.held.len() <= model.prefetch);
                    let free = !model.paused && model.held.len() < model.prefetch;
                    prop_assert!(!free || ready.is_empty());
                }
            }
        }
    }
}
