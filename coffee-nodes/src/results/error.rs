//! Why a results node ends before it is asked to.

use coffee_mom::{AttachError, ConsumerEnd, NameError, rpc::SetupError};

use crate::{
    cluster::{JoinError, ListenError},
    runner::{StoreError, TransportError},
    worker::WorkerError,
};

/// A results node can't go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultsNodeError {
    /// A name that no broker takes.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The cluster can't be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The control exchange can't be declared.
    #[error(transparent)]
    Control(#[from] ListenError),
    /// The broker gives no producer.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// Calls can't be served: another results node serves this cluster, or the broker refuses.
    #[error("calls can't be served")]
    Serve(#[from] SetupError),
    /// A stage's queue can't be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The results can't be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stage failed.
    #[error(transparent)]
    Stage(#[from] WorkerError),
    /// The system gives no thread.
    #[error("a thread can't be started")]
    Thread(#[from] std::io::Error),
    /// Nothing comes to its queue of calls any more, though nobody has stopped it.
    #[error("calls can't be served any more")]
    Unserved(#[source] ConsumerEnd),
    /// A thread has ended though nobody has stopped it.
    #[error("the thread {0:?} ended by itself")]
    Ended(String),
    /// A thread panicked, which it told on stderr.
    #[error("a thread panicked")]
    Panicked,
}
