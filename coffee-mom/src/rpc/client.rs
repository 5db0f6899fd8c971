//! The typed end of a caller.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::broker::Broker;
use crate::middleware::StopError;
use crate::name::Name;
use crate::route::Route;

use super::Semantics;
use super::caller::{Answer, Call, Caller};
use super::codec::{decode, encode};
use super::error::{CallError, NoError, SetupError};
use super::wire::Status;

/// What a client is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// What it promises about repetition.
    pub semantics: Semantics,
    /// Most calls at a time; others wait for their turn. At least 1.
    pub calls: usize,
    /// How long it waits for a reply before it sends a request again; brought up to a millisecond. Each
    /// time twice as long, up to 32 times.
    pub retry: Duration,
    /// How long its making may take.
    pub setup: Duration,
}

impl Default for ClientOptions {
    /// At least once, 256 calls at a time, again after a quarter of a second, 30 seconds to be made.
    fn default() -> Self {
        Self {
            semantics: Semantics::default(),
            calls: 256,
            retry: Duration::from_millis(250),
            setup: Duration::from_secs(30),
        }
    }
}

impl ClientOptions {
    /// Sets what it promises about repetition.
    #[must_use]
    pub fn semantics(mut self, semantics: Semantics) -> Self {
        self.semantics = semantics;
        self
    }

    /// Sets the most calls at a time.
    #[must_use]
    pub fn calls(mut self, most: usize) -> Self {
        self.calls = most;
        self
    }

    /// Sets the pause before a request is sent again.
    #[must_use]
    pub fn retry(mut self, pause: Duration) -> Self {
        self.retry = pause;
        self
    }

    /// Sets how long its making may take.
    #[must_use]
    pub fn setup(mut self, limit: Duration) -> Self {
        self.setup = limit;
        self
    }
}

/// What a client has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Requests that were sent again.
    pub retries: u64,
    /// Replies that nobody waited for: late ones, second ones, and what is no reply. They are dropped.
    pub unclaimed: u64,
}

/// Calls the server of one queue, with a value of type `Req`. The result is a `Resp`, or the error `E`
/// of the server's handler.
///
/// Any number of threads may call at once. One thread of its own sends and receives for all of them,
/// by one anonymous queue of replies. Dropping it closes it, and waits at most five seconds
/// for that thread.
pub struct Client<Req, Resp, E = NoError> {
    caller: Caller,
    to: Route,
    types: PhantomData<fn(Req) -> Result<Resp, E>>,
}

impl<Req: Serialize, Resp: DeserializeOwned, E: DeserializeOwned> Client<Req, Resp, E> {
    /// A client of the server that takes requests from `queue`, which need not be there yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(broker: Arc<dyn Broker>, queue: &Name, options: ClientOptions) -> Result<Self, SetupError> {
        let caller = Caller::start(broker, queue.as_str(), &options)?;
        Ok(Self { caller, to: Route::queue(queue), types: PhantomData })
    }

    /// Calls, and waits for the result, until `deadline` at most. How often the handler is executed is
    /// promised by the client's [`Semantics`].
    ///
    /// # Errors
    /// [`CallError`]; each says whether the call may have been executed.
    pub fn call(&self, request: &Req, deadline: Instant) -> Result<Resp, CallError<E>> {
        let body = Bytes::from(encode(request).map_err(CallError::Encode)?);
        result(self.caller.call(Call { to: self.to.clone(), object: None, body, deadline }))
    }

    /// What it has seen so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        stats(&self.caller)
    }

    /// Ends its thread, and deletes its queue. Calls that wait, and later ones, fail as
    /// [`CallError::Closed`]. Blocks until `deadline` at most.
    ///
    /// # Errors
    /// [`StopError`]; it is closed all the same.
    pub fn close(&self, deadline: Instant) -> Result<(), StopError> {
        self.caller.close(deadline)
    }
}

pub(super) fn stats(caller: &Caller) -> ClientStats {
    let counts = &caller.counts;
    ClientStats { retries: counts.retries.load(Ordering::Relaxed), unclaimed: counts.unclaimed.load(Ordering::Relaxed) }
}

/// What the caller of a typed call gets.
pub(super) fn result<Resp: DeserializeOwned, E: DeserializeOwned>(answer: Answer) -> Result<Resp, CallError<E>> {
    let (status, body) = answer.map_err(without_handler)?;
    Err(match status {
        Status::Done => return decode(&body).map_err(CallError::Reply),
        Status::Failed => decode(&body).map_or_else(CallError::Reply, CallError::Handler),
        Status::Panicked => CallError::Panicked,
        Status::Undecodable => CallError::Undecodable,
        Status::Unsendable => CallError::Unsendable,
        Status::Forgotten => CallError::Forgotten,
        Status::Unsupported => CallError::Unsupported,
        Status::UnknownObject => CallError::UnknownObject,
    })
}

/// The same error, of a call whose handler has errors.
fn without_handler<E>(error: CallError<NoError>) -> CallError<E> {
    match error {
        CallError::Handler(never) => match never {},
        CallError::Busy => CallError::Busy,
        CallError::Publish(error) => CallError::Publish(error),
        CallError::Refused(refusal) => CallError::Refused(refusal),
        CallError::Unroutable => CallError::Unroutable,
        CallError::Closed => CallError::Closed,
        // The caller knows no others.
        _ => CallError::Timeout,
    }
}
