//! The consumer over RabbitMQ: a handle for its owner, and a thread that has a channel of its own.
//!
//! `actor` attaches it on one link after the other, `attachment` works on one channel. The owner and
//! the actor meet in `shared`; `acks` is what the owner has in hand, `ledger` what the broker waits for.

mod acks;
mod actor;
mod attachment;
mod courier;
mod intake;
mod ledger;
mod poison;
mod refusal;
mod shared;
mod subscription;

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::broker::{AttachError, CloseError, ConnectionError};
use crate::consumer::{AckError, Consumer, ConsumerEnd, ConsumerOptions, Delivery, DeliveryTag, Nack};
use crate::name::Name;
use crate::thread::Finished;
use crate::topology::{QueueKind, QueueSpec};

use super::answer;
use super::hub::Hub;
use super::line::{Line, Status};
use super::threads::Threads;

use acks::Verdict;
use actor::Actor;
use attachment::Terms;
use courier::Courier;
use intake::Intake;
use poison::Requeues;
use shared::Shared;

/// The owner's handle. None of its calls but `close` waits for the broker.
pub(super) struct RabbitConsumer {
    closer: Closer,
    _keep_alive: Arc<dyn Send + Sync>,
}

impl RabbitConsumer {
    /// Attaches a consumer on a thread of its own. Blocks until the broker has agreed, `deadline` at
    /// most, also while the line is away. `spec` is how the queue was declared, if it was through this
    /// connection; `keep_alive` lives as long as the owner has the consumer.
    ///
    /// Err: there is no consumer, or none that will stay.
    #[expect(clippy::too_many_arguments, reason = "one call, with all that a connection lends")]
    pub(super) fn attach(
        line: Arc<Line>,
        hub: Arc<Hub>,
        queue: Name,
        spec: Option<QueueSpec>,
        options: ConsumerOptions,
        threads: &Threads,
        keep_alive: Arc<dyn Send + Sync>,
        deadline: Instant,
    ) -> Result<Self, AttachError> {
        let prefetch = options.prefetch.get();
        let (to_inbox, inbox) = bounded(prefetch.into());
        let (shared, woken) = Shared::new(prefetch, inbox);
        let shared = Arc::new(shared);
        let (kind, limit) = spec.map_or((QueueKind::Classic, None), |spec| (spec.kind, spec.delivery_limit));
        let requeues = limit.filter(|_| kind == QueueKind::Classic).map(Requeues::new);
        let intake = Intake { shared: shared.clone(), to_inbox, hub, courier: Courier::default(), requeues };
        // A quorum queue of RabbitMQ 3 without a limit puts requeued messages at its end.
        let keeps_place = kind == QueueKind::Classic || limit.is_some();
        let terms = Terms { queue, prefetch, exclusive: options.exclusive, keeps_place };
        let (tell, told) = bounded(1);
        let name = format!("consume {}", terms.queue);
        let actor = Actor::new(terms, line.clone(), woken, intake, tell);
        let finished = threads.spawn(&name, move || actor.run()).map_err(|error| answer::no_thread(&error))?;
        let consumer = Self { closer: Closer { shared, finished }, _keep_alive: keep_alive };
        match told.recv_deadline(deadline) {
            Ok(attached) => attached.map(|()| consumer),
            // Dropping the consumer has the actor end, whenever it gets to it.
            Err(RecvTimeoutError::Disconnected) if matches!(line.status(), Status::Closed) => {
                Err(ConnectionError::Closed.into())
            }
            Err(_) => Err(ConnectionError::Deadline.into()),
        }
    }

    /// For the connection, to close the consumer without its owner.
    pub(super) fn closer(&self) -> Closer {
        self.closer.clone()
    }
}

impl Consumer for RabbitConsumer {
    fn deliveries(&self) -> &Receiver<Delivery> {
        self.closer.shared.inbox()
    }

    fn ended(&self) -> Option<ConsumerEnd> {
        self.closer.shared.ended()
    }

    fn ack(&mut self, tag: DeliveryTag) -> Result<(), AckError> {
        self.closer.shared.settle(tag, Verdict::Ack)
    }

    fn ack_through(&mut self, tag: DeliveryTag) -> Result<(), AckError> {
        self.closer.shared.ack_through(tag)
    }

    fn nack(&mut self, tag: DeliveryTag, then: Nack) -> Result<(), AckError> {
        self.closer.shared.settle(tag, then.into())
    }

    fn pause(&mut self) -> Result<(), AckError> {
        self.closer.shared.set_paused(true)
    }

    fn resume(&mut self) -> Result<(), AckError> {
        self.closer.shared.set_paused(false)
    }

    fn close(&mut self, deadline: Instant) -> Result<(), CloseError> {
        let Closer { shared, finished } = &self.closer;
        shared.close(ConsumerEnd::Closed);
        if finished.wait(deadline) {
            return Ok(());
        }
        shared.finish(ConsumerEnd::Closed);
        Err(CloseError::Deadline)
    }
}

impl Drop for RabbitConsumer {
    fn drop(&mut self) {
        self.closer.shared.close(ConsumerEnd::Closed);
    }
}

/// Ends a consumer from the side of its connection, which it does not keep open.
#[derive(Debug, Clone)]
pub(super) struct Closer {
    shared: Arc<Shared>,
    finished: Finished,
}

impl Closer {
    /// Asks the consumer to end: to send the acks that it has, then to leave the queue, which requeues
    /// what is not acked at its place. Does not block. With a deadline that has passed, nothing is
    /// delivered or acked any more when it returns; it is the connection that ends the link in time.
    pub(super) fn close(&self, deadline: Instant) {
        self.shared.close(ConsumerEnd::ConnectionClosed);
        if deadline <= Instant::now() {
            self.shared.finish(ConsumerEnd::ConnectionClosed);
        }
    }

    /// The end of the consumer.
    pub(super) fn finished(&self) -> &Finished {
        &self.finished
    }
}

#[cfg(test)]
mod tests;
