//! What outlives the process: one file, each change committed durably before anybody hears of it.
//!
//! ```text
//! counters: "highest" -> the highest number that was minted
//! minted:   number -> Minted (postcard), written once
//! progress: number -> Progress (postcard), for each number of `minted`
//! ```
//! The file's identity is the cluster's id: drawn when the file is new, and kept.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{
    desk::{Desk, Kept},
    effects::Change,
    record::Minted,
};
use crate::{
    runner::StoreError,
    store::{FileError, Format, StoreFile},
};

/// Changes with what the tables hold. What is kept is small, and read once.
const FORMAT: Format = Format { name: "query", version: 3, cache: 8 << 20 };

const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const MINTED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("minted");
const PROGRESS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("progress");

const HIGHEST: &str = "highest";

/// Where records are kept.
pub(super) trait Records: Send {
    /// Commits the records of the jobs that have changed, all or none. Ok: they are on disk. Err: they may or may not
    /// be, and the store is of no more use: it has to be opened anew, which tells.
    fn save(&self, desk: &Desk, changes: &BTreeMap<u64, Change>) -> Result<(), StoreError>;
}

/// An open store. No other process has it open.
pub(super) struct Store(Arc<StoreFile>);

impl Store {
    /// Opens the store in a folder, or founds a cluster there, and reads all of it.
    pub fn open(folder: &Path) -> Result<(Self, Kept), StoreError> {
        Self::read(Arc::new(StoreFile::open(folder, FORMAT)?))
    }

    /// What opens a store in memory, of a new cluster: the same one each time.
    pub fn in_memory() -> Result<impl Fn() -> Result<(Self, Kept), StoreError> + Send, StoreError> {
        let file = Arc::new(StoreFile::in_memory(FORMAT)?);
        Ok(move || Self::read(file.clone()))
    }

    fn read(file: Arc<StoreFile>) -> Result<(Self, Kept), StoreError> {
        let cluster = file.identity();
        let kept = file.write(|transaction| Tables::open(transaction)?.load(cluster))?;
        Ok((Store(file), kept))
    }
}

impl Records for Store {
    fn save(&self, desk: &Desk, changes: &BTreeMap<u64, Change>) -> Result<(), StoreError> {
        self.0.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            changes.iter().try_for_each(|(number, change)| tables.save(desk, *number, *change))
        })
    }
}

struct Tables<'t> {
    counters: Table<'t, &'static str, u64>,
    minted: Table<'t, u64, &'static [u8]>,
    progress: Table<'t, u64, &'static [u8]>,
}

impl<'t> Tables<'t> {
    /// Opens the tables, which are made if they are not there.
    fn open(transaction: &'t WriteTransaction) -> Result<Self, FileError> {
        Ok(Tables {
            counters: transaction.open_table(COUNTERS)?,
            minted: transaction.open_table(MINTED)?,
            progress: transaction.open_table(PROGRESS)?,
        })
    }

    fn load(&self, cluster: u64) -> Result<Kept, FileError> {
        let highest = self.counters.get(HIGHEST)?.map_or(0, |highest| highest.value());
        let mut jobs = BTreeMap::new();
        for row in self.minted.iter()? {
            let (number, minted) = row?;
            let minted: Minted = FileError::decode(minted.value())?;
            let progress = self.progress.get(number.value())?.ok_or(FileError::Damaged("a job has no progress"))?;
            jobs.insert(number.value(), (minted, FileError::decode(progress.value())?));
        }
        match jobs.last_key_value() {
            Some((last, _)) if *last > highest => Err(FileError::Damaged("a job's number is too high")),
            _ => Ok(Kept { cluster, highest, jobs }),
        }
    }

    fn save(&mut self, desk: &Desk, number: u64, change: Change) -> Result<(), FileError> {
        let Some((minted, progress)) = desk.record(number).filter(|_| change != Change::Dropped) else {
            self.minted.remove(number)?;
            self.progress.remove(number)?;
            return Ok(());
        };
        if change == Change::Minted {
            self.counters.insert(HIGHEST, desk.highest())?;
            self.minted.insert(number, FileError::encode(minted)?.as_slice())?;
        }
        self.progress.insert(number, FileError::encode(progress)?.as_slice())?;
        Ok(())
    }
}
