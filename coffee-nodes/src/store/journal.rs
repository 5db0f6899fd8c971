//! The records of a stateful node, on disk.

use std::{collections::BTreeSet, ops::Bound, path::Path};

use bytes::Bytes;
use coffee_core::{frame::JobId, node::Record};
use redb::{ReadTransaction, ReadableTable, TableDefinition};

use super::{FileError, Format, StoreFile, pieces};
use crate::{
    runner::{Store, StoreError},
    unique::unique,
};

const FORMAT: Format = Format { name: "journal", version: 1, cache: 4 << 20 };

/// Cluster and number of the job, number of the frame, number of its piece.
type FrameKey = (u64, u64, u64, u32);

const FRAMES: TableDefinition<'_, FrameKey, &[u8]> = TableDefinition::new("frames");

/// Cluster and number of the job, the operator that has emitted.
const EMITTED: TableDefinition<'_, (u64, u64, u16), ()> = TableDefinition::new("emitted");

/// Keeps a node's records in a file of its folder, in a few MiB of memory however long it is.
///
/// A commit outlasts the death of the process, at any moment; a loss of power may take the last ones, or damage the file,
/// which opening it tells. What was forgotten leaves room in the file for later records.
#[derive(Debug)]
pub struct Journal {
    kept: Kept,
    /// The number of the next frame: higher than all that are there.
    next: u64,
}

#[derive(Debug)]
enum Kept {
    In(StoreFile),
    /// Nowhere, under this identity.
    Nowhere(u64),
}

impl Journal {
    /// Opens the journal in a folder, or makes both. Blocks while all of it is read and checked.
    ///
    /// # Errors
    /// Where another process has it open, it is damaged, no journal or of another version, or the disk fails.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let file = StoreFile::open(folder, FORMAT)?;
        file.write(|transaction| {
            transaction.open_table(FRAMES)?;
            transaction.open_table(EMITTED)?;
            Ok(())
        })?;
        let mut next = 0;
        for job in jobs(&file)? {
            let last = file.read(|transaction| last_frame(transaction, job))?;
            next = next.max(last.map_or(0, |last| last + 1));
        }
        Ok(Journal { kept: Kept::In(file), next })
    }

    /// A journal that keeps nothing: each is another one, so jobs that an earlier one was used for are lost.
    pub fn volatile() -> Self {
        Journal { kept: Kept::Nowhere(unique() as u64), next: 0 }
    }

    /// Drawn at random when the journal was made, and kept: a journal that was lost has another one afterwards.
    pub fn identity(&self) -> u64 {
        match &self.kept {
            Kept::In(file) => file.identity(),
            Kept::Nowhere(identity) => *identity,
        }
    }

    /// The jobs that it has records of, in order.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn jobs(&self) -> Result<Vec<JobId>, StoreError> {
        match &self.kept {
            Kept::In(file) => jobs(file),
            Kept::Nowhere(_) => Ok(Vec::new()),
        }
    }

    /// Hands over all records, marks of emission first, then frames job by job; only one frame is in memory at a time.
    ///
    /// # Errors
    /// The first of `each`, which ends it; or where the disk fails.
    pub fn restore(&self, each: &mut dyn FnMut(Record) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let Kept::In(file) = &self.kept else { return Ok(()) };
        for mark in file.read(marks)? {
            each(mark)?;
        }
        let mut behind = Bound::Unbounded;
        loop {
            let found = file.read(|transaction| {
                let Some(key) = next_frame(transaction, behind)? else { return Ok(None) };
                let (cluster, number, frame, _) = key;
                let table = transaction.open_table(FRAMES)?;
                Ok(Some((key, pieces::get(&table, |piece| (cluster, number, frame, piece))?)))
            })?;
            let Some(((cluster, number, frame, _), body)) = found else { return Ok(()) };
            each(Record::Frame { job: JobId { cluster, number }, body: Bytes::from(body) })?;
            behind = Bound::Excluded((cluster, number, frame, u32::MAX));
        }
    }
}

impl Store for Journal {
    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let Kept::In(file) = &self.kept else { return Ok(()) };
        if records.is_empty() {
            return Ok(());
        }
        let mut next = self.next;
        file.write(|transaction| {
            let mut frames = transaction.open_table(FRAMES)?;
            let mut emitted = transaction.open_table(EMITTED)?;
            for record in records {
                match record {
                    Record::Frame { job, body } => {
                        pieces::put(&mut frames, |piece| (job.cluster, job.number, next, piece), body)?;
                        next += 1;
                    }
                    Record::Emitted { job, operator } => {
                        emitted.insert((job.cluster, job.number, *operator), ())?;
                    }
                }
            }
            Ok(())
        })?;
        self.next = next;
        Ok(())
    }

    fn forget(&mut self, job: JobId) -> Result<(), StoreError> {
        let Kept::In(file) = &self.kept else { return Ok(()) };
        let JobId { cluster, number } = job;
        file.write(|transaction| {
            let operators = (cluster, number, 0)..=(cluster, number, u16::MAX);
            transaction.open_table(EMITTED)?.retain_in(operators, |_, ()| false)?;
            transaction.open_table(FRAMES)?.retain_in(frames_of(job), |_, _| false)?;
            Ok(())
        })
    }
}

fn jobs(file: &StoreFile) -> Result<Vec<JobId>, StoreError> {
    file.read(|transaction| {
        let mut jobs = BTreeSet::new();
        for mark in transaction.open_table(EMITTED)?.iter()? {
            let (cluster, number, _) = mark?.0.value();
            jobs.insert(JobId { cluster, number });
        }
        let mut behind = Bound::Unbounded;
        while let Some((cluster, number, ..)) = next_frame(transaction, behind)? {
            jobs.insert(JobId { cluster, number });
            behind = Bound::Excluded((cluster, number, u64::MAX, u32::MAX));
        }
        Ok(jobs.into_iter().collect())
    })
}

fn frames_of(JobId { cluster, number }: JobId) -> std::ops::RangeInclusive<FrameKey> {
    (cluster, number, 0, 0)..=(cluster, number, u64::MAX, u32::MAX)
}

fn last_frame(transaction: &ReadTransaction, job: JobId) -> Result<Option<u64>, FileError> {
    let table = transaction.open_table(FRAMES)?;
    let last = table.range(frames_of(job))?.next_back().transpose()?;
    Ok(last.map(|(key, _)| key.value().2))
}

fn next_frame(transaction: &ReadTransaction, behind: Bound<FrameKey>) -> Result<Option<FrameKey>, FileError> {
    let table = transaction.open_table(FRAMES)?;
    let next = table.range((behind, Bound::Unbounded))?.next().transpose()?;
    Ok(next.map(|(key, _)| key.value()))
}

fn marks(transaction: &ReadTransaction) -> Result<Vec<Record>, FileError> {
    let mut marks = Vec::new();
    for mark in transaction.open_table(EMITTED)?.iter()? {
        let (cluster, number, operator) = mark?.0.value();
        marks.push(Record::Emitted { job: JobId { cluster, number }, operator });
    }
    Ok(marks)
}

#[cfg(test)]
mod tests;
