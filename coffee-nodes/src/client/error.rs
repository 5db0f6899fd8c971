//! Why a client gives up.

use std::{error::Error, io, net::SocketAddr};

use coffee_core::frame::JobId;

use crate::{
    feed::FeedError,
    job::JobError,
    wire::{Refusal, WireError},
};

/// Why a call of a client has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The options name no gateway.
    #[error("no gateway is named")]
    NoGateway,
    /// The last gateway that was tried, and why that failed; the others are no better.
    #[error("gateway {gateway}: {error}")]
    Gateway {
        /// Its address.
        gateway: String,
        /// What happened there.
        #[source]
        error: Box<ClientError>,
    },
    /// The connection is of no more use.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A gateway's address can't be looked up.
    #[error("the address can't be looked up: {0}")]
    Address(#[source] io::Error),
    /// A token is sent over no connection that others may listen to.
    #[error("the token would go to {0} without TLS, for all on the way to see")]
    PlainToken(SocketAddr),
    /// The cluster refuses what is asked.
    #[error("{text}")]
    Refused {
        /// Why.
        code: Refusal,
        /// Why, in words.
        text: String,
    },
    /// The job failed: results that were not complete will not come.
    #[error("job {job} failed: {reason}")]
    Failed {
        /// The job.
        job: JobId,
        /// Why, in words.
        reason: String,
    },
    /// The job was cancelled.
    #[error("job {0} was cancelled")]
    Cancelled(JobId),
    /// Some results of the job can't be had, though others can.
    #[error("not all results can be had: {0}")]
    NoResult(String),
    /// The data can't be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The job makes no sense.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Whoever was told of an event failed.
    #[error("a result can't be kept")]
    Event(#[source] Box<dyn Error + Send + Sync>),
    /// A thread can't be started.
    #[error("a thread can't be started: {0}")]
    Thread(#[source] io::Error),
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl ClientError {
    /// Whether the request is to blame, and not what became of it.
    pub fn is_bad_request(&self) -> bool {
        match self {
            ClientError::NoGateway | ClientError::Job(_) | ClientError::PlainToken(_) => true,
            ClientError::Wire(error) => matches!(error, WireError::Files(_) | WireError::Name(_)),
            ClientError::Gateway { error, .. } => error.is_bad_request(),
            ClientError::Refused { code, .. } => {
                matches!(code, Refusal::Denied | Refusal::UnknownJob | Refusal::Differs | Refusal::Invalid)
            }
            _ => false,
        }
    }

    /// Whether it is about the certificates of the one gateway, or of the client for now: they may be being renewed.
    pub(super) fn is_distrust(&self) -> bool {
        matches!(self, ClientError::Wire(WireError::Tls(_) | WireError::Files(_)))
    }

    /// Whether another gateway, or the same one later, may do better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            ClientError::Address(_) => true,
            ClientError::Wire(error) => matches!(error, WireError::Closed | WireError::Silent | WireError::Io(_)),
            ClientError::Refused { code, .. } => {
                matches!(code, Refusal::Full | Refusal::Busy | Refusal::Unavailable)
            }
            _ => false,
        }
    }
}
