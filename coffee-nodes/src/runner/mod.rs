//! The one runner around every node: waits for what happens, lets the node answer, and does what it asks.
//!
//! The order of a delivery's life is here and nowhere else: decode and step (in the node), publish, confirm, commit,
//! ack (invariant 3). Threads, sockets, store and clock are behind [`Transport`] and [`Store`].

mod broker;
mod store;

pub use broker::{BrokerTransport, Links, LinksError, Sender};
pub use store::{Store, StoreError, Volatile};

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use coffee_core::{
    node::{Action, Event, Node, NodeError, PublishId, Tag},
    plan::Target,
};

use crate::input::InputError;

/// How long an idle runner waits at most before it looks around: not a latency, as whatever comes ends the wait.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// What a transport has for its node.
#[derive(Debug)]
pub enum Incoming {
    /// A frame.
    Delivery(Tag, Bytes),
    /// The broker owns a publish.
    Confirmed(PublishId),
    /// Nothing within the wait.
    Nothing,
    /// Nothing more, ever: asked to stop, or at the end of what there was.
    End,
}

/// A node's connection with the others: what it consumes, and where it publishes. One owner, one thread.
pub trait Transport {
    /// The next thing that comes, waiting for at most `wait`. Prefers confirmations to deliveries, so that what is
    /// waited for is let go before more is taken on.
    ///
    /// # Errors
    /// Where the connection is lost or the input can't be read: nothing more comes.
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError>;

    /// Hands a frame over. Ok promises that [`Incoming::Confirmed`] follows or `next` fails. Blocks while the receiver
    /// is full: that is how back-pressure travels.
    ///
    /// # Errors
    /// Where it was not handed over: asked to stop while waiting, or the connection is lost.
    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError>;

    /// Lets a delivery go. Ok: it may still come again, if the connection is lost.
    ///
    /// # Errors
    /// Where the connection is lost: it comes again.
    fn ack(&mut self, tag: Tag) -> Result<(), TransportError>;
}

/// Why a transport is of no more use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Asked to stop while waiting for room.
    #[error("stopped while waiting for room")]
    Stopped,
    /// The consumer ended.
    #[error("nothing more can be consumed")]
    Consume(#[source] coffee_mom::ConsumerEnd),
    /// A publish was refused for good.
    #[error("a frame can't be published")]
    Publish(#[from] coffee_mom::PublishError),
    /// A publish was not confirmed.
    #[error("a frame was not taken: {0:?}")]
    NotConfirmed(coffee_mom::Outcome),
    /// An ack failed.
    #[error("a delivery can't be acked")]
    Ack(#[from] coffee_mom::AckError),
    /// The broker refused a producer or consumer.
    #[error("the broker can't be used")]
    Attach(#[from] coffee_mom::AttachError),
    /// Input can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A frame can't be written.
    #[error(transparent)]
    Encode(#[from] coffee_core::codec::EncodeError),
}

/// Why a runner ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// The node can't go on.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The transport is of no more use.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A commit failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Drives a node until its transport ends. All that was delivered and not acked by then is not lost: it comes again.
///
/// # Errors
/// Where node, transport or store fail; what the failing event brought is not acked.
pub fn run(node: &mut dyn Node, transport: &mut dyn Transport, store: &mut dyn Store) -> Result<(), RunnerError> {
    let mut runner = Runner { node, transport, store, events: VecDeque::new(), actions: Vec::new() };
    let mut idle = false;
    loop {
        let wait = if idle { LOOK_AROUND } else { Duration::ZERO };
        match runner.transport.next(wait)? {
            Incoming::Delivery(tag, body) => {
                idle = false;
                runner.handle(Event::Delivery { tag, body })?;
            }
            Incoming::Confirmed(id) => runner.handle(Event::Confirmed(id))?,
            Incoming::Nothing if idle => {}
            Incoming::Nothing => {
                idle = true;
                runner.handle(Event::Idle)?;
            }
            Incoming::End => return Ok(()),
        }
    }
}

struct Runner<'a> {
    node: &'a mut dyn Node,
    transport: &'a mut dyn Transport,
    store: &'a mut dyn Store,
    events: VecDeque<Event>,
    actions: Vec<Action>,
}

impl Runner<'_> {
    /// Lets the node answer an event, and those that follow from its answer.
    fn handle(&mut self, event: Event) -> Result<(), RunnerError> {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            let mut actions = std::mem::take(&mut self.actions);
            self.node.step(event, &mut actions)?;
            for action in actions.drain(..) {
                self.act(action)?;
            }
            self.actions = actions;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), RunnerError> {
        match action {
            Action::Publish { id, to, body } => self.transport.publish(id, to, body)?,
            Action::Commit { group, frames } => {
                self.store.commit(&frames)?;
                self.events.push_back(Event::Committed(group));
            }
            Action::Ack(tag) => self.transport.ack(tag)?,
        }
        Ok(())
    }
}
