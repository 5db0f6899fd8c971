//! Serves the calls to a node that a cluster has one of.

use std::sync::Arc;

use coffee_mom::{
    AttachError, Broker, Name, QueueSpec,
    rpc::{Server, ServerOptions, SetupError},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Stop, runner::until_free};

/// Starts to answer what comes to `queue`, alone: one that is served, mostly by an earlier life which the broker has not
/// noticed to be dead, is waited for, a minute at most and not once asked to stop.
///
/// # Errors
/// Where another goes on to serve it, or the broker refuses; nothing has been started then.
pub(crate) fn serve_alone<Request, Reply, Refusal>(
    broker: &Arc<dyn Broker>,
    queue: Name,
    options: &ServerOptions,
    stop: &Stop,
    answer: impl Fn(Request) -> Result<Reply, Refusal> + Send + Sync + 'static,
) -> Result<Server, SetupError>
where
    Request: DeserializeOwned,
    Reply: Serialize,
    Refusal: Serialize,
{
    let (queue, answer) = (QueueSpec::named(queue), Arc::new(answer));
    let in_use = |error: &SetupError| matches!(error, SetupError::Attach(AttachError::InUse(_)));
    until_free(stop, in_use, || {
        let answer = answer.clone();
        Server::start(broker.clone(), &queue, options.clone(), move |request| answer(request))
    })
}
