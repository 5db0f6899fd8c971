//! From a URL to a broker.

use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;

use crate::broker::Broker;
use crate::memory::MemoryBroker;
use crate::name::{Name, NameError};
use crate::rabbitmq::{ConnectError, RabbitBroker, RabbitConfig, UrlError};

/// Opens a connection to the broker that a URL names.
///
/// - `memory:` is a new in-process broker that nobody else sees.
/// - `memory:NAME` is the in-process broker of that name, shared by all of this process that open
///   it while any of them is connected.
///
/// - `amqp://USER:PASSWORD@HOST:PORT/VHOST` and `amqps://...` are a RabbitMQ, as
///   [`RabbitConfig::from_url`](crate::RabbitConfig::from_url) has it.
///
/// Blocks until the broker has answered, `deadline` at most; tries again meanwhile.
///
/// # Errors
/// [`OpenError`]. Its text never holds more of the URL than the scheme: the rest may be a secret.
pub fn open(url: &str, deadline: Instant) -> Result<Arc<dyn Broker>, OpenError> {
    let (scheme, rest) = url.split_once(':').ok_or(OpenError::NoScheme)?;
    match scheme {
        "memory" if rest.is_empty() => Ok(Arc::new(MemoryBroker::new())),
        "memory" => Ok(Arc::new(MemoryBroker::named(&Name::new(rest)?))),
        "amqp" | "amqps" => Ok(Arc::new(RabbitBroker::connect(RabbitConfig::from_url(url)?, deadline)?)),
        _ => Err(OpenError::UnknownScheme(scheme.to_owned())),
    }
}

/// Why a URL leads to no broker.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A URL begins with a scheme and a colon.
    #[error("the broker's URL has no scheme, like memory:")]
    NoScheme,
    /// No broker is known by that scheme.
    #[error("no broker is known for {0}: URLs, only for memory:, amqp: and amqps:")]
    UnknownScheme(String),
    /// The name of the in-process broker is not valid.
    #[error("the in-process broker's name is not valid")]
    Name(#[from] NameError),
    /// The URL of RabbitMQ is not valid.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// RabbitMQ could not be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topology::{DeleteOptions, QueueSpec};

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn holds(broker: &dyn Broker, queue: &Name) -> bool {
        broker.queue_status(queue, soon()).is_ok()
    }

    #[test]
    fn named_brokers_are_shared_while_someone_is_connected() {
        let queue = Name::new("q").unwrap();
        let one = open("memory:open-shared", soon()).unwrap();
        let two = open("memory:open-shared", soon()).unwrap();
        one.declare_queue(&QueueSpec::named(queue.clone()), soon()).unwrap();
        assert!(holds(two.as_ref(), &queue));
        assert!(!holds(open("memory:", soon()).unwrap().as_ref(), &queue));
        drop(one);
        assert!(holds(two.as_ref(), &queue));
        two.delete_queue(&queue, DeleteOptions::default(), soon()).unwrap();
        two.declare_queue(&QueueSpec::named(queue.clone()), soon()).unwrap();
        drop(two);
        assert!(!holds(open("memory:open-shared", soon()).unwrap().as_ref(), &queue));
    }

    #[test]
    fn bad_urls_are_refused_without_repeating_their_secrets() {
        let refused = |url| open(url, soon()).err().unwrap();
        assert!(matches!(refused("memory"), OpenError::NoScheme));
        for url in ["amq://user:secret@host", "amqp://user:sec:ret@ho st", "amqp://secret@host/a/b", "amqps://secret:x"]
        {
            let error = refused(url);
            assert!(!format!("{error} {error:?}").contains("secret"), "{url}");
        }
        assert!(matches!(refused("amq:x"), OpenError::UnknownScheme(scheme) if scheme == "amq"));
    }
}
