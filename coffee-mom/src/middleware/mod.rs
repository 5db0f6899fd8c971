//! The simple way in: one queue or one exchange, to send to and to be called back from.
//! The contract is here; `endpoint` implements it over any broker, `worker` is its thread.

mod endpoint;
mod worker;

use std::time::Instant;

use thiserror::Error;

use crate::broker::{AttachError, DeleteError};
use crate::consumer::{ConsumerEnd, Delivery};
use crate::producer::PublishError;

pub use endpoint::{Endpoint, EndpointError, EndpointOptions};

/// One queue or one exchange.
///
/// All calls may be made from several threads at once, and from within the callback.
pub trait MessageMiddleware: Send + Sync {
    /// Sends a message. Ok: the broker has it, in every queue that it is for.
    ///
    /// Blocks until the broker has answered, `deadline` at most.
    ///
    /// # Errors
    /// [`SendError`]; each says whether the message may have arrived nevertheless.
    fn send(&self, message: crate::Message, deadline: Instant) -> Result<(), SendError>;

    /// Starts a thread that calls `handler` with each delivery, one after the other.
    ///
    /// Does not block. May be called again after [`stop_consuming`](Self::stop_consuming), from
    /// outside the callback.
    ///
    /// # Errors
    /// [`StartError`]; nothing has been started then.
    fn start_consuming(&self, handler: Box<dyn Handler>) -> Result<(), StartError>;

    /// Stops consuming. Ok: no callback runs or will run, what was not acked is back in the queue.
    /// Ok also if nothing was started.
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
    fn delete(&self) -> Result<(), DeleteError>;
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
    /// The broker refused it: at least one of its queues does not have it.
    #[error("the broker refused the message")]
    Refused,
    /// There was no answer by the deadline, or the connection was lost: it may or may not arrive.
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
    /// The endpoint is closed.
    #[error("the endpoint is closed")]
    Closed,
}

/// Why a stop is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StopError {
    /// The callback in hand took until the deadline; it is the last.
    #[error("the callback did not return by the deadline")]
    Deadline,
}
