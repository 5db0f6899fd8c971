//! One amiquip consumer on a channel, and why deliveries stop.

use std::time::Instant;

use amiquip::{Channel, Consumer, ConsumerMessage};
use crossbeam_channel::{Receiver, RecvError};

use crate::consumer::ConsumerEnd;
use crate::name::Name;
use crate::rabbitmq::desk::CALL_LIMIT;
use crate::rabbitmq::failure::{Failure, Loss};
use crate::rabbitmq::link::Link;

use super::refusal::is_refusal;

/// Why an attachment is over.
#[derive(Debug)]
pub(super) enum Cause {
    /// The owner or the connection has asked for it.
    Asked(ConsumerEnd),
    /// The broker has taken the consumer off the queue.
    Cancelled,
    /// The broker does not let it consume.
    Refused(Failure),
    /// The channel or the link is of no more use.
    Lost(Failure),
}

impl Cause {
    /// Of a failure to attach.
    pub(super) fn not_attached(failure: Failure) -> Self {
        if is_refusal(&failure) { Self::Refused(failure) } else { Self::Lost(failure) }
    }
}

impl From<Failure> for Cause {
    fn from(failure: Failure) -> Self {
        Self::Lost(failure)
    }
}

/// What amiquip has received, or why it will receive no more.
pub(super) fn open(message: Result<ConsumerMessage, RecvError>) -> Result<amiquip::Delivery, Cause> {
    match message {
        Ok(ConsumerMessage::Delivery(delivery)) => Ok(delivery),
        Ok(ConsumerMessage::ServerCancelled) => Err(Cause::Cancelled),
        Ok(ConsumerMessage::ServerClosedChannel(error) | ConsumerMessage::ServerClosedConnection(error)) => {
            Err(Failure::from(error).into())
        }
        Ok(
            ConsumerMessage::ClientCancelled
            | ConsumerMessage::ClientClosedChannel
            | ConsumerMessage::ClientClosedConnection,
        ) => Err(Failure::Closed.into()),
        // amiquip has no last word when the socket is lost.
        Err(RecvError) => Err(Failure::Lost(Loss::Earlier).into()),
    }
}

/// Has to be [ended](Self::end): dropping it waits for the broker without a deadline.
pub(super) struct Subscription<'c> {
    consumer: Consumer<'c>,
    /// Most deliveries of this subscription that the broker has no answer about.
    pub(super) limit: u16,
    /// The number of its first delivery.
    pub(super) first: u64,
}

impl<'c> Subscription<'c> {
    /// Starts to consume; `first` is the number that its first delivery will have.
    pub(super) fn start(
        link: &Link,
        channel: &'c Channel,
        queue: &Name,
        exclusive: bool,
        limit: u16,
        first: u64,
    ) -> Result<Self, Cause> {
        let consumer = link.call(Instant::now() + CALL_LIMIT, || {
            channel.qos(0, limit, false)?;
            let options = amiquip::ConsumerOptions { exclusive, ..amiquip::ConsumerOptions::default() };
            channel.basic_consume(queue.as_str(), options)
        });
        match consumer {
            Ok(consumer) => Ok(Self { consumer, limit, first }),
            Err(failure) => Err(Cause::not_attached(failure)),
        }
    }

    pub(super) fn arrivals(&self) -> &Receiver<ConsumerMessage> {
        self.consumer.receiver()
    }

    /// Stops consuming, and passes on what had arrived before.
    ///
    /// Err: why the channel is of no more use.
    pub(super) fn end(self, link: &Link, mut take: impl FnMut(amiquip::Delivery)) -> Result<(), Cause> {
        let mut last = None;
        let cancelled = link.call(Instant::now() + CALL_LIMIT, || {
            let Self { consumer, .. } = self;
            let cancelled = consumer.cancel();
            // The I/O thread gives up the whole connection if it can't deliver its last word, so the
            // consumer stays until that thread has let go of it, also when the call has failed.
            for message in consumer.receiver() {
                match open(Ok(message)) {
                    Ok(delivery) => take(delivery),
                    Err(cause) => last = Some(cause),
                }
            }
            cancelled
        });
        match last {
            Some(Cause::Cancelled) => Err(Cause::Cancelled),
            _ => Ok(cancelled?),
        }
    }
}
