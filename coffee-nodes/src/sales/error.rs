//! What can go wrong with a run of the queries.

use std::{
    io,
    path::{Path, PathBuf},
};

use coffee_core::{
    csv::HeaderError,
    exec::{ExecError, ScratchError},
    node::NodeError,
    plan::{PlacementError, PlanError},
    sales::QueryError,
};

use super::Summary;
use crate::{
    client::ClientError,
    embedded::EmbeddedError,
    feed::FeedError,
    input::InputError,
    job::JobError,
    runner::{RunnerError, TransportError},
};

/// Why a run has no answers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SalesError {
    /// Parameters that make no sense.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// No query is asked for.
    #[error("no query is asked for")]
    NoQuery,
    /// The placement does not fit.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The plan does not hold together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Input that can't be read, found before any work.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Input that can't be read to its end, or not a second time: found in the work.
    #[error(transparent)]
    Read(InputError),
    /// A file without a column that is needed.
    #[error("{path}: {error}", path = path.display())]
    Header {
        /// Which file.
        path: PathBuf,
        /// What it lacks.
        error: HeaderError,
    },
    /// The folder for the results can't be written to.
    #[error("{path}: the results can't be written there: {error}", path = path.display())]
    Out {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A result file can't be written.
    #[error("{path}: the file can't be written: {error}", path = path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A row was rejected in a strict run.
    #[error("{file}, line {line}: {what} (rejected rows fail a strict run)")]
    Rejected {
        /// Which file of which table.
        file: String,
        /// Which line.
        line: u64,
        /// The column, where one is meant, and the reason.
        what: String,
    },
    /// Interrupted.
    #[error("interrupted")]
    Interrupted,
    /// The data does not fit the plan.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The engine failed.
    #[error("the run failed: {0}")]
    Engine(#[source] Box<EmbeddedError>),
    /// The cluster can't be reached, refuses, or gave the job up.
    #[error(transparent)]
    Client(Box<ClientError>),
    /// Some results of the job can't be had, though others can.
    #[error("not all results can be had: {}", .0.reasons())]
    NoResult(Box<Summary>),
}

impl SalesError {
    /// Whether it was found before any work: bad usage or bad input, for which there is an exit code of its own.
    pub fn is_before_work(&self) -> bool {
        match self {
            SalesError::Client(error) => error.is_bad_request(),
            SalesError::Read(_)
            | SalesError::Write { .. }
            | SalesError::Rejected { .. }
            | SalesError::Interrupted
            | SalesError::Engine(_)
            | SalesError::NoResult(_) => false,
            _ => true,
        }
    }
}

impl From<EmbeddedError> for SalesError {
    fn from(error: EmbeddedError) -> Self {
        match error {
            EmbeddedError::Interrupted => SalesError::Interrupted,
            EmbeddedError::Result(error) => match error.downcast::<SalesError>() {
                Ok(error) => *error,
                Err(error) => SalesError::Engine(Box::new(EmbeddedError::Result(error))),
            },
            other => SalesError::Engine(Box::new(other)),
        }
    }
}

impl From<ClientError> for SalesError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Interrupted => SalesError::Interrupted,
            ClientError::Feed(FeedError::Input(error)) => SalesError::Read(error),
            ClientError::Event(error) => match error.downcast::<SalesError>() {
                Ok(error) => *error,
                Err(error) => SalesError::Client(Box::new(ClientError::Event(error))),
            },
            ClientError::Job(error) => error.into(),
            other => SalesError::Client(Box::new(other)),
        }
    }
}

/// What an engine's error says of the input, where it is about that.
pub(super) enum About {
    Rejected(String, Box<coffee_core::rejection::Rejection>),
    Other(SalesError),
}

pub(super) fn about(error: EmbeddedError, scratch: &Path) -> About {
    match error {
        EmbeddedError::Node { thread, error } => match *error {
            RunnerError::Node(NodeError::Rejected { source_name, rejection }) => {
                About::Rejected(source_name, rejection)
            }
            RunnerError::Transport(TransportError::Feed(FeedError::Input(error))) => {
                About::Other(SalesError::Read(error))
            }
            RunnerError::Node(NodeError::Exec(ExecError::Scratch(ScratchError(error)))) => {
                About::Other(SalesError::Write { path: scratch.to_owned(), error })
            }
            other => About::Other(SalesError::Engine(Box::new(EmbeddedError::Node { thread, error: Box::new(other) }))),
        },
        EmbeddedError::Transport(TransportError::Stopped) => About::Other(SalesError::Interrupted),
        other => About::Other(other.into()),
    }
}
