//! A consumer that loses its connection and gets its deliveries again.
//!
//! The inner consumer stays attached, so that its channel does: what is lost is nacked instead, and the
//! tags until then are declared stale here.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::broker::CloseError;
use crate::consumer::{AckError, Consumer, ConsumerEnd, Delivery, DeliveryTag, Nack};
use crate::name::Name;
use crate::random::Random;

use super::plan::Fault;
use super::shared::Shared;

pub(super) struct FaultyConsumer {
    shared: Arc<Shared>,
    deliveries: Receiver<Delivery>,
    /// Shared with `deliveries`, which lets go what is to come late.
    link: RefCell<Link>,
}

struct Link {
    inner: Box<dyn Consumer>,
    /// Whether the queue goes with the connection, and its messages.
    exclusive: bool,
    paused: bool,
    /// Losses of the connection that were dealt with.
    losses: u64,
    /// The inner consumer's attachment that the numbers below are of, once a tag has told it.
    epoch: Option<u64>,
    /// Deliveries below were lost with an earlier link.
    stale: u64,
    /// Deliveries below are settled or lost.
    low: u64,
    /// Deliveries that are settled, from `low` on.
    settled: BTreeSet<u64>,
    /// Lost deliveries that are to come late: not requeued yet.
    late: Vec<DeliveryTag>,
}

/// What the owner has to say about a delivery.
#[derive(Clone, Copy)]
enum Settlement {
    Ack,
    AckThrough,
    Nack(Nack),
}

impl FaultyConsumer {
    pub(super) fn new(shared: Arc<Shared>, inner: Box<dyn Consumer>, queue: &Name) -> Self {
        let deliveries = inner.deliveries().clone();
        let link = Link {
            inner,
            exclusive: shared.is_exclusive(queue),
            paused: false,
            losses: shared.losses(),
            epoch: None,
            stale: 0,
            low: 0,
            settled: BTreeSet::new(),
            late: Vec::new(),
        };
        Self { shared, deliveries, link: RefCell::new(link) }
    }

    fn settle(&mut self, tag: DeliveryTag, settlement: Settlement) -> Result<(), AckError> {
        let mut step = self.shared.step();
        let link = self.link.get_mut();
        let lost_before = link.losses + u64::from(step.fault == Some(Fault::Disconnect)) != step.losses;
        let lost_now = matches!(step.fault, Some(Fault::Fail | Fault::Disconnect));
        if !lost_before && !lost_now {
            link.requeue_late(&mut step.random);
            return link.settle(tag, settlement);
        }
        // At the very moment of the loss it may have got through, and its owner can't know.
        let through = !lost_before && step.random.coin();
        let told = if through { link.settle(tag, settlement) } else { Err(AckError::Stale) };
        link.lose(tag, &self.deliveries, &mut step.random, self.shared.plan.delays);
        link.losses = step.losses;
        if !lost_before && step.random.coin() { Ok(()) } else { told }
    }
}

impl Link {
    fn settle(&mut self, tag: DeliveryTag, settlement: Settlement) -> Result<(), AckError> {
        if self.epoch == Some(tag.epoch) && tag.number < self.stale {
            return Err(AckError::Stale);
        }
        match settlement {
            Settlement::Ack => self.inner.ack(tag)?,
            Settlement::Nack(then) => self.inner.nack(tag, then)?,
            Settlement::AckThrough => {
                // It would ack them too.
                self.requeue_all_late();
                self.inner.ack_through(tag)?;
            }
        }
        self.know(tag.epoch);
        match settlement {
            Settlement::AckThrough => {
                self.low = self.low.max(tag.number + 1);
                self.settled = self.settled.split_off(&self.low);
            }
            _ => drop(self.settled.insert(tag.number)),
        }
        while self.settled.remove(&self.low) {
            self.low += 1;
        }
        Ok(())
    }

    /// Starts anew if the inner consumer was attached anew: then it has lost what it had.
    fn know(&mut self, epoch: u64) {
        if self.epoch != Some(epoch) {
            self.epoch = Some(epoch);
            (self.stale, self.low) = (0, 0);
            self.settled.clear();
            self.late.clear();
        }
    }

    /// Gives everything back that is not settled; `tag` is one of its own, or of a stranger.
    fn lose(&mut self, tag: DeliveryTag, untaken: &Receiver<Delivery>, random: &mut Random, delays: u32) {
        // So that what is given back does not come while it is counted.
        let flowing = !self.paused && self.inner.pause().is_ok();
        let withdrawn = untaken.try_iter().last().map(|delivery| delivery.tag);
        let epoch = withdrawn.map(|last| last.epoch).or(self.epoch).unwrap_or(tag.epoch);
        self.know(epoch);
        let last = withdrawn.or(Some(tag).filter(|tag| tag.epoch == epoch)).map(|tag| tag.number);
        let mut lost = DeliveryTag { epoch, number: self.low };
        loop {
            if self.settled.remove(&lost.number) {
                lost.number += 1;
                continue;
            }
            // The later ones are not known to be there until they are given back.
            if !self.exclusive && Some(lost.number) <= last && random.hits(delays) {
                self.late.push(lost);
            } else if self.give_back(lost).is_err() {
                break;
            }
            lost.number += 1;
        }
        (self.stale, self.low) = (lost.number, lost.number);
        if flowing && let Err(error) = self.inner.resume() {
            log::debug!("the consumer ended while it lost its connection: {error}");
        }
    }

    /// What an exclusive queue had is gone with its link.
    fn give_back(&mut self, lost: DeliveryTag) -> Result<(), AckError> {
        if self.exclusive { self.inner.ack(lost) } else { self.inner.nack(lost, Nack::Requeue) }
    }

    fn requeue_late(&mut self, random: &mut Random) {
        if random.coin() {
            self.requeue_all_late();
        }
    }

    fn requeue_all_late(&mut self) {
        for lost in self.late.split_off(0) {
            if let Err(error) = self.give_back(lost) {
                log::debug!("a late redelivery is made by the broker itself: {error}");
            }
        }
    }
}

impl Consumer for FaultyConsumer {
    fn deliveries(&self) -> &Receiver<Delivery> {
        if self.deliveries.is_empty() {
            self.link.borrow_mut().requeue_all_late();
        }
        &self.deliveries
    }

    fn ended(&self) -> Option<ConsumerEnd> {
        self.link.borrow().inner.ended()
    }

    fn ack(&mut self, tag: DeliveryTag) -> Result<(), AckError> {
        self.settle(tag, Settlement::Ack)
    }

    fn ack_through(&mut self, tag: DeliveryTag) -> Result<(), AckError> {
        self.settle(tag, Settlement::AckThrough)
    }

    fn nack(&mut self, tag: DeliveryTag, then: Nack) -> Result<(), AckError> {
        self.settle(tag, Settlement::Nack(then))
    }

    fn pause(&mut self) -> Result<(), AckError> {
        let link = self.link.get_mut();
        link.paused = true;
        link.inner.pause()
    }

    fn resume(&mut self) -> Result<(), AckError> {
        let link = self.link.get_mut();
        link.paused = false;
        link.inner.resume()
    }

    fn close(&mut self, deadline: Instant) -> Result<(), CloseError> {
        self.link.get_mut().inner.close(deadline)
    }
}
