//! Why input could not be read.

use std::io;
use std::path::{Path, PathBuf};

use super::LINE_LIMIT;
use crate::job::Place;

/// Why a table, one of its files or a part of it could not be read. Each names the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The data folder isn't there, or is no folder.
    #[error("there is no data folder {path:?}")]
    NoDataFolder {
        /// What was looked for.
        path: PathBuf,
    },
    /// The data folder has no sub-folder for a table.
    #[error("table {table} is missing: there is no folder {path:?}")]
    NoTable {
        /// The table's name.
        table: String,
        /// What was looked for.
        path: PathBuf,
    },
    /// The table's folder holds no `.csv` or `.csv.gz` file.
    #[error("table {table} has no .csv or .csv.gz file in {path:?}")]
    NoFiles {
        /// The table's name.
        table: String,
        /// The table's folder.
        path: PathBuf,
    },
    /// A folder is there and can't be listed.
    #[error("the folder {path:?} can't be read: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file is there and can't be opened or read.
    #[error("the file {path:?} can't be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// What is named like a file is a pipe or a device.
    #[error("{path:?} is no file: pipes and devices can't be read")]
    NoFile {
        /// What it is.
        path: PathBuf,
    },
    /// A `.csv.gz` file is cut off, damaged or not gzip at all.
    #[error("the file {path:?} is no whole gzip file: {source}")]
    Gzip {
        /// The file.
        path: PathBuf,
        /// What the decompressor found.
        source: io::Error,
    },
    /// A file without a byte in it has no header line.
    #[error("the file {path:?} is empty: it has no header line")]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// A file's first line is longer than [`LINE_LIMIT`].
    #[error("the file {path:?} has a header line of more than {LINE_LIMIT} bytes")]
    HeaderTooLong {
        /// The file.
        path: PathBuf,
    },
    /// A file is not as it was when the table was opened.
    #[error("the file {path:?} was changed while it was read")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A place to go on at that no chunk of the table can have ended at.
    #[error("table {table} can't be gone on with: it has no byte {} in file {}", place.offset, place.file)]
    NoPlace {
        /// The table's name.
        table: String,
        /// The place.
        place: Place,
    },
    /// An earlier call has failed, so the table's rest was not read.
    #[error("table {table} was not read to its end: an earlier read has failed")]
    Stopped {
        /// The table's name.
        table: String,
    },
}

impl InputError {
    /// A file's read error: the decompressor's, if the file is compressed and the error isn't the system's.
    pub(super) fn reading(path: &Path, compressed: bool, source: io::Error) -> Self {
        let path = path.to_owned();
        if compressed && source.raw_os_error().is_none() {
            InputError::Gzip { path, source }
        } else {
            InputError::File { path, source }
        }
    }
}
