//! What outlives a node's process: redb files, each of one process at a time.

mod attempts;
#[cfg(test)]
pub(crate) mod damage;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod journal;
mod ledger;
mod passing;
pub(crate) mod pieces;
mod unsynced;

pub use attempts::{Attempts, Work};
pub(crate) use file::{FileError, Format, StoreFile};
pub use journal::Journal;
pub(crate) use passing::is_passing;
