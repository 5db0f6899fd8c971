//! A redb file that one process uses: made whole or not at all, and checked when it is opened.

use std::{
    fs::{self, File},
    io,
    panic::catch_unwind,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use coffee_core::codec::{self, DecodeError};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
    backends::{FileBackend, InMemoryBackend},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{ledger::Ledger, unsynced::Unsynced};
use crate::{runner::StoreError, unique::unique};

/// What a file holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    /// The file's name, and that of the table that makes it such a file.
    pub name: &'static str,
    /// Changes with what the other tables hold.
    pub version: u64,
    /// Bytes of pages that are kept in memory.
    pub cache: usize,
}

/// A process that another thread starts has this process's locks, too, from its fork until it has become another program: so
/// long that is waited for.
const FORKED: Duration = Duration::from_millis(200);

const VERSION: &str = "version";
const IDENTITY: &str = "identity";
const COMMITS: &str = "commits";

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("another process uses it")]
    InUse,
    #[error("it is no {0}, or it was made by another program")]
    Foreign(&'static str),
    #[error("it has version {found}, only {supported} is known")]
    Version { found: u64, supported: u64 },
    #[error("it is damaged: {0}; with it moved away the node starts anew, and jobs that need it fail")]
    Damaged(&'static str),
    #[error("it is damaged: {0}; with it moved away the node starts anew, and jobs that need it fail")]
    Corrupted(String),
    #[error("a record can't be decoded: {0}")]
    Decode(DecodeError),
    #[error("a record can't be encoded: {0}")]
    Encode(codec::EncodeError),
    #[error("{0}")]
    Io(#[source] io::Error),
    #[error("it can't be used any more, as the disk failed before")]
    Broken,
    #[error("{0}")]
    Database(Box<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for FileError {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => FileError::Damaged("it is cut off"),
                io::ErrorKind::InvalidData => FileError::Corrupted(error.to_string()),
                _ => FileError::Io(error),
            },
            redb::Error::Corrupted(what) => FileError::Corrupted(what),
            redb::Error::PreviousIo => FileError::Broken,
            error => FileError::Database(Box::new(error)),
        }
    }
}

impl FileError {
    /// A record's encoding.
    pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        codec::encode(value, &mut bytes).map_err(FileError::Encode)?;
        Ok(bytes)
    }

    /// The record of which this is the whole encoding.
    pub fn decode<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, FileError> {
        let value = codec::decode(&mut bytes).map_err(FileError::Decode)?;
        if bytes.is_empty() { Ok(value) } else { Err(FileError::Damaged("a record is too long")) }
    }
}

/// An open file, locked until it is dropped or the process ends. Any number of threads may read while one writes.
#[derive(Debug)]
pub(crate) struct StoreFile {
    // Dropped in this order: the lock is held as long as the file is open.
    database: Database,
    path: PathBuf,
    format: Format,
    identity: u64,
    ledger: Option<Ledger>,
}

impl StoreFile {
    /// Opens the file in a folder, or makes both. Blocks while all of it is read and checked.
    ///
    /// # Errors
    /// Where another process has it open, it is damaged, of another kind or version, or the disk fails.
    pub fn open(folder: &Path, format: Format) -> Result<Self, StoreError> {
        let path = folder.join(format.name).with_extension("redb");
        // The database tells of damaged pages, but may not foresee every damage.
        let open =
            || catch_unwind(|| open(&path, format)).unwrap_or(Err(FileError::Damaged("its pages make no sense")));
        let opened = || {
            fs::create_dir_all(folder)?;
            let ledger = Ledger::lock(&path)?;
            let (database, identity) = open()?;
            if numbers(&database, format)?.commits < ledger.commits(identity)? {
                return Err(FileError::Damaged("its last changes are lost"));
            }
            Ok((database, identity, ledger))
        };
        let until = Instant::now() + FORKED;
        let opened = loop {
            match opened() {
                Err(FileError::InUse) if Instant::now() < until => thread::sleep(FORKED / 20),
                opened => break opened,
            }
        };
        match opened {
            Ok((database, identity, ledger)) => {
                Ok(StoreFile { database, path, format, identity, ledger: Some(ledger) })
            }
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// A file in memory, gone when it is dropped.
    ///
    /// # Errors
    /// None that is known.
    pub fn in_memory(format: Format) -> Result<Self, StoreError> {
        let path = PathBuf::from(format.name);
        let made = || {
            let backend = InMemoryBackend::new();
            let database = Database::builder().set_cache_size(format.cache).create_with_backend(backend)?;
            found(&database, format)?;
            let identity = numbers(&database, format)?.identity;
            Ok((database, identity))
        };
        let (database, identity) = made().map_err(|error| failed(&path, error))?;
        Ok(StoreFile { database, path, format, identity, ledger: None })
    }

    /// Drawn when the file was made: another number means that another file has taken its place.
    pub fn identity(&self) -> u64 {
        self.identity
    }

    /// Makes changes that count together. Ok: they outlast the process. Blocks while another thread writes, and for the disk.
    ///
    /// # Errors
    /// Where they can't be made; all or none of them may be there when the file is opened again.
    pub fn write<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T, FileError>) -> Result<T, StoreError> {
        let write = || {
            let transaction = self.database.begin_write()?;
            let changed = change(&transaction)?;
            let Some(ledger) = &self.ledger else {
                transaction.commit()?;
                return Ok(changed);
            };
            let commits = count(&transaction, self.format)?;
            transaction.commit()?;
            ledger.note(self.identity, commits)?;
            Ok(changed)
        };
        write().map_err(|error| failed(&self.path, error))
    }

    /// Reads what was last written.
    ///
    /// # Errors
    /// Where the disk fails, or the file was changed by another hand.
    pub fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, FileError>) -> Result<T, StoreError> {
        let read = || read(&self.database.begin_read()?);
        read().map_err(|error| failed(&self.path, error))
    }
}

fn failed(path: &Path, error: FileError) -> StoreError {
    StoreError { what: format!("{}: {error}", path.display()), source: Box::new(error) }
}

fn open(path: &Path, format: Format) -> Result<(Database, u64), FileError> {
    if !path.try_exists()? {
        make(path, format)?;
    }
    let file = File::options().read(true).write(true).open(path)?;
    if file.metadata()?.len() == 0 {
        return Err(FileError::Damaged("it is empty"));
    }
    let backend = Unsynced(FileBackend::new(file)?);
    let mut database = Database::builder().set_cache_size(format.cache).create_with_backend(backend)?;
    let identity = numbers(&database, format)?.identity;
    if database.check_integrity()? { Ok((database, identity)) } else { Err(FileError::Damaged("a checksum is wrong")) }
}

/// Makes a file under another name first, so that a process that dies meanwhile leaves none.
fn make(path: &Path, format: Format) -> Result<(), FileError> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let database = Database::create(&unfinished)?;
    found(&database, format)?;
    drop(database);
    Ok(fs::rename(unfinished, path)?)
}

/// Makes a new database one of this format.
fn found(database: &Database, format: Format) -> Result<(), FileError> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(table_of(format))?;
        table.insert(VERSION, format.version)?;
        table.insert(IDENTITY, unique() as u64)?;
    }
    Ok(transaction.commit()?)
}

/// Counts a commit; returns its number.
fn count(transaction: &WriteTransaction, format: Format) -> Result<u64, FileError> {
    let mut table = transaction.open_table(table_of(format))?;
    let commits = 1 + table.get(COMMITS)?.map_or(0, |commits| commits.value());
    table.insert(COMMITS, commits)?;
    Ok(commits)
}

/// What a file says about itself.
struct Numbers {
    identity: u64,
    commits: u64,
}

fn numbers(database: &Database, format: Format) -> Result<Numbers, FileError> {
    let table = match database.begin_read()?.open_table(table_of(format)) {
        Err(TableError::TableDoesNotExist(_) | TableError::TableTypeMismatch { .. }) => {
            return Err(FileError::Foreign(format.name));
        }
        table => table?,
    };
    let number = |key| Ok::<_, FileError>(table.get(key)?.map(|number| number.value()));
    match number(VERSION)? {
        Some(version) if version == format.version => {}
        Some(found) => return Err(FileError::Version { found, supported: format.version }),
        None => return Err(FileError::Foreign(format.name)),
    }
    let identity = number(IDENTITY)?.ok_or(FileError::Damaged("its identity is missing"))?;
    Ok(Numbers { identity, commits: number(COMMITS)?.unwrap_or(0) })
}

fn table_of(format: Format) -> TableDefinition<'static, &'static str, u64> {
    TableDefinition::new(format.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format { name: "journal", version: 3, cache: 1 << 20 };

    fn error(folder: &Path, format: Format) -> String {
        StoreFile::open(folder, format).unwrap_err().to_string()
    }

    #[test]
    fn a_file_keeps_its_identity_and_is_used_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = StoreFile::open(folder.path(), FORMAT).unwrap();
        let text = error(folder.path(), FORMAT);
        assert!(text.contains("journal.redb: another process uses it"), "{text}");
        let identity = file.identity();
        drop(file);
        assert_eq!(StoreFile::open(folder.path(), FORMAT).unwrap().identity(), identity);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(StoreFile::open(other.path(), FORMAT).unwrap().identity(), identity);
    }

    #[test]
    fn a_file_of_another_kind_or_version_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        drop(StoreFile::open(folder.path(), FORMAT).unwrap());
        let text = error(folder.path(), Format { version: 2, ..FORMAT });
        assert!(text.ends_with("it has version 3, only 2 is known"), "{text}");
        fs::rename(folder.path().join("journal.redb"), folder.path().join("results.redb")).unwrap();
        let text = error(folder.path(), Format { name: "results", ..FORMAT });
        assert!(text.contains("it is no results"), "{text}");
    }

    #[test]
    fn what_is_no_file_of_a_database_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.redb");
        for bytes in [&b""[..], b"x", &[0; 4096], &[255; 100_000]] {
            fs::write(&path, bytes).unwrap();
            assert!(error(folder.path(), FORMAT).contains("journal.redb: "));
            assert_eq!(fs::read(&path).unwrap(), bytes, "it is left as it was");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(error(folder.path(), FORMAT).contains("journal.redb: "));
    }

    #[test]
    fn a_file_that_was_not_finished_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("journal.new"), b"half").unwrap();
        assert!(StoreFile::open(folder.path(), FORMAT).is_ok());
    }
}
