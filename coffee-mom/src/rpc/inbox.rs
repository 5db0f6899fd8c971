//! The queue by which a client or a host is answered: nobody else takes from it, and it goes with its owner.

use std::sync::Arc;
use std::time::Instant;

use crate::broker::Broker;
use crate::consumer::{Consumer, ConsumerOptions};
use crate::name::Name;
use crate::topology::{DeleteOptions, QueueSpec};

use super::error::SetupError;
use super::task::DROP_GRACE;

/// An anonymous queue and its consumer. Dropped without a [`close`](Self::close), it deletes the queue all the same,
/// within the grace of a drop.
pub(super) struct Inbox {
    // Dropped before its queue.
    pub(super) consumer: Box<dyn Consumer>,
    queue: OwnQueue,
}

impl Inbox {
    /// Declares the queue and attaches to it. Err: there is no queue, unless the broker declared one without an
    /// answer: that one is left to the connection.
    pub(super) fn open(broker: Arc<dyn Broker>, deadline: Instant) -> Result<Self, SetupError> {
        let name = broker.declare_queue(&QueueSpec::anonymous(), deadline)?;
        let queue = OwnQueue { broker, name, until: None };
        let consumer = queue.broker.consumer(&queue.name, ConsumerOptions::default(), deadline)?;
        Ok(Self { consumer, queue })
    }

    pub(super) fn name(&self) -> &Name {
        &self.queue.name
    }

    /// Takes no more, and deletes the queue; false if the consumer could not be closed by `deadline`.
    pub(super) fn close(mut self, deadline: Instant) -> bool {
        self.queue.until = Some(deadline);
        self.consumer.close(deadline).is_ok()
    }
}

/// A queue that is deleted when this is dropped.
struct OwnQueue {
    broker: Arc<dyn Broker>,
    name: Name,
    /// How long the deletion may take, if its owner has said so.
    until: Option<Instant>,
}

impl Drop for OwnQueue {
    fn drop(&mut self) {
        let until = self.until.unwrap_or_else(|| Instant::now() + DROP_GRACE);
        if let Err(error) = self.broker.delete_queue(&self.name, DeleteOptions::default(), until) {
            log::debug!("a queue of replies is left to its connection: {error}");
        }
    }
}
