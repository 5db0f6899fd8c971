//! Remote calls over any broker: typed stubs, deadlines, and the promise about repetition by choice.
//!
//! A [`Server`] takes requests of one queue, and a [`Client`] sends them there and waits for the replies
//! in a queue of its own. [`objects`] are servers of many small states that move from one to another.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use coffee_mom::{Name, QueueSpec, open, rpc};
//!
//! let soon = Instant::now() + Duration::from_secs(5);
//! let broker = open("memory:", soon)?;
//! let queue = QueueSpec::named(Name::new("double")?);
//! let double = |n: u32| n.checked_mul(2).ok_or("too large".to_owned());
//! let server = rpc::Server::start(broker.clone(), &queue, rpc::ServerOptions::default(), double)?;
//!
//! let client = rpc::Client::<u32, u32, String>::new(broker, server.queue(), rpc::ClientOptions::default())?;
//! assert_eq!(client.call(&21, soon)?, 42);
//! assert!(matches!(client.call(&u32::MAX, soon), Err(rpc::CallError::Handler(text)) if text == "too large"));
//! server.stop(soon)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod caller;
mod client;
mod codec;
mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod inbox;
pub mod objects;
mod outbox;
mod serve;
mod server;
mod table;
mod task;
mod wire;
mod work;

pub use client::{Client, ClientOptions, ClientStats};
pub use codec::CodecError;
pub use error::{CallError, NoError, SetupError};
pub use server::{Server, ServerOptions, ServerStats};
pub use table::Limits;

/// What a client promises about how often a call is executed.
///
/// Ok always means: executed, once or more. What is known after an `Err`, its [`CallError`] says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Semantics {
    /// It is sent once. Executed once or not at all, or twice if the broker repeats the request after a
    /// lost connection. The cheapest; for calls that only read.
    Maybe,
    /// It is sent again until there is a reply. Executed once or more; an `Err` at the deadline may still
    /// be not at all. A server that dies in the middle leaves the request to the next. For calls that
    /// do no harm when they are repeated.
    #[default]
    AtLeastOnce,
    /// It is sent again until there is a reply, and the server keeps replies to know repetitions by.
    /// Executed once or not at all as long as one server serves the queue, and within its [`Limits`]. A
    /// repetition past those of replies is answered by [`CallError::Forgotten`]. Past that of
    /// callers the server knows nothing of the caller that it has forgotten, and executes its
    /// repetition again.
    ///
    /// What a server has kept ends with it. If it dies after executing and before its reply arrives, and
    /// another takes the queue over before the deadline, the call may be executed there once more:
    /// so a call is executed at most once by each server. The broker alone never brings it to
    /// another: the server acks such a request before it executes it.
    AtMostOnce,
}
