//! The simple way in: one queue or one exchange, to send to and to be called back from.
//! The contract is here; `endpoint` implements it over any broker. `worker` is its thread, which has its
//! place in `seat` and is told things by `inbox`; `barrier` is the meeting of a group.

mod barrier;
mod endpoint;
mod inbox;
mod options;
mod seat;
mod worker;

use std::time::Instant;

use thiserror::Error;

use crate::broker::{AttachError, BindError, DeclareError, DeleteError};
use crate::consumer::{ConsumerEnd, Delivery, DeliveryTag};
use crate::message::Message;
use crate::name::Name;
use crate::producer::{PublishError, Refusal};

pub use endpoint::Endpoint;
pub use options::EndpointOptions;

/// One queue or one exchange.
///
/// All calls may be made from several threads at once, and from within the callback. None waits
/// longer than its deadline.
pub trait MessageMiddleware: Send + Sync {
    /// Sends a message. Ok: the broker has it, in every queue that it is for.
    ///
    /// Blocks until the broker has answered, `deadline` at most; while a queue is full it is tried
    /// again.
    ///
    /// # Errors
    /// [`SendError`]; each says whether the message may have arrived nevertheless.
    fn send(&self, message: Message, deadline: Instant) -> Result<(), SendError>;

    /// Starts a thread that calls `on_message` with each delivery, one after the other.
    ///
    /// Blocks until the broker has agreed, `deadline` at most. May be called again after
    /// [`stop_consuming`](Self::stop_consuming), from outside the callback.
    ///
    /// # Errors
    /// [`StartError`]; nothing is consumed then.
    fn start_consuming(&self, on_message: Box<dyn Handler>, deadline: Instant) -> Result<(), StartError>;

    /// Settles a delivery whose callback answered [`Verdict::Defer`]; from any thread, in any order,
    /// also before that callback has returned.
    ///
    /// Ok: the consuming thread will tell the broker, also when consuming is stopped next; nothing is
    /// done if the delivery was settled before, or was requeued because its connection was lost.
    /// Blocks while too many verdicts wait for that thread, `deadline` at most.
    ///
    /// # Errors
    /// [`SettleError`]; each says what becomes of the delivery.
    fn settle(&self, tag: DeliveryTag, verdict: Verdict, deadline: Instant) -> Result<(), SettleError>;

    /// Stops consuming. Ok: no callback runs or will run, what was not acked is back in the queue.
    /// Ok also if nothing was started. Of the deferred deliveries, those that
    /// [`settle`](Self::settle) took are settled, the others requeued.
    ///
    /// Blocks until the callback in hand has returned, `deadline` at most. From within the callback
    /// it only leaves word: consuming stops when the callback has returned, its verdict included.
    ///
    /// # Errors
    /// [`StopError`]; consuming stops later all the same.
    fn stop_consuming(&self, deadline: Instant) -> Result<(), StopError>;

    /// Makes no more calls back, after the one in hand, until [`resume`](Self::resume); deliveries go
    /// to other consumers meanwhile. Does not block. Lasts over a stop and a start.
    fn pause(&self);

    /// Goes on after [`pause`](Self::pause). Does not block.
    fn resume(&self);

    /// Meets the other members of a group. Ok: `members` of them, this one included, have called it.
    ///
    /// A member that calls it again later counts once for each call, so a group meets once under one
    /// name; later meetings need names of their own. Blocks until all have come, `deadline` at most;
    /// when the broker does not answer, one second more to tidy up.
    ///
    /// A member whose connection is lost while it meets may never hear of one that has met all and gone since: it then waits until
    /// its deadline in vain. What the meeting is for has to show elsewhere too where connections may be lost.
    ///
    /// # Errors
    /// [`BarrierError`]; the others may count this member nevertheless.
    fn emit_barrier(&self, group: &Name, members: usize, deadline: Instant) -> Result<(), BarrierError>;

    /// Stops without leaving work behind: takes no more deliveries, lets the callback in hand and the
    /// deferred verdicts finish, has all acks and sends answered, then closes.
    ///
    /// Blocks until that is done, `deadline` at most. Not from within the callback.
    ///
    /// # Errors
    /// [`StopError`]; it is closed all the same, and what was not acked is requeued.
    fn shutdown(&self, deadline: Instant) -> Result<(), StopError>;

    /// Stops consuming, and fails all later calls with `Closed`. The queue or exchange stays, but
    /// for the anonymous queue of an exchange. Closing again is Ok.
    ///
    /// Blocks as [`stop_consuming`](Self::stop_consuming).
    ///
    /// # Errors
    /// [`StopError`]; it is closed all the same.
    fn close(&self, deadline: Instant) -> Result<(), StopError>;

    /// Deletes the queue or exchange for all its users. Ok also if it is gone already. Consuming
    /// ends with [`ConsumerEnd::QueueDeleted`].
    ///
    /// # Errors
    /// [`DeleteError`].
    fn delete(&self, deadline: Instant) -> Result<(), DeleteError>;
}

/// What a callback wants done with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It is done with.
    Ack,
    /// It shall be delivered again, to whomever.
    Requeue,
    /// It shall go to where the queue's rejected messages go.
    DeadLetter,
    /// [`settle`](MessageMiddleware::settle) will tell, before or after the callback returns; until
    /// then it counts as in hand.
    Defer,
}

/// Is called with deliveries, on one thread. Every closure from `&Delivery` to [`Verdict`] is one.
pub trait Handler: Send {
    /// Handles a delivery. A panic is caught and dealt with by the [`PanicPolicy`].
    fn on_message(&mut self, delivery: &Delivery) -> Verdict;

    /// Consuming has ended; nothing is called after this. `Closed` after a stop of its own.
    fn on_end(&mut self, end: ConsumerEnd) {
        let _ = end;
    }
}

impl<F: FnMut(&Delivery) -> Verdict + Send> Handler for F {
    fn on_message(&mut self, delivery: &Delivery) -> Verdict {
        self(delivery)
    }
}

/// What happens to a delivery whose callback panics. Consuming goes on in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// It is requeued the first time; when it was delivered before, it is dead-lettered. So a poison
    /// message can't keep its consumers busy for ever.
    #[default]
    RequeueOnce,
    /// It is requeued every time.
    Requeue,
    /// It is dead-lettered.
    DeadLetter,
}

/// Why there is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The queue or exchange could not be declared.
    #[error(transparent)]
    Declare(#[from] DeclareError),
    /// The anonymous queue could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The broker gives no producer.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// Why a message was not sent, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// It was not handed over: nobody has it.
    #[error("the message was not sent")]
    Publish(#[from] PublishError),
    /// Other threads kept the endpoint busy until the deadline: nobody has it.
    #[error("other sends took until the deadline")]
    Busy,
    /// No queue was bound for it: nobody has it.
    #[error("no queue is bound for the message")]
    Unroutable,
    /// The broker nacked it until the deadline, as a queue is full: at least one of its queues does
    /// not have it.
    #[error("the broker has no room for the message")]
    Nacked,
    /// The broker will never take it: nobody has it.
    #[error("the broker refused the message")]
    Refused(#[from] Refusal),
    /// There was no answer by the deadline, or the connection was closed: it may or may not arrive.
    #[error("the broker gave no answer about the message")]
    Unknown,
    /// The endpoint is closed: nobody has the message.
    #[error("the endpoint is closed")]
    Closed,
}

/// Why consuming did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// It has been started, and not yet been stopped from outside the callback.
    #[error("consuming has been started already")]
    Consuming,
    /// An exchange without bindings has nothing to consume.
    #[error("the exchange was opened without bindings")]
    NoBindings,
    /// The broker gives no consumer.
    #[error("the broker gives no consumer")]
    Attach(#[from] AttachError),
    /// The system gives no thread.
    #[error("no thread could be started")]
    Thread(#[from] std::io::Error),
    /// It was stopped before the broker had given a consumer.
    #[error("consuming was stopped while it was being started")]
    Stopped,
    /// The endpoint is closed.
    #[error("the endpoint is closed")]
    Closed,
}

/// Why a deferred verdict was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettleError {
    /// Nothing is consumed any more: what was not settled is requeued.
    #[error("nothing is being consumed")]
    NotConsuming,
    /// A verdict has to say what is to be done; the delivery stays deferred.
    #[error("a deferred verdict can't be deferred again")]
    Deferred,
    /// The callback in hand kept the consuming thread busy until the deadline, with too many verdicts
    /// waiting already. The delivery stays deferred: the call may be made again.
    #[error("the consuming thread was busy until the deadline")]
    Deadline,
}

/// Why a stop is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StopError {
    /// The callback in hand, a start under way or the broker took until the deadline; or, for a
    /// shutdown, a deferred verdict or another send. Once the callback has returned, the broker gets five
    /// seconds to let the consumer go; nothing can be started until it has.
    #[error("it did not stop by the deadline")]
    Deadline,
}

/// Why not all members of a group have met.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// The deadline passed first.
    #[error("{arrived} of {members} members have come by the deadline")]
    Deadline {
        /// Members that have come, this one included.
        arrived: usize,
        /// Members that were waited for.
        members: usize,
    },
    /// The exchange or the queue of the meeting could not be declared.
    #[error(transparent)]
    Declare(#[from] DeclareError),
    /// The queue of the meeting could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The queue of the meeting could not be consumed.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The others could not be told.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The endpoint is closed.
    #[error("the endpoint is closed")]
    Closed,
}
