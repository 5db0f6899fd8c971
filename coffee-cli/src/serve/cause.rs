//! What the closing of a node's broker has to do with an error that came after it.

use std::{error::Error, io, iter};

use coffee_mom::{AckError, AttachError, ConnectionError, ConsumerEnd, PublishError, rpc::CallError};
use coffee_nodes::cluster::QueryError;

/// Where an error comes from, as far as its chain of causes shows. It need not show the closing: an error that is passed on
/// as it is hides its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The broker is closed.
    Closing,
    /// The disk, a socket or the system: the broker has nothing to do with it.
    Machine,
    /// It can't be told.
    Unknown,
}

/// Where an error comes from.
pub fn cause_of(error: &(dyn Error + 'static)) -> Cause {
    let mut chain = iter::successors(Some(error), |&error| error.source());
    if chain.clone().any(|error| error.is::<io::Error>()) {
        Cause::Machine
    } else if chain.any(is_closing) {
        Cause::Closing
    } else {
        Cause::Unknown
    }
}

fn is_closing(error: &(dyn Error + 'static)) -> bool {
    let gone = |error: &ConnectionError| matches!(error, ConnectionError::Closed | ConnectionError::Deadline);
    error.downcast_ref().is_some_and(gone)
        || error.downcast_ref().is_some_and(|error| matches!(error, AttachError::Connection(error) if gone(error)))
        || error.downcast_ref().is_some_and(|error| matches!(error, PublishError::Closed))
        || error.downcast_ref().is_some_and(|error| matches!(error, AckError::Ended(_) | AckError::Stale))
        || error.downcast_ref().is_some_and(|error| matches!(error, CallError::<QueryError>::Closed))
        || error
            .downcast_ref()
            .is_some_and(|error| matches!(error, ConsumerEnd::Closed | ConsumerEnd::ConnectionClosed))
}

#[cfg(test)]
mod tests {
    use coffee_nodes::{
        cluster::QueryCallError,
        runner::{RunnerError, StoreError, TransportError},
        worker::WorkerError,
    };

    use super::*;

    #[test]
    fn a_full_disk_is_not_forgiven_for_a_closed_broker() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let store = StoreError { what: "the journal can't be written".into(), source: full.into() };
        assert_eq!(cause_of(&WorkerError::Runner(RunnerError::Store(store))), Cause::Machine);

        let transport = |error: TransportError| WorkerError::Runner(error.into());
        assert_eq!(cause_of(&transport(PublishError::Closed.into())), Cause::Closing);
        assert_eq!(cause_of(&transport(AckError::Ended(ConsumerEnd::ConnectionClosed).into())), Cause::Closing);
        assert_eq!(cause_of(&transport(AttachError::Connection(ConnectionError::Closed).into())), Cause::Closing);
        let call = QueryCallError::Unreachable(CallError::Closed);
        let jobs = RunnerError::Jobs { what: "asking".into(), source: call.into() };
        assert_eq!(cause_of(&WorkerError::Runner(jobs)), Cause::Closing);

        assert_eq!(cause_of(&transport(PublishError::WindowFull.into())), Cause::Unknown);
        assert_eq!(cause_of(&WorkerError::NoStage("reader".into())), Cause::Unknown);
    }
}
