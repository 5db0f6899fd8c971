//! The producer of the in-process broker: enqueues and settles on its owner's thread.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;

use crate::message::Message;
use crate::producer::{Outcome, Producer, ProducerOptions, PublishError, PublishId, Settled};
use crate::route::Route;

use super::core::Connection;
use super::ledger::Ledger;
use super::queue::{self, Patience, PushError};
use super::router::Router;

/// What is published is in its queues when `publish` returns, so the window holds only settlements
/// that nobody has taken yet.
#[derive(Debug)]
pub(super) struct MemoryProducer {
    connection: Arc<Connection>,
    options: ProducerOptions,
    router: Router,
    ledger: Ledger,
}

impl MemoryProducer {
    pub(super) fn new(connection: Arc<Connection>, options: ProducerOptions) -> Self {
        let ledger = Ledger::new(options.window_messages);
        Self { connection, options, router: Router::default(), ledger }
    }

    fn check(&self, message: &Message) -> Result<(), PublishError> {
        if self.connection.is_closed() {
            return Err(PublishError::Closed);
        }
        let (size, limit) = (message.body.len(), self.options.max_body_bytes);
        if size > limit {
            return Err(PublishError::TooLarge { size, limit });
        }
        message.check()?;
        if !self.ledger.has_room() {
            return Err(PublishError::SettlementsFull);
        }
        Ok(())
    }

    /// Puts the message into the queues that it is for; false if there is none.
    fn enqueue(&mut self, to: &Route, mut message: Message, deadline: Instant) -> Result<bool, PublishError> {
        let patience = Patience { deadline, closed: &self.connection.closed };
        loop {
            let targets = self.router.resolve(&self.connection.core, to, &message)?;
            if targets.is_empty() {
                return Ok(false);
            }
            match queue::push(targets, to, &mut message, patience) {
                Ok(()) => return Ok(true),
                Err(PushError::Refused(error)) => return Err(error),
                Err(PushError::Deleted) => {}
            }
        }
    }
}

impl Producer for MemoryProducer {
    fn publish(&mut self, to: &Route, message: Message, deadline: Instant) -> Result<PublishId, PublishError> {
        self.check(&message)?;
        let routed = self.enqueue(to, message, deadline)?;
        let outcome = if routed || !self.options.mandatory { Outcome::Confirmed } else { Outcome::Returned };
        Ok(self.ledger.settle(outcome))
    }

    fn settled(&self) -> &Receiver<Settled> {
        self.ledger.settled()
    }
}
