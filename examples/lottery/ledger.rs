//! What is stored, in a file that outlasts the server: the batches of each agency, each once however often it comes; which
//! agencies sell no more; the draw.
//!
//! ```text
//! lottery: ()               -> its name and how many agencies it has, once
//! batches: (agency, number) -> bets (postcard), until the agency is closed
//! closed:  agency           -> whether it has ended its bets itself, once
//! drawn:   ()               -> the number that has won, once
//! ```
//!
//! Each change is on the disk before anybody hears of it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Instant, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use thiserror::Error;

use crate::bet::Bet;
use crate::draw;

const LOTTERY: TableDefinition<'_, (), (&str, u16)> = TableDefinition::new("lottery");
const BATCHES: TableDefinition<'_, (u16, u32), &[u8]> = TableDefinition::new("batches");
const CLOSED: TableDefinition<'_, u16, bool> = TableDefinition::new("closed");
const DRAWN: TableDefinition<'_, (), u16> = TableDefinition::new("drawn");

/// What travels from a session to the storage worker. Agency and number together say which batch it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Batch {
    pub agency: u16,
    pub number: u32,
    pub bets: Vec<Bet>,
}

/// Why the ledger can't be used.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The file or the disk; or another server has it open.
    #[error(transparent)]
    Database(Box<redb::Error>),
    /// Those of another number would bet on a draw that they know, or not be waited for.
    #[error("the lottery in this ledger has {0} agencies")]
    Agencies(u16),
    /// Bets that can't be read or written.
    #[error("the ledger has bets that make no sense")]
    Bets(#[from] postcard::Error),
}

/// The stored batches. A batch is stored once it is here: the draw counts it then. One process at a time has it open.
pub struct Ledger {
    database: Database,
    name: String,
    /// Held by who looks for a change, until it waits for the next one.
    looking: Mutex<()>,
    changed: Condvar,
}

/// What became of one agency.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// Whether it has ended its bets itself; else it was counted as gone. What it has stored counts all the same: it
    /// was paid.
    pub ended: bool,
    /// Bets that are stored.
    pub bets: usize,
    /// The documents of its winners, in the order of their bets.
    pub winners: Vec<u32>,
}

impl Ledger {
    /// Opens the ledger in a folder, or makes both: a lottery of a new name then, of so many agencies.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub fn open(folder: &Path, agencies: u16) -> Result<Self, LedgerError> {
        let path = folder.join("ledger.redb");
        if !path.try_exists().map_err(failed)? {
            make(folder, &path, agencies)?;
        }
        let database = Database::open(path).map_err(failed)?;
        let lottery = database.begin_read().map_err(failed)?.open_table(LOTTERY).map_err(failed)?;
        let known = lottery.get(()).map_err(failed)?.map(|known| (known.value().0.to_owned(), known.value().1));
        let (name, known) = known.unwrap_or_default();
        if known != agencies {
            return Err(LedgerError::Agencies(known));
        }
        Ok(Self { database, name, looking: Mutex::new(()), changed: Condvar::new() })
    }

    /// The lottery's name, which it keeps.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stores a batch, unless it is stored already or its agency is closed. Ok: it is on the disk.
    ///
    /// # Errors
    /// [`LedgerError`]: whether it is stored is not known.
    pub fn store(&self, batch: &Batch) -> Result<(), LedgerError> {
        let bets = postcard::to_stdvec(&batch.bets)?;
        self.write(|change| {
            let mut batches = change.open_table(BATCHES)?;
            let key = (batch.agency, batch.number);
            if change.open_table(CLOSED)?.get(batch.agency)?.is_none() && batches.get(key)?.is_none() {
                batches.insert(key, bets.as_slice())?;
            }
            Ok(())
        })
    }

    /// Waits until it is known whether a batch counts. None: it was not by the deadline.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub fn wait_for(&self, agency: u16, number: u32, deadline: Instant) -> Result<Option<bool>, LedgerError> {
        let mut looking = self.looking.lock();
        loop {
            let (stored, closed) = self.read(|now| {
                let stored = now.open_table(BATCHES)?.get((agency, number))?.is_some();
                Ok((stored, now.open_table(CLOSED)?.get(agency)?.is_some()))
            })?;
            if stored || closed {
                return Ok(Some(stored));
            }
            if self.changed.wait_until(&mut looking, deadline).timed_out() {
                return Ok(None);
            }
        }
    }

    /// Stores no more of an agency from now on, whether it has ended its bets or is gone: whichever is said first. Ok: that is
    /// on the disk.
    ///
    /// # Errors
    /// [`LedgerError`]: whether it is closed is not known.
    pub fn close(&self, agency: u16, ended: bool) -> Result<(), LedgerError> {
        self.write(|change| {
            let mut closed = change.open_table(CLOSED)?;
            if closed.get(agency)?.is_none() {
                closed.insert(agency, ended)?;
            }
            Ok(())
        })
    }

    /// Whether nothing more of an agency is stored.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub fn is_closed(&self, agency: u16) -> Result<bool, LedgerError> {
        self.read(|now| Ok(now.open_table(CLOSED)?.get(agency)?.is_some()))
    }

    /// Makes the draw, when all agencies are closed. Ok: the number that has won, which is that of the first draw.
    ///
    /// # Errors
    /// [`LedgerError`]: whether it is made is not known.
    pub fn draw(&self, winning: u16) -> Result<u16, LedgerError> {
        self.write(|change| {
            let mut drawn = change.open_table(DRAWN)?;
            let before = drawn.get(())?.map(|number| number.value());
            if before.is_none() {
                drawn.insert((), winning)?;
            }
            Ok(before.unwrap_or(winning))
        })
    }

    /// What became of an agency, if this is the number that wins: for good, once it is closed.
    ///
    /// # Errors
    /// [`LedgerError`]
    pub fn account(&self, agency: u16, winning: u16) -> Result<Account, LedgerError> {
        let (ended, batches) = self.read(|now| {
            let batches = now.open_table(BATCHES)?.range((agency, 0)..=(agency, u32::MAX))?;
            let batches =
                batches.map(|batch| Ok(batch?.1.value().to_vec())).collect::<Result<Vec<_>, redb::Error>>()?;
            Ok((now.open_table(CLOSED)?.get(agency)?.is_some_and(|ended| ended.value()), batches))
        })?;
        let batches = batches.iter().map(|batch| postcard::from_bytes::<Vec<Bet>>(batch));
        let bets = batches.collect::<Result<Vec<_>, _>>()?.concat();
        Ok(Account { ended, bets: bets.len(), winners: draw::winners(&bets, winning) })
    }

    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, LedgerError> {
        self.database.begin_read().map_err(redb::Error::from).and_then(|now| read(&now)).map_err(failed)
    }

    /// Makes a change as a whole, and tells those who wait for one.
    fn write<T>(&self, change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>) -> Result<T, LedgerError> {
        let changed = write(&self.database, change)?;
        let _looking = self.looking.lock();
        self.changed.notify_all();
        Ok(changed)
    }
}

fn failed(error: impl Into<redb::Error>) -> LedgerError {
    LedgerError::Database(Box::new(error.into()))
}

/// Makes a new ledger under another name first: a server that dies meanwhile leaves none, and of two that start at once one is
/// first.
fn make(folder: &Path, path: &Path, agencies: u16) -> Result<(), LedgerError> {
    fs::create_dir_all(folder).map_err(failed)?;
    let unfinished = NamedTempFile::new_in(folder).map_err(failed)?;
    let database = Database::builder().create_file(unfinished.reopen().map_err(failed)?).map_err(failed)?;
    let name = format!("lottery-{}", UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos());
    write(&database, |change| {
        change.open_table(LOTTERY)?.insert((), (name.as_str(), agencies))?;
        // So that there are all tables to read from.
        change.open_table(BATCHES)?;
        change.open_table(CLOSED)?;
        change.open_table(DRAWN)?;
        Ok(())
    })?;
    drop(database);
    match unfinished.persist_noclobber(path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(failed(error.error)),
        // Its name is on the disk too.
        _ => File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed),
    }
}

/// Makes a change as a whole. Ok: it is on the disk.
fn write<T>(
    database: &Database,
    change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
) -> Result<T, LedgerError> {
    let transaction = database.begin_write().map_err(failed)?;
    let changed = change(&transaction).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(changed)
}
