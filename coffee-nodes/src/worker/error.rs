//! Why a worker node ends before it is asked to.

use coffee_mom::NameError;

use crate::{
    cluster::{JoinError, ListenError},
    runner::{RunnerError, StoreError, TransportError},
};

/// A worker node can't go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The placement has no such stage, or it is hosted by the gateways.
    #[error("the placement has no stage {0:?} that runs as a node of its own")]
    NoStage(String),
    /// The stage has fewer shards.
    #[error("stage {stage:?} has {shards} shards: there is no shard {shard}")]
    NoShard {
        /// The stage.
        stage: String,
        /// The shard that was asked for.
        shard: u16,
        /// How many there are, counted from 0.
        shards: u16,
    },
    /// The cluster can't be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A name that no broker takes.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It can't hear the other replicas.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system gives no thread.
    #[error("a thread can't be started")]
    Thread(#[source] std::io::Error),
    /// Its queue can't be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Its state can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It failed while it ran.
    #[error(transparent)]
    Runner(#[from] RunnerError),
}

/// A stop is no error: what was not acked comes again.
pub(super) fn unless_stopped(result: Result<(), RunnerError>) -> Result<(), WorkerError> {
    match result {
        Err(RunnerError::Transport(TransportError::Stopped)) => Ok(()),
        other => Ok(other?),
    }
}
