//! What sources are fed with: data that is cut into chunks, from any place between two of them on.

mod once;
mod rows;
mod table;
mod text;

pub(crate) use once::OnceFeed;
pub(crate) use rows::RowsFeed;
pub(crate) use text::TextFeed;

use std::sync::Arc;

use coffee_core::codec::EncodeError;

use crate::{
    input::{InputError, LINE_LIMIT},
    job::{Place, TableManifest},
};

/// The data of one source.
///
/// Laws:
/// - the chunks behind a place are the same each time, however often it was begun there or before;
/// - a chunk is never empty, never of two files, and whole rows or lines of its [`Source`](coffee_core::source::Source);
/// - its [`Position`] names a file of the manifest, with that file's header, and a line from 1 on;
/// - lines and offsets stay below 2^53;
/// - where there is a manifest, all chunks of its size fit: none has more bytes, and all together have no more than its files.
///
/// A cluster refuses chunks of another file than the manifest's, of line 0, or above its size or bytes, and reads each with the header that its
/// file has in the manifest. What it can't see, such as other rows behind the same place, makes the answer a wrong one.
pub trait Feed: Send + Sync {
    /// Describes the data before any of it is sent: enough to see later whether it is still the same. May go through all of it.
    /// The table's name is the source's; it has at least a file wherever there are chunks. Names take up to 4 KiB, a header line
    /// 64 KiB, a job 16,384 tables and files.
    ///
    /// # Errors
    /// Where it can't be read, not be read again, or not be cut into such chunks.
    fn manifest(&self, chunk_bytes: u32) -> Result<TableManifest, FeedError>;

    /// The chunks from a place on, each of at most so many bytes; a row or line that is longer is a chunk by itself, which only a job
    /// in this process takes. The default place is the beginning, and every other one is a [`Position::next`] of earlier chunks, with
    /// the same bytes of a chunk.
    ///
    /// # Errors
    /// Where it can't be read again.
    fn chunks(&self, chunk_bytes: usize, from: Place) -> Result<Box<dyn Chunks + '_>, FeedError>;

    /// How many bytes it has, for showing progress; 0 where that is not known.
    fn bytes(&self) -> u64;
}

/// Yields a source's chunks in order.
pub trait Chunks: Send {
    /// Appends the next chunk to `buffer`, behind what is in it; `None` at the end.
    ///
    /// # Errors
    /// Where it can't be read or encoded; `buffer` is then not to be used.
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Position>, FeedError>;
}

/// Where a chunk stands in its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where it begins: its file, and the number of its first line or row, counted from 1.
    pub at: Place,
    /// Where the next one does.
    pub next: Place,
    /// The header line of its file, without its LF, as the manifest has it; empty where there is none.
    pub header: Arc<[u8]>,
    /// How many bytes of the source are read so far.
    pub bytes: u64,
}

/// Why data can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// A file.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A row can't be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A row is encoded by no bytes: so many of them could not be told from none.
    #[error("source {0:?}: a row without any content can't be sent")]
    NoContent(String),
    /// A row or line is larger than a chunk.
    #[error("source {name:?}: row {row} has {bytes} bytes, and a chunk has {chunk_bytes}")]
    TooLarge {
        /// The source.
        name: String,
        /// Which row or line, counted from 1.
        row: u64,
        /// Its bytes.
        bytes: usize,
        /// The most bytes of a chunk.
        chunk_bytes: u32,
    },
    /// A header line that no manifest can hold.
    #[error("source {name:?}: the header line has {bytes} bytes, more than {most}", most = LINE_LIMIT)]
    HeaderTooLong {
        /// The source.
        name: String,
        /// Its bytes.
        bytes: usize,
    },
    /// Rows that can be gone through once, and were.
    #[error("source {0:?}: its rows can't be read again")]
    Once(String),
}
