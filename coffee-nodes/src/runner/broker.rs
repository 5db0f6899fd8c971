//! A transport over a broker's queues.

use std::{
    collections::HashMap,
    num::NonZeroU16,
    time::{Duration, Instant},
};

use bytes::Bytes;
use coffee_core::{
    frame::JobId,
    node::{PublishId, Tag},
    plan::Target,
};
use coffee_mom::{
    AckError, AttachError, Broker, Consumer, ConsumerEnd, ConsumerOptions, Delivery, DeliveryTag, Outcome,
};
use crossbeam_channel::{Receiver, Select, TryRecvError, never};

use super::{Incoming, Links, Sender, Transport, TransportError, until_free};
use crate::{Pulse, Stop};

/// Deliveries in hand: more than a group that is committed together.
const PREFETCH: NonZeroU16 = NonZeroU16::MIN.saturating_add(63);

/// How long the broker may take to declare a queue or to start its delivery.
pub(super) const SETUP: Duration = Duration::from_secs(30);

/// Whether others may consume the same queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Replicas of a stateless stage do.
    Shared,
    /// A shard has its queue alone.
    Alone,
}

/// Consumes one queue and publishes to all.
pub struct BrokerTransport {
    consumer: Box<dyn Consumer>,
    sender: Sender,
    tags: HashMap<Tag, DeliveryTag>,
    next: u64,
    /// The jobs that have ended.
    ended: Receiver<JobId>,
    stop: Stop,
    grace: Duration,
}

impl BrokerTransport {
    /// Consumes the queue of `target`, until `stop`: alone, where that is a shard's, as two lives of one shard must not
    /// answer at the same time. At a quorum queue it gets nothing while another consumer is there.
    ///
    /// # Errors
    /// Where the broker has no such queue, another consumer stays at it for a minute, or the broker is closed.
    pub fn new(
        broker: &dyn Broker,
        links: &Links,
        target: Target,
        sharing: Sharing,
        stop: Stop,
    ) -> Result<Self, TransportError> {
        let Some(queue) = links.queue(target) else { return Err(TransportError::NotConfirmed(Outcome::Returned)) };
        let options = ConsumerOptions::default().prefetch(PREFETCH);
        let exclusive = sharing == Sharing::Alone && links.knows_exclusive();
        let options = if exclusive { options.exclusive() } else { options };
        let in_use = |error: &AttachError| matches!(error, AttachError::InUse(_));
        let attach = || broker.consumer(queue, options.clone(), Instant::now() + SETUP);
        let consumer = until_free(&stop, in_use, attach)?;
        Ok(BrokerTransport {
            consumer,
            sender: Sender::new(broker, links.clone(), stop.clone())?,
            tags: HashMap::new(),
            next: 0,
            ended: never(),
            stop,
            grace: Duration::ZERO,
        })
    }

    /// Sets where it hears of jobs that have ended.
    #[must_use]
    pub fn ended(mut self, jobs: Receiver<JobId>) -> Self {
        self.ended = jobs;
        self
    }

    /// Sets how long it goes on from the stop, so that what is in hand is answered and acked; nothing new is taken.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets what beats with each turn, and while it waits for room.
    #[must_use]
    pub fn pulse(mut self, pulse: Pulse) -> Self {
        self.sender = self.sender.pulse(pulse);
        self
    }

    fn deliver(&mut self, delivery: Delivery) -> Incoming {
        let tag = Tag(self.next);
        self.next += 1;
        self.tags.insert(tag, delivery.tag);
        Incoming::Delivery(tag, delivery.message.body)
    }

    fn lost(&self) -> TransportError {
        TransportError::Consume(self.consumer.ended().unwrap_or(ConsumerEnd::ConnectionClosed))
    }

    /// What is there, in an order that does not depend on chance, so that a simulated run can be made again.
    fn ready(&mut self) -> Result<Option<Incoming>, TransportError> {
        if let Some(id) = self.sender.confirmed()? {
            return Ok(Some(Incoming::Confirmed(id)));
        }
        match self.ended.try_recv() {
            Ok(job) => return Ok(Some(Incoming::Ended(job))),
            Err(TryRecvError::Disconnected) => return Ok(Some(Incoming::End)), // whoever knows which jobs live is gone
            Err(TryRecvError::Empty) => {}
        }
        match self.consumer.deliveries().try_recv() {
            Ok(delivery) => Ok(Some(self.deliver(delivery))),
            Err(TryRecvError::Disconnected) => Err(self.lost()),
            Err(TryRecvError::Empty) => Ok(None),
        }
    }

    /// Asked to stop: only confirmations come, until nothing is unacked or the grace is over.
    fn drain(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        let left = self.stop.deadline(self.grace).saturating_duration_since(Instant::now());
        if left.is_zero() || self.tags.is_empty() {
            return Ok(Incoming::End);
        }
        let wait = self.sender.patience(wait.min(left));
        let settled = match self.sender.settlements().recv_timeout(wait) {
            Ok(settled) => settled,
            Err(error) if error.is_timeout() => return Ok(Incoming::Nothing),
            Err(_) => return Err(self.lost()),
        };
        self.sender.note(settled)?;
        Ok(self.sender.confirmed()?.map_or(Incoming::Nothing, Incoming::Confirmed))
    }
}

impl Transport for BrokerTransport {
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        if self.stop.is_triggered() {
            return match self.sender.confirmed()? {
                Some(id) => Ok(Incoming::Confirmed(id)),
                None => self.drain(wait),
            };
        }
        if let Some(incoming) = self.ready()? {
            return Ok(incoming);
        }
        if wait.is_zero() {
            return Ok(Incoming::Nothing);
        }
        let mut select = Select::new();
        select.recv(self.sender.settlements());
        select.recv(&self.ended);
        select.recv(self.consumer.deliveries());
        select.recv(self.stop.receiver());
        // Which of them it is shows when it is looked for.
        let _ = select.ready_timeout(self.sender.patience(wait));
        Ok(self.ready()?.unwrap_or(Incoming::Nothing))
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        self.sender.publish(id, to, body)
    }

    fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
        match self.tags.remove(&tag) {
            // A stale one's delivery comes again: its connection was lost.
            Some(tag) => match self.consumer.ack(tag) {
                Ok(()) | Err(AckError::Stale) => Ok(()),
                Err(error) => Err(error.into()),
            },
            None => Ok(()),
        }
    }
}
