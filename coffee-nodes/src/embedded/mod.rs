//! The embedded engine: a topology's nodes on threads of this process, over the in-process broker. No services, and
//! the same nodes, runner, frames and middleware as a cluster has.
//!
//! ```text
//! feeder threads: chunks -> EntryNode --frames--> queues -> one thread a shard or replica -> ... -> client queue -> caller
//! ```

mod collect;
mod engine;
mod feed;

pub(crate) use collect::Results;
pub use collect::{CollectError, Outcome, Piece, Report, RowsError};
pub use engine::{Embedded, EmbeddedError};
