//! The consumers attached to one queue: who is free, who holds what. No locks; the queue has one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use crossbeam_channel::Sender;

use crate::consumer::{ConsumerEnd, ConsumerOptions, Delivery, DeliveryTag};
use crate::message::Message;
use crate::route::Route;
use crate::unacked::Unacked;

use super::tally::Counts;

/// A message in a queue.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place in the queue's order, which it keeps when it is requeued.
    pub(super) position: u64,
    pub(super) message: Message,
    pub(super) route: Route,
    /// How often it was delivered and came back.
    // A number, not a bool: with a bool, moves of an `Option<Entry>` are split around it, which cost
    // a quarter of an ack.
    pub(super) returns: u32,
}

/// One consumer, as its queue sees it.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) epoch: u64,
    pub(super) connection: u64,
    pub(super) exclusive: bool,
    paused: bool,
    pub(super) unacked: Unacked<Entry>,
    prefetch: usize,
    /// Has room for `prefetch` deliveries, so sending to it never blocks.
    inbox: Sender<Delivery>,
    /// Set before the inbox is dropped.
    end: Arc<OnceLock<ConsumerEnd>>,
    /// Of its deliveries, those that may have come before.
    redelivered: u64,
    /// Where its deliveries are counted once it has ended.
    counts: Arc<Counts>,
    in_ring: bool,
}

impl Attached {
    pub(super) fn new(
        epoch: u64,
        connection: u64,
        options: &ConsumerOptions,
        inbox: Sender<Delivery>,
        end: Arc<OnceLock<ConsumerEnd>>,
        counts: Arc<Counts>,
    ) -> Self {
        let prefetch = usize::from(options.prefetch.get());
        Self {
            epoch,
            connection,
            exclusive: options.exclusive,
            paused: false,
            unacked: Unacked::new(prefetch),
            prefetch,
            inbox,
            end,
            redelivered: 0,
            counts,
            in_ring: false,
        }
    }

    fn is_free(&self) -> bool {
        !self.paused && self.unacked.len() < self.prefetch
    }

    /// Sends an entry to the inbox, or gives it back if nobody can receive from that any more.
    fn deliver(&mut self, entry: Entry) -> Result<(), Entry> {
        let delivery = Delivery {
            message: entry.message.clone(),
            tag: DeliveryTag { epoch: self.epoch, number: self.unacked.next_number() },
            redelivered: entry.returns > 0,
            route: entry.route.clone(),
        };
        if self.inbox.try_send(delivery).is_err() {
            return Err(entry);
        }
        self.redelivered += u64::from(entry.returns > 0);
        self.unacked.push(entry);
        Ok(())
    }

    /// Tells the owner why nothing more comes. Returns what was not acked, in the queue's order.
    pub(super) fn end(mut self, end: ConsumerEnd) -> Vec<Entry> {
        // An end that is set already was the first, and stays.
        let _ = self.end.set(end);
        self.counts.delivered.add(self.unacked.next_number());
        self.counts.redelivered.add(self.redelivered);
        std::iter::from_fn(|| self.unacked.take_first_through(u64::MAX)).collect()
    }
}

/// All consumers of a queue; the free ones take turns.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    by_epoch: BTreeMap<u64, Attached>,
    /// Law: holds each consumer that is free and may get deliveries, once; those that are not are
    /// skipped.
    ring: VecDeque<u64>,
    single_active: bool,
    /// The only one that may get deliveries, in a queue of a single active consumer.
    active: Option<u64>,
}

impl Consumers {
    pub(super) fn new(single_active: bool) -> Self {
        Self { single_active, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.by_epoch.len()
    }

    pub(super) fn has_exclusive(&self) -> bool {
        self.by_epoch.values().any(|consumer| consumer.exclusive)
    }

    pub(super) fn add(&mut self, consumer: Attached) {
        let epoch = consumer.epoch;
        self.by_epoch.insert(epoch, consumer);
        self.choose_active();
        self.enlist(epoch);
    }

    pub(super) fn remove(&mut self, epoch: u64) -> Option<Attached> {
        self.ring.retain(|enlisted| *enlisted != epoch);
        let removed = self.by_epoch.remove(&epoch);
        if self.active == Some(epoch) {
            self.active = None;
            self.choose_active();
        }
        removed
    }

    /// Lets the consumer that came first get the deliveries, if only one may and none does.
    fn choose_active(&mut self) {
        if self.single_active && self.active.is_none() {
            let mut able = self.by_epoch.iter().filter(|(_, consumer)| !consumer.paused);
            self.active = able.next().map(|(epoch, _)| *epoch);
            self.active.into_iter().for_each(|epoch| self.enlist(epoch));
        }
    }

    /// Pauses or resumes a consumer; false if it is not there.
    pub(super) fn set_paused(&mut self, epoch: u64, paused: bool) -> bool {
        let Some(consumer) = self.by_epoch.get_mut(&epoch) else {
            return false;
        };
        consumer.paused = paused;
        if paused && self.active == Some(epoch) {
            self.active = None;
        }
        self.choose_active();
        self.enlist(epoch);
        true
    }

    pub(super) fn get_mut(&mut self, epoch: u64) -> Option<&mut Attached> {
        self.by_epoch.get_mut(&epoch)
    }

    /// How many deliveries, and how many of them again, the consumers of one connection have had.
    pub(super) fn delivered(&self, connection: u64) -> (u64, u64) {
        let own = self.by_epoch.values().filter(|consumer| consumer.connection == connection);
        own.fold((0, 0), |(all, again), consumer| (all + consumer.unacked.next_number(), again + consumer.redelivered))
    }

    /// The consumers of one connection.
    pub(super) fn of_connection(&self, connection: u64) -> Vec<u64> {
        let own = self.by_epoch.values().filter(|consumer| consumer.connection == connection);
        own.map(|consumer| consumer.epoch).collect()
    }

    pub(super) fn epochs(&self) -> Vec<u64> {
        self.by_epoch.keys().copied().collect()
    }

    fn has_turns(&self, epoch: u64) -> bool {
        !self.single_active || self.active == Some(epoch)
    }

    /// Gives a consumer its turns if it is free; to be called when it may have become so.
    pub(super) fn enlist(&mut self, epoch: u64) {
        if self.has_turns(epoch)
            && let Some(consumer) = self.by_epoch.get_mut(&epoch)
            && !consumer.in_ring
            && consumer.is_free()
        {
            consumer.in_ring = true;
            self.ring.push_back(epoch);
        }
    }

    /// Whether there may be a free consumer; if not, there is none.
    pub(super) fn may_be_free(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Delivers to the next free consumer, or gives the entry back if there is none.
    pub(super) fn deliver(&mut self, mut entry: Entry) -> Result<(), Entry> {
        while let Some(epoch) = self.ring.pop_front() {
            let has_turns = self.has_turns(epoch);
            let Some(consumer) = self.by_epoch.get_mut(&epoch) else {
                continue;
            };
            consumer.in_ring = false;
            if !has_turns || !consumer.is_free() {
                continue;
            }
            match consumer.deliver(entry) {
                Ok(()) => {
                    self.enlist(epoch);
                    return Ok(());
                }
                Err(back) => entry = back,
            }
        }
        Err(entry)
    }
}
