//! A transport over a broker's queues.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU16,
    time::{Duration, Instant},
};

use bytes::Bytes;
use coffee_core::{
    frame::MAX_FRAME,
    node::{PublishId, Tag},
    plan::{Target, Topology},
};
use coffee_mom::{
    Broker, Consumer, ConsumerEnd, ConsumerOptions, DeclareError, Delivery, DeliveryTag, Message, Name, NameError,
    Outcome, Producer, ProducerOptions, QueueSpec, Route, Settled,
};
use crossbeam_channel::select;

use super::{Incoming, Transport, TransportError};
use crate::Stop;

/// Deliveries in hand: more than a group that is committed together.
const PREFETCH: NonZeroU16 = NonZeroU16::MIN.saturating_add(63);

/// How long the broker may take to declare a queue or to start its delivery.
const SETUP: Duration = Duration::from_secs(30);

/// How long one attempt to publish waits for room, before it is looked whether to stop.
const ATTEMPT: Duration = Duration::from_millis(200);

/// The queues of a topology: their names, and the routes to them.
#[derive(Clone, Debug)]
pub struct Links {
    queues: HashMap<Target, (Name, Route)>,
}

/// A queue could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinksError {
    /// A name that no broker takes.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The broker refused.
    #[error(transparent)]
    Declare(#[from] DeclareError),
}

impl Links {
    /// Declares a queue for each stage's shard and one for the client, all beginning with `prefix`, each bounded to so
    /// many frames, of any size that a frame may have.
    ///
    /// # Errors
    /// Where a queue can't be declared; others may be.
    pub fn declare(broker: &dyn Broker, topology: &Topology, prefix: &str, frames: usize) -> Result<Self, LinksError> {
        let mut queues = HashMap::new();
        let mut declare = |target, name: String| -> Result<(), LinksError> {
            let name = Name::new(&name)?;
            let spec = QueueSpec::named(name.clone()).bounded(frames, frames.saturating_mul(MAX_FRAME));
            broker.declare_queue(&spec, Instant::now() + SETUP)?;
            queues.insert(target, (name.clone(), Route::queue(&name)));
            Ok(())
        };
        for (at, stage) in topology.stages().iter().enumerate() {
            for shard in 0..stage.queues() {
                declare(Target::Stage { stage: at as u16, shard }, format!("{prefix}.{}.{shard}", stage.name))?;
            }
        }
        declare(Target::Client, format!("{prefix}.client"))?;
        Ok(Links { queues })
    }

    /// The name of a target's queue.
    pub fn queue(&self, target: Target) -> Option<&Name> {
        self.queues.get(&target).map(|(name, _)| name)
    }

    fn route(&self, target: Target) -> Option<&Route> {
        self.queues.get(&target).map(|(_, route)| route)
    }
}

/// The publishing half: frames to any queue of the topology, and their confirmations.
pub struct Sender {
    links: Links,
    producer: Box<dyn Producer>,
    stop: Stop,
    sent: HashMap<u64, PublishId>,
    confirmed: VecDeque<PublishId>,
}

impl Sender {
    /// Publishes to these queues.
    ///
    /// # Errors
    /// Where the broker is closed.
    pub fn new(broker: &dyn Broker, links: Links, stop: Stop) -> Result<Self, TransportError> {
        let producer = broker.producer(ProducerOptions::default())?;
        Ok(Sender { links, producer, stop, sent: HashMap::new(), confirmed: VecDeque::new() })
    }

    /// Publishes a frame, waiting for room as long as it takes.
    ///
    /// # Errors
    /// Where asked to stop meanwhile, or the broker refuses for good.
    pub fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        let Some(route) = self.links.route(to).cloned() else {
            return Err(TransportError::NotConfirmed(Outcome::Returned));
        };
        loop {
            self.settle()?;
            match self.producer.publish(&route, Message::new(body.clone()), Instant::now() + ATTEMPT) {
                Ok(number) => {
                    self.sent.insert(number.0, id);
                    return Ok(());
                }
                Err(error) if error.is_back_pressure() && !self.stop.is_triggered() => {}
                Err(error) if error.is_back_pressure() => return Err(TransportError::Stopped),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next confirmation that has come.
    ///
    /// # Errors
    /// Where a publish was refused.
    pub fn confirmed(&mut self) -> Result<Option<PublishId>, TransportError> {
        self.settle()?;
        Ok(self.confirmed.pop_front())
    }

    /// Whether it was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_triggered()
    }

    /// How many publishes wait for their confirmation, or for its being taken.
    pub fn unconfirmed(&self) -> usize {
        self.sent.len() + self.confirmed.len()
    }

    fn settle(&mut self) -> Result<(), TransportError> {
        while let Ok(settled) = self.producer.settled().try_recv() {
            self.note(settled)?;
        }
        Ok(())
    }

    fn note(&mut self, settled: Settled) -> Result<(), TransportError> {
        if settled.outcome != Outcome::Confirmed {
            return Err(TransportError::NotConfirmed(settled.outcome));
        }
        self.confirmed.extend(settled.ids().filter_map(|number| self.sent.remove(&number)));
        Ok(())
    }

    /// Waits for the next confirmation, for at most `wait`; false where asked to stop.
    pub(crate) fn wait(&mut self, wait: Duration) -> Result<bool, TransportError> {
        select! {
            recv(self.producer.settled()) -> settled => match settled {
                Ok(settled) => self.note(settled)?,
                Err(_) => return Err(TransportError::Consume(ConsumerEnd::ConnectionClosed)),
            },
            recv(self.stop.receiver()) -> _ => return Ok(false),
            default(wait) => {}
        }
        Ok(true)
    }
}

/// Consumes one queue and publishes to all.
pub struct BrokerTransport {
    consumer: Box<dyn Consumer>,
    sender: Sender,
    tags: HashMap<Tag, DeliveryTag>,
    next: u64,
}

impl BrokerTransport {
    /// Consumes the queue of `target`.
    ///
    /// # Errors
    /// Where the broker has no such queue, or is closed.
    pub fn new(broker: &dyn Broker, links: &Links, target: Target, stop: Stop) -> Result<Self, TransportError> {
        let Some(queue) = links.queue(target) else { return Err(TransportError::NotConfirmed(Outcome::Returned)) };
        let consumer = broker.consumer(queue, ConsumerOptions::default().prefetch(PREFETCH), Instant::now() + SETUP)?;
        Ok(BrokerTransport {
            consumer,
            sender: Sender::new(broker, links.clone(), stop)?,
            tags: HashMap::new(),
            next: 0,
        })
    }

    fn deliver(&mut self, delivery: Delivery) -> Incoming {
        let tag = Tag(self.next);
        self.next += 1;
        self.tags.insert(tag, delivery.tag);
        Incoming::Delivery(tag, delivery.message.body)
    }

    fn ended(&self) -> TransportError {
        TransportError::Consume(self.consumer.ended().unwrap_or(ConsumerEnd::ConnectionClosed))
    }
}

impl Transport for BrokerTransport {
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        if let Some(id) = self.sender.confirmed()? {
            return Ok(Incoming::Confirmed(id));
        }
        let settled = select! {
            recv(self.consumer.deliveries()) -> delivery => return match delivery {
                Ok(delivery) => Ok(self.deliver(delivery)),
                Err(_) => Err(self.ended()),
            },
            recv(self.sender.producer.settled()) -> settled => settled,
            recv(self.sender.stop.receiver()) -> _ => return Ok(Incoming::End),
            default(wait) => return Ok(Incoming::Nothing),
        };
        self.sender.note(settled.map_err(|_| self.ended())?)?;
        Ok(self.sender.confirmed.pop_front().map_or(Incoming::Nothing, Incoming::Confirmed))
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        self.sender.publish(id, to, body)
    }

    fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
        match self.tags.remove(&tag) {
            Some(tag) => Ok(self.consumer.ack(tag)?),
            None => Ok(()),
        }
    }
}
