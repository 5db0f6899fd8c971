//! The contract of a consumer: deliveries come out, acknowledgements go in.

use std::num::NonZeroU16;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::Receiver;
use thiserror::Error;

use crate::broker::CloseError;
use crate::message::Message;
use crate::route::Route;

/// Names one delivery to one consumer; means nothing to any other consumer, nor to the same one
/// after it had to be attached anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryTag {
    /// Unlike that of any other attachment, so that a late ack can't hit a stranger.
    pub(crate) epoch: u64,
    /// 0, 1, 2, ... in the order of delivery.
    pub(crate) number: u64,
}

impl DeliveryTag {
    /// An epoch that no other attachment in this process has, to whichever broker.
    pub(crate) fn next_epoch() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }
}

/// A message as a consumer gets it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// What was published, its body shared and not copied.
    pub message: Message,
    /// What to ack it by.
    pub tag: DeliveryTag,
    /// False: the broker has not delivered it before. True: it may have been.
    pub redelivered: bool,
    /// Where it was published to.
    pub route: Route,
}

/// What to do with a delivery that is not acked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nack {
    /// Put it back at its place in the queue, to be delivered again, to whomever.
    Requeue,
    /// Pass it to where the queue's rejected messages go, or drop it if that is nowhere. It is taken
    /// there even by a full queue, as neither waiting nor losing it would do; but a classic queue of
    /// RabbitMQ that is full drops it, so where that matters it should be a quorum queue, or one
    /// without bounds.
    DeadLetter,
}

/// Why a consumer gets nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ConsumerEnd {
    /// It was closed by its owner.
    #[error("the consumer is closed")]
    Closed,
    /// Its connection was closed.
    #[error("the connection is closed")]
    ConnectionClosed,
    /// Its queue was deleted.
    #[error("the queue was deleted")]
    QueueDeleted,
    /// The broker does not let it attach again, after the connection came back.
    #[error("the broker does not let the consumer attach again")]
    Refused,
}

/// What a consumer is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerOptions {
    /// Most deliveries that are not acked, those included that the owner has not taken yet.
    pub prefetch: NonZeroU16,
    /// Whether it must be the queue's only consumer.
    pub exclusive: bool,
}

impl ConsumerOptions {
    /// Deliveries in hand unless another number is asked for; more gains little.
    const DEFAULT_PREFETCH: NonZeroU16 = NonZeroU16::MIN.saturating_add(255);

    /// Sets the most deliveries that are not acked.
    #[must_use]
    pub fn prefetch(mut self, prefetch: NonZeroU16) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Asks to be the queue's only consumer.
    #[must_use]
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }
}

impl Default for ConsumerOptions {
    /// 256 deliveries in hand, not exclusive.
    fn default() -> Self {
        Self { prefetch: Self::DEFAULT_PREFETCH, exclusive: false }
    }
}

/// Takes messages of one queue, at least once each, in the queue's order except for redeliveries.
///
/// When the connection is lost, what is not acked is requeued, and deliveries that nobody has taken
/// out of the channel yet are withdrawn; they come again, under new tags, when it is back.
///
/// It has one owner at a time; other threads that handle deliveries send their tags to it. None of
/// the calls waits for other users of the broker. Dropping it closes it, without waiting.
pub trait Consumer: Send {
    /// The deliveries, to be received from or selected over.
    ///
    /// When the consumer has ended, the channel first yields what it still holds, then disconnects;
    /// [`ended`](Self::ended) says why before the disconnection can be seen.
    fn deliveries(&self) -> &Receiver<Delivery>;

    /// Why it gets nothing more; none while it still may.
    fn ended(&self) -> Option<ConsumerEnd>;

    /// Tells the broker that a delivery is done with. In any order.
    ///
    /// Ok: sent; if the connection fails now it may be delivered again all the same.
    ///
    /// # Errors
    /// [`AckError`]; no other delivery is touched by it.
    fn ack(&mut self, tag: DeliveryTag) -> Result<(), AckError>;

    /// Acks a delivery and all earlier ones of this consumer that are not acked, in one step.
    /// Ok also if the delivery itself was acked before.
    ///
    /// # Errors
    /// [`AckError`]; no delivery is touched by it.
    fn ack_through(&mut self, tag: DeliveryTag) -> Result<(), AckError>;

    /// Gives a delivery back.
    ///
    /// # Errors
    /// [`AckError`]; no other delivery is touched by it.
    fn nack(&mut self, tag: DeliveryTag, then: Nack) -> Result<(), AckError>;

    /// Stops the flow of new deliveries; those in the channel, or under way to it, are still to be
    /// handled. Pausing twice is pausing.
    ///
    /// What is requeued from now on is back in its queue before anything flows again. Without a pause,
    /// the broker may deliver what follows between several that are requeued one by one.
    ///
    /// # Errors
    /// [`AckError::Ended`].
    fn pause(&mut self) -> Result<(), AckError>;

    /// Lets deliveries flow again.
    ///
    /// # Errors
    /// [`AckError::Ended`].
    fn resume(&mut self) -> Result<(), AckError>;

    /// Ends it: what is not acked is requeued at its place as redelivered. Closing again is Ok.
    ///
    /// Blocks until `deadline` at most. After an `Err` it is closed all the same.
    ///
    /// # Errors
    /// [`CloseError`].
    fn close(&mut self, deadline: Instant) -> Result<(), CloseError>;
}

/// Why an acknowledgement did nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AckError {
    /// No delivery of that tag waits for an ack: it has had one.
    #[error("the delivery has been acked or nacked before")]
    UnknownTag,
    /// The tag is of another consumer, or of this one before it was attached anew; the delivery, if
    /// it was not acked, is requeued.
    #[error("the delivery was made to another consumer")]
    Stale,
    /// The consumer has ended; what was not acked is requeued, or gone with its queue.
    #[error("the consumer has ended")]
    Ended(#[from] ConsumerEnd),
}
