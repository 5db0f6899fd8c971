//! Calls to objects by id, wherever they are: each lives in one [`Host`], and may move to another
//! while calls to it go on.
//!
//! Hosts that share an exchange are one space of objects: each host binds its queue by the ids of its
//! objects, so a call goes to the owner. When an object moves, its state and the replies that are kept
//! for repetitions go along; the new owner is bound before the old one is unbound, and the old one
//! passes on what still comes to it. Repetitions are known wherever they arrive, so all calls are
//! executed [`AtMostOnce`](super::Semantics::AtMostOnce).
//!
//! ```
//! use std::time::{Duration, Instant};
//! use coffee_mom::{Name, open, rpc::{NoError, objects}};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Counter(u64);
//!
//! impl objects::Object for Counter {
//!     type Request = u64;
//!     type Response = u64;
//!     type Error = NoError;
//!
//!     fn call(&mut self, add: u64) -> Result<u64, NoError> {
//!         self.0 += add;
//!         Ok(self.0)
//!     }
//! }
//!
//! let soon = Instant::now() + Duration::from_secs(5);
//! let broker = open("memory:", soon)?;
//! let space = Name::new("counters")?;
//! let here = objects::Host::<Counter>::start(broker.clone(), &space, objects::HostOptions::default())?;
//! let there = objects::Host::<Counter>::start(broker.clone(), &space, objects::HostOptions::default())?;
//! here.insert("visits", Counter(0), soon)?;
//!
//! let client = objects::Client::<Counter>::new(broker, &space, Default::default())?;
//! assert_eq!(client.call("visits", &2, soon)?, 2);
//! here.move_to("visits", there.address(), soon)?;
//! assert_eq!(client.call("visits", &3, soon)?, 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod error;
#[cfg(feature = "fuzzing")]
pub(in crate::rpc) mod fuzzing;
mod host;
mod keeper;
mod moves;
mod place;
mod transfer;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use client::Client;
pub use error::{InsertError, MoveError};
pub use host::{Host, HostOptions};

/// A state that is called by its id. It travels by serde when it moves.
pub trait Object: Serialize + DeserializeOwned + Send + 'static {
    /// What it is asked.
    type Request: Serialize + DeserializeOwned;
    /// What it answers.
    type Response: Serialize + DeserializeOwned;
    /// Why it may not.
    type Error: Serialize + DeserializeOwned;

    /// Executes one call; calls of one object follow one another. A panic is answered by an error, and
    /// the object stays as the panic has left it.
    ///
    /// # Errors
    /// Those of the object; they travel to the caller.
    fn call(&mut self, request: Self::Request) -> Result<Self::Response, Self::Error>;
}
