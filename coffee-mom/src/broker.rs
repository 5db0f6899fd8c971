//! The contract of a broker: topology, and the making of producers and consumers.
//! What those do is in `producer` and `consumer`, what happens to the connection meanwhile in `event`.

use std::time::Instant;

use crossbeam_channel::Receiver;
use thiserror::Error;

use crate::consumer::{Consumer, ConsumerOptions};
use crate::event::{Event, Stats};
use crate::name::Name;
use crate::producer::{Producer, ProducerOptions};
use crate::topology::{Binding, DeleteOptions, ExchangeSpec, QueueSpec, QueueStatus};

/// A connection to a broker.
///
/// May be used by several threads at once. Producers and consumers keep the connection alive; it
/// closes by [`close`](Self::close), or when it and all of them are dropped. Closing deletes its
/// exclusive queues and requeues what its consumers have not acked.
///
/// A connection that is lost comes back by itself: what was declared through it is declared again,
/// producers send again what had no answer, consumers go on under new tags. Calls made meanwhile
/// wait for it, until their deadline; [`events`](Self::events) tell of it.
///
/// After any `Err` of the calls that declare, bind or delete, nothing has changed, except after
/// [`ConnectionError::Deadline`], where the change may or may not have been made, or may still be:
/// repeat it, it is idempotent. None of the calls waits longer than its deadline; a deadline that
/// has passed makes it a try.
pub trait Broker: Send + Sync {
    /// Declares a queue and returns its name, one that nobody else has for an anonymous one.
    ///
    /// Ok: it exists as asked for, new or from before. Doesn't wait for other users of the broker.
    ///
    /// # Errors
    /// [`DeclareError`]; `Conflict` if a queue of that name exists with other arguments.
    fn declare_queue(&self, spec: &QueueSpec, deadline: Instant) -> Result<Name, DeclareError>;

    /// Declares an exchange. Ok: it exists as asked for, new or from before.
    ///
    /// # Errors
    /// [`DeclareError`]; `Conflict` if an exchange of that name exists with other arguments.
    fn declare_exchange(&self, spec: &ExchangeSpec, deadline: Instant) -> Result<(), DeclareError>;

    /// Binds a queue to an exchange. Ok: every message published after this call that the binding
    /// matches goes to the queue, once, however many bindings of the queue match it.
    ///
    /// # Errors
    /// [`BindError`].
    fn bind(&self, queue: &Name, exchange: &Name, binding: &Binding, deadline: Instant) -> Result<(), BindError>;

    /// Takes a binding back. Ok: it leads nothing to the queue that is published after this call.
    /// Ok also if there is no such binding, queue or exchange.
    ///
    /// # Errors
    /// [`BindError`].
    fn unbind(&self, queue: &Name, exchange: &Name, binding: &Binding, deadline: Instant) -> Result<(), BindError>;

    /// Deletes a queue with its messages and bindings, and ends its consumers with
    /// [`ConsumerEnd::QueueDeleted`](crate::ConsumerEnd::QueueDeleted). Ok also if there is none.
    ///
    /// # Errors
    /// [`DeleteError`]; `InUse` or `NotEmpty` if the options forbid it.
    fn delete_queue(&self, queue: &Name, options: DeleteOptions, deadline: Instant) -> Result<(), DeleteError>;

    /// Deletes an exchange with its bindings. Ok also if there is none.
    ///
    /// # Errors
    /// [`DeleteError`].
    fn delete_exchange(&self, exchange: &Name, deadline: Instant) -> Result<(), DeleteError>;

    /// What the queue holds now; stale as soon as it is read.
    ///
    /// On RabbitMQ it costs a round trip, on the link that also consumes, in turn with whatever else is
    /// declared through the connection.
    ///
    /// # Errors
    /// [`AttachError`].
    fn queue_status(&self, queue: &Name, deadline: Instant) -> Result<QueueStatus, AttachError>;

    /// A producer, for one owner thread at a time. Does not block: it may be used at once, also
    /// while the connection is away.
    ///
    /// # Errors
    /// [`AttachError`].
    fn producer(&self, options: ProducerOptions) -> Result<Box<dyn Producer>, AttachError>;

    /// A consumer of a queue, for one owner thread at a time. Deliveries start at once.
    ///
    /// # Errors
    /// [`AttachError`].
    fn consumer(
        &self,
        queue: &Name,
        options: ConsumerOptions,
        deadline: Instant,
    ) -> Result<Box<dyn Consumer>, AttachError>;

    /// What happens to the connection from now on. Each call makes a subscription of its own, which
    /// holds the first [`Event::BACKLOG`] events that nobody has taken; more are dropped.
    fn events(&self) -> Receiver<Event>;

    /// What has been done through the connection so far.
    fn stats(&self) -> Stats;

    /// Cuts the connection's links, as a network may at any time: they come back by themselves. For tests, and for operators. Does
    /// not block; nothing is cut where there are no links.
    fn cut(&self) {}

    /// Closes the connection. Its consumers end; calls that wait give up; what was published is
    /// waited for until it is settled. Then later calls on it, its producers and its consumers fail
    /// with `Closed`, and unacked deliveries are requeued. Closing again is Ok.
    ///
    /// Blocks until `deadline` at most. After an `Err` the connection is closed all the same, and
    /// the publishes that were not settled are settled as [`Unknown`](crate::Outcome::Unknown).
    ///
    /// # Errors
    /// [`CloseError`].
    fn close(&self, deadline: Instant) -> Result<(), CloseError>;
}

/// Why the broker was not asked or gave no answer, whatever the question was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The connection was closed by its owner: nothing was done, but perhaps by a call that was under way.
    #[error("the connection is closed")]
    Closed,
    /// There was no answer by the deadline, or no connection: it may or may not be done.
    #[error("the broker gave no answer by the deadline")]
    Deadline,
    /// The broker allows no more channels on a connection, one a producer or consumer: nothing was done.
    #[error("the connection has no channel left")]
    NoChannel,
    /// The user may not do that: nothing was done.
    #[error("the broker denies it: {0}")]
    Denied(String),
    /// The broker refused for a reason that has no name here: nothing was done.
    #[error("the broker refuses it with code {code}: {text}")]
    Refused {
        /// The reply code of AMQP 0-9-1.
        code: u16,
        /// What the broker says about it.
        text: String,
    },
}

/// Why something could not be declared.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// It exists with other arguments, and stays as it is.
    #[error("{0} is declared already with other arguments")]
    Conflict(Name),
    /// It belongs to another connection.
    #[error("{0} is exclusive to another connection")]
    Exclusive(Name),
    /// Names that begin with `amq.` are the broker's.
    #[error("{0} lies in the name space of the broker")]
    Reserved(Name),
    /// A shared queue needs a name.
    #[error("an anonymous queue has to be exclusive")]
    AnonymousShared,
    /// The broker can't make such a queue: a quorum queue is durable and shared.
    #[error("a quorum queue has to be durable and not exclusive")]
    Quorum,
    /// A bound of 0 would let no message in.
    #[error("a queue has to hold at least one message and one byte")]
    NoRoom,
    /// The broker was not asked, or gave no answer.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Why a queue could not be bound.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BindError {
    /// No such queue.
    #[error("there is no queue {0}")]
    UnknownQueue(Name),
    /// No such exchange.
    #[error("there is no exchange {0}")]
    UnknownExchange(Name),
    /// The queue belongs to another connection.
    #[error("{0} is exclusive to another connection")]
    Exclusive(Name),
    /// An exchange of this kind has no use for such a binding.
    #[error("exchange {0} is of a kind that has no such bindings")]
    Mismatch(Name),
    /// A header's name is too long, or its value too deep.
    #[error("a header of the binding is not valid")]
    Header(#[from] crate::message::PropertyError),
    /// The broker was not asked, or gave no answer.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Why something was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// The queue has consumers.
    #[error("{0} has consumers")]
    InUse(Name),
    /// The queue has ready messages.
    #[error("{0} has messages")]
    NotEmpty(Name),
    /// The queue belongs to another connection.
    #[error("{0} is exclusive to another connection")]
    Exclusive(Name),
    /// The broker was not asked, or gave no answer.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Why there is no producer, consumer or status.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttachError {
    /// No such queue.
    #[error("there is no queue {0}")]
    UnknownQueue(Name),
    /// The queue belongs to another connection.
    #[error("{0} is exclusive to another connection")]
    Exclusive(Name),
    /// An exclusive consumer has to be alone, and one of the two would not be.
    #[error("{0} has an exclusive consumer, or others where one is to be exclusive")]
    InUse(Name),
    /// The broker was not asked, or gave no answer.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// What was not finished when a connection or a consumer closed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The deadline passed first; unacked deliveries are requeued, unsettled publishes are unknown.
    #[error("closed by force at the deadline")]
    Deadline,
}
