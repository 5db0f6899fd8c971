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
use super::tally::Counts;

/// What is published is in its queues when `publish` returns, so the window holds only settlements
/// that nobody has taken yet.
#[derive(Debug)]
pub(super) struct MemoryProducer {
    connection: Arc<Connection>,
    options: ProducerOptions,
    router: Router,
    ledger: Ledger,
    counts: Arc<Counts>,
}

impl MemoryProducer {
    pub(super) fn new(connection: Arc<Connection>, options: ProducerOptions) -> Self {
        let ledger = Ledger::new(options.window_messages);
        let counts = connection.tally.join();
        Self { connection, options, router: Router::default(), ledger, counts }
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
        self.counts.published.add_one();
        let outcome = match (routed, self.options.mandatory) {
            (true, _) => Outcome::Confirmed,
            (false, true) => {
                self.counts.returned.add_one();
                Outcome::Returned
            }
            (false, false) => {
                self.counts.dropped.add_one();
                Outcome::Confirmed
            }
        };
        Ok(self.ledger.settle(outcome))
    }

    fn settled(&self) -> &Receiver<Settled> {
        self.ledger.settled()
    }
}
