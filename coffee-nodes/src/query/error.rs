//! What keeps a query node from starting.

use std::io;

use coffee_mom::{AttachError, NameError, rpc::SetupError};

use crate::{
    cluster::ListenError,
    runner::{LinksError, StoreError},
};

/// Why a query node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryNodeError {
    /// The store can't be used: another process does, it is damaged or of another version, or the disk fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name that no broker takes.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The control exchange can't be declared.
    #[error(transparent)]
    Control(#[from] ListenError),
    /// The queues of stages and dead letters can't be declared.
    #[error(transparent)]
    Links(#[from] LinksError),
    /// There is no queue of dead letters among them.
    #[error("there is no queue of dead letters")]
    Unlinked,
    /// The broker gives no producer or consumer.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// Calls can't be served: another query node serves this cluster, or the broker refuses.
    #[error("calls can't be served")]
    Serve(#[from] SetupError),
    /// The system gives no thread.
    #[error("a thread can't be started")]
    Thread(#[from] io::Error),
}
