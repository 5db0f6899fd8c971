//! From a URL to a broker.

use std::sync::Arc;

use thiserror::Error;

use crate::broker::Broker;
use crate::memory::MemoryBroker;
use crate::name::{Name, NameError};

/// Opens a connection to the broker that a URL names.
///
/// - `memory:` is a new in-process broker that nobody else sees.
/// - `memory:NAME` is the in-process broker of that name, shared by all of this process that open
///   it while any of them is connected.
///
/// Does not block.
///
/// # Errors
/// [`OpenError`]. Its text never holds more of the URL than the scheme: the rest may be a secret.
pub fn open(url: &str) -> Result<Arc<dyn Broker>, OpenError> {
    let (scheme, rest) = url.split_once(':').ok_or(OpenError::NoScheme)?;
    match scheme {
        "memory" if rest.is_empty() => Ok(Arc::new(MemoryBroker::new())),
        "memory" => Ok(Arc::new(MemoryBroker::named(&Name::new(rest)?))),
        _ => Err(OpenError::UnknownScheme(scheme.to_owned())),
    }
}

/// Why a URL leads to no broker.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A URL begins with a scheme and a colon.
    #[error("the broker's URL has no scheme, like memory:")]
    NoScheme,
    /// No broker is known by that scheme.
    #[error("no broker is known for {0}: URLs, only for memory:")]
    UnknownScheme(String),
    /// The name of the in-process broker is not valid.
    #[error("the in-process broker's name is not valid")]
    Name(#[from] NameError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{DeleteOptions, QueueSpec};

    fn holds(broker: &dyn Broker, queue: &Name) -> bool {
        broker.queue_status(queue).is_ok()
    }

    #[test]
    fn named_brokers_are_shared_while_someone_is_connected() {
        let queue = Name::new("q").unwrap();
        let one = open("memory:open-shared").unwrap();
        let two = open("memory:open-shared").unwrap();
        one.declare_queue(&QueueSpec::named(queue.clone())).unwrap();
        assert!(holds(two.as_ref(), &queue));
        assert!(!holds(open("memory:").unwrap().as_ref(), &queue));
        drop(one);
        assert!(holds(two.as_ref(), &queue));
        two.delete_queue(&queue, DeleteOptions::default()).unwrap();
        two.declare_queue(&QueueSpec::named(queue.clone())).unwrap();
        drop(two);
        assert!(!holds(open("memory:open-shared").unwrap().as_ref(), &queue));
    }

    #[test]
    fn other_urls_are_refused_without_repeating_their_secrets() {
        let refused = open("amqp://user:secret@host").err().unwrap();
        assert_eq!(refused, OpenError::UnknownScheme("amqp".into()));
        assert!(!refused.to_string().contains("secret"));
        assert_eq!(open("memory").err(), Some(OpenError::NoScheme));
    }
}
