//! What can become of a call, and why there is no client or server.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::broker::{AttachError, BindError, DeclareError};
use crate::name::NameError;
use crate::producer::{PublishError, Refusal};

use super::codec::CodecError;

/// The error of handlers that never fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Error)]
pub enum NoError {}

/// Why a call has no result. `E` is the error of its handler.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The handler was executed and failed.
    #[error("the call failed")]
    Handler(E),
    /// The handler panicked: it was executed in part.
    #[error("the handler panicked")]
    Panicked,
    /// There was no reply by the deadline: it may have been executed, or may still be.
    #[error("there was no reply by the deadline")]
    Timeout,
    /// Too many other calls, or a broker without room, kept the request back until the deadline: it
    /// was not executed.
    #[error("the request could not be sent by the deadline")]
    Busy,
    /// The broker will not take the request: it was not executed.
    #[error("the request can't be sent")]
    Publish(#[from] PublishError),
    /// The broker refused the request: it was not executed.
    #[error("the broker refused the request")]
    Refused(#[from] Refusal),
    /// No queue is there for the request: it was not executed.
    #[error("nobody serves such calls")]
    Unroutable,
    /// The request has no bytes: it was not executed.
    #[error("the request can't be encoded")]
    Encode(#[source] CodecError),
    /// The server can't read the request: it was not executed.
    #[error("the server can't decode the request")]
    Undecodable,
    /// The reply is of another type: the call was executed.
    #[error("the reply can't be decoded")]
    Reply(#[source] CodecError),
    /// The reply has no bytes, or more than the broker takes: the call was executed.
    #[error("the server can't send its reply")]
    Unsendable,
    /// An earlier try of the call may have been executed, but the server does not keep its reply any
    /// more, and did not execute it again.
    #[error("the server does not remember whether it has executed the call")]
    Forgotten,
    /// The server shares its queue, so it can't promise to execute a call at most once: it did not.
    #[error("the server does not execute calls at most once")]
    Unsupported,
    /// No host knows the object: the call was not executed.
    #[error("there is no such object")]
    UnknownObject,
    /// The id of the object is too long: the call was not executed.
    #[error("the id of the object is not valid")]
    ObjectId(#[source] NameError),
    /// The client was closed, or lost its broker or its queue of replies: the call may have been executed.
    #[error("the client is closed")]
    Closed,
}

impl<E> CallError<E> {
    /// Whether the call may have been executed, in whole or in part.
    #[must_use]
    pub fn may_have_executed(&self) -> bool {
        match self {
            Self::Handler(_)
            | Self::Panicked
            | Self::Timeout
            | Self::Reply(_)
            | Self::Unsendable
            | Self::Forgotten
            | Self::Closed => true,
            Self::Busy
            | Self::Publish(_)
            | Self::Refused(_)
            | Self::Unroutable
            | Self::Encode(_)
            | Self::Undecodable
            | Self::Unsupported
            | Self::UnknownObject
            | Self::ObjectId(_) => false,
        }
    }
}

/// Why there is no client, server or host.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SetupError {
    /// A queue or an exchange could not be declared.
    #[error(transparent)]
    Declare(#[from] DeclareError),
    /// A queue could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The broker gives no consumer or no producer.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The system gives no thread.
    #[error("no thread could be started")]
    Thread(#[from] std::io::Error),
}
