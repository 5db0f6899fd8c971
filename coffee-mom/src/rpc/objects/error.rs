//! Why an object is not where it should be.

use thiserror::Error;

use crate::broker::BindError;
use crate::name::NameError;
use crate::producer::{PublishError, Refusal};
use crate::rpc::codec::CodecError;

/// Why an object was not inserted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The host has an object of that id, or is moving one.
    #[error("the host has an object of that id")]
    Exists,
    /// The id is too long.
    #[error("the id is not valid")]
    Id(#[from] NameError),
    /// Calls can't be led to the host; the object was not inserted.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The host was busy until the deadline: the object may be inserted, or may still be.
    #[error("the host gave no answer by the deadline")]
    Deadline,
    /// The host is stopped.
    #[error("the host is stopped")]
    Closed,
}

/// Why an object has not moved, or may not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The object is not here; nothing is done.
    #[error("the host has no such object")]
    UnknownObject,
    /// The object is moving to another host; that goes on.
    #[error("the object is moving to another host")]
    Moving,
    /// The object has no bytes; it stays here.
    #[error("the object can't be encoded")]
    Encode(#[from] CodecError),
    /// The object can't be sent, as it is larger than a message may be; it stays here.
    #[error("the object can't be sent")]
    Publish(#[from] PublishError),
    /// The broker refused the object; it stays here.
    #[error("the broker refused the object")]
    Refused(#[from] Refusal),
    /// There is no such host; the object stays here.
    #[error("there is no such host")]
    Unroutable,
    /// The other host can't read the object; it stays here.
    #[error("the other host can't decode the object")]
    Undecodable,
    /// The host was busy with other calls until the deadline: nothing is done.
    #[error("the host took no order by the deadline")]
    Busy,
    /// The other host gave no answer by the deadline. It may have the object, so no call is executed here:
    /// the host goes on asking, and calls wait, until there is an answer. Move it again to the same
    /// host to wait for that.
    #[error("the other host gave no answer by the deadline")]
    InDoubt,
    /// The host is stopped.
    #[error("the host is stopped")]
    Closed,
}
