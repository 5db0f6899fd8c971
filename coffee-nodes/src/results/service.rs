//! The calls to the results node.

use std::sync::Arc;

use coffee_core::frame::JobId;
use coffee_mom::{
    Broker,
    rpc::{Server, ServerOptions},
};

use super::{ResultsNodeError, ResultsStore};
use crate::{
    Stop,
    cluster::{Names, ResultsError, ResultsReply, ResultsRequest, serve_alone},
    job::now_ms,
    runner::StoreError,
};

/// Threads that answer. Pieces come from memory mostly, and the broker is slower than that.
const WORKERS: usize = 2;

/// Starts to answer calls from the store; a job that `may_live` and of which nothing is there is one that has no result yet.
pub(super) fn serve(
    broker: &Arc<dyn Broker>,
    names: &Names,
    store: Arc<ResultsStore>,
    may_live: impl Fn(JobId) -> bool + Send + Sync + 'static,
    stop: &Stop,
) -> Result<Server, ResultsNodeError> {
    let answer = move |request| answer(&store, &may_live, &request);
    Ok(serve_alone(broker, names.results()?, &ServerOptions::default().workers(WORKERS), stop, answer)?)
}

fn answer(
    store: &ResultsStore,
    may_live: &impl Fn(JobId) -> bool,
    request: &ResultsRequest,
) -> Result<ResultsReply, ResultsError> {
    let (job, found) = match *request {
        ResultsRequest::Piece { job, port, number } => (job, store.piece(job, port, number)),
        ResultsRequest::Counts { job } => (job, store.counts(job)),
        ResultsRequest::Taken { job } => {
            (job, store.taken(job, now_ms()).map(|known| known.then_some(ResultsReply::Noted)))
        }
    };
    match found.map_err(|error: StoreError| ResultsError::Store(error.to_string()))? {
        Some(reply) => Ok(reply),
        None if may_live(job) => Ok(ResultsReply::NotYet),
        None => Err(ResultsError::UnknownJob(job)),
    }
}
