//! What outlives a node's process: redb files, each of one process at a time.

mod attempts;
mod file;
mod journal;
pub(crate) mod pieces;
mod unsynced;

pub use attempts::{Attempts, Work};
pub(crate) use file::{FileError, Format, StoreFile};
pub use journal::Journal;
