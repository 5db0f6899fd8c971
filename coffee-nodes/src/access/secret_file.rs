//! Files that hold secrets.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// No file of secrets is longer, in bytes (1 MiB).
const LONGEST: u64 = 1 << 20;

/// Why a file with secrets is not used. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// It can't be read, or is no text.
    #[error("{} can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// All users of the machine can read it, or write it: what is in it may be known, or another's.
    #[error("{} is open to all users of this machine: chmod o= takes that back", .0.display())]
    Open(PathBuf),
    /// It is longer than any such file.
    #[error("{} is longer than {LONGEST} bytes", .0.display())]
    TooLong(PathBuf),
}

/// The text of a file that only its user and group can read. Blocks for the disk.
pub(super) fn read(path: &Path) -> Result<String, SecretFileError> {
    let unreadable = |source| SecretFileError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file, so that it is the one which is read.
    if is_open_to_all(&file).map_err(unreadable)? {
        return Err(SecretFileError::Open(path.to_owned()));
    }
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LONGEST { Err(SecretFileError::TooLong(path.to_owned())) } else { Ok(text) }
}

#[cfg(unix)]
fn is_open_to_all(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_open_to_all(_file: &File) -> io::Result<bool> {
    Ok(false)
}
