//! The lock of a file, in which its last commit is counted: so that a file that has fallen back behind it is noticed.
//!
//! A database that finds its last commit damaged takes up the one before, and does not tell. For a node that is as good as a
//! loss: what it had committed it had acked.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use super::FileError;

/// What is written: a file's identity and how many commits it has, as u64 in little endian.
const BYTES: usize = 16;

/// Held while the file beside it is used.
#[derive(Debug)]
pub(super) struct Ledger(File);

impl Ledger {
    /// Takes the lock beside a file.
    pub fn lock(path: &Path) -> Result<Self, FileError> {
        let lock =
            File::options().read(true).write(true).create(true).truncate(false).open(path.with_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Ledger(lock)),
            Err(TryLockError::WouldBlock) => Err(FileError::InUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Notes a commit once it is made. What a process has written outlasts it.
    pub fn note(&self, identity: u64, commits: u64) -> io::Result<()> {
        let mut bytes = [0; BYTES];
        let (first, second) = bytes.split_at_mut(BYTES / 2);
        first.copy_from_slice(&identity.to_le_bytes());
        second.copy_from_slice(&commits.to_le_bytes());
        self.0.write_all_at(&bytes, 0)
    }

    /// How many commits the file with this identity had at least; 0 where none was noted, or another file's.
    pub fn commits(&self, identity: u64) -> io::Result<u64> {
        let mut bytes = [0; BYTES];
        match self.0.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            read => read?,
        }
        let [noted, commits] = [0, BYTES / 2].map(|at| {
            let number = bytes.get(at..at + BYTES / 2).and_then(|bytes| bytes.try_into().ok());
            number.map_or(0, u64::from_le_bytes)
        });
        Ok(if noted == identity { commits } else { 0 })
    }
}
