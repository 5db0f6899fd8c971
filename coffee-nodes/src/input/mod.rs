//! A table's files and their chunks: what is on disk, cut at line ends, with every line's number kept.
//! Nothing here knows columns, rows or messages: headers are handed on as they are, and so is every line but an
//! overlong one.

mod chunker;
mod cut;
mod error;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub mod lines;
mod manifest;
mod table;
#[cfg(test)]
mod testing;

pub use chunker::Chunker;
pub use cut::ChunkInfo;
pub use error::InputError;
pub(crate) use file::is_compressed;
pub use table::{Table, TableFile};

/// A line, its end not counted, is at most this many bytes (64 KiB); longer ones can't be read.
pub const LINE_LIMIT: usize = coffee_core::csv::MAX_LINE;
