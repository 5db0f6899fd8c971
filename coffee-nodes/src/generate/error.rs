//! Why no data set, or not all of one, was generated.

use std::io;
use std::path::PathBuf;

use super::{MOST_ROWS, Month};

/// Why no data set, or not all of one, was generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// No month is asked for.
    #[error("a data set needs at least one month")]
    NoMonth,
    /// A month is asked for twice: its files would have the same names.
    #[error("the month {month} is named twice")]
    RepeatedMonth {
        /// The month.
        month: Month,
    },
    /// More rows than [`MOST_ROWS`] are asked for.
    #[error("{rows} rows are more than {MOST_ROWS}")]
    TooMany {
        /// How many rows of one file are asked for.
        rows: u64,
    },
    /// The folder has something in it, which is not overwritten.
    #[error("the folder {path:?} is not empty; name a new or an empty one")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder can't be made or looked into.
    #[error("the folder {path:?} can't be used: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file can't be written; what was written before is still there.
    #[error("the file {path:?} can't be written: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}
