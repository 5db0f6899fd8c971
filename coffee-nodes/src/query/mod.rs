//! The query node: mints jobs, lets them run in turn, keeps how far they are, and sees to it that all forget those that
//! have ended (invariants 10 and 11).
//!
//! ```text
//! calls --> Server --> Keeper: Desk decides --> Store commits --> answer
//!                        ^                           `----------> Publisher --> control exchange
//!                        `-- ticks
//! ```
//! What is answered or told is kept before. A process that dies between the two is asked again, and answers the same.

mod dead_letters;
mod desk;
mod effects;
mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod keeper;
mod memory;
mod node;
mod options;
mod publisher;
mod record;
mod rules;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use error::QueryNodeError;
pub(crate) use keeper::Keeper;
pub(crate) use memory::MemoryStore;
pub use node::{QueryNode, QueryNodeEnd};
pub use options::{CheckParameters, QueryOptions};
