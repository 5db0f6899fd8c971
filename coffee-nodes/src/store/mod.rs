//! What outlives a node's process: redb files, each of one process at a time.

mod file;
mod journal;
pub(crate) mod pieces;
mod unsynced;

pub(crate) use file::{FileError, Format, StoreFile};
pub use journal::Journal;
