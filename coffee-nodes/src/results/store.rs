//! Results, put together by job and port, and kept until their time is over.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use coffee_core::{
    frame::{Count, JobId, Port},
    plan::Topology,
};
use redb::{ReadTransaction, ReadableTable};

use super::{
    kept::{Arrived, Kept},
    tables::{JOBS, PIECES, PORTS, Tables},
};
use crate::{
    cluster::ResultsReply,
    runner::StoreError,
    store::{FileError, Format, StoreFile, pieces},
};

const FORMAT: Format = Format { name: "results", version: 1, cache: 8 << 20 };

/// How long results are kept once the client has taken all of them.
const TAKEN: Duration = Duration::from_secs(60 * 60);

/// Something that has become true of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// This result is complete, or will never be.
    Result(JobId, Port),
    /// All results that the job asked for are.
    Complete(JobId),
}

/// Keeps results in a file of its folder, in a few MiB of memory however many they are. Shared by threads: any number read
/// while one writes. A call blocks for the disk, one that writes also while another does. Times are in milliseconds since 1970.
#[derive(Debug)]
pub struct ResultsStore {
    file: StoreFile,
    topology: Arc<Topology>,
    keep: Duration,
}

impl ResultsStore {
    /// Opens the store in a folder, or makes both; results that nobody takes are kept for `keep` after they are complete.
    ///
    /// # Errors
    /// Where another process has it open, it is damaged, no such store or of another version, or the disk fails.
    pub fn open(folder: &Path, topology: Arc<Topology>, keep: Duration) -> Result<Self, StoreError> {
        Self::of(StoreFile::open(folder, FORMAT)?, topology, keep)
    }

    /// A store in memory.
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn in_memory(topology: Arc<Topology>, keep: Duration) -> Result<Self, StoreError> {
        Self::of(StoreFile::in_memory(FORMAT)?, topology, keep)
    }

    fn of(file: StoreFile, topology: Arc<Topology>, keep: Duration) -> Result<Self, StoreError> {
        file.write(|transaction| Tables::open(transaction).map(drop))?;
        Ok(ResultsStore { file, topology, keep })
    }

    /// Puts what frames for the client bring, all or nothing; what is there already is passed over. Ok promises that all
    /// of it outlasts the process. Returns what became true thereby.
    ///
    /// # Errors
    /// Where a frame is none of this topology's, or can't be written.
    pub fn put(&self, frames: &[Bytes], now_ms: u64) -> Result<Vec<News>, StoreError> {
        self.file.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            let mut news = Vec::new();
            for frame in frames {
                tables.put(&self.topology, frame, now_ms, &mut news)?;
            }
            Ok(news)
        })
    }

    /// A piece of a result: `None` where nothing is kept of the job. Behind the last piece there are empty ones.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn piece(&self, job: JobId, port: Port, number: u64) -> Result<Option<ResultsReply>, StoreError> {
        self.file.read(|transaction| {
            if kept(transaction, job)?.is_none() {
                return Ok(None);
            }
            let arrived = arrived(transaction, job, port)?;
            let batches = match (arrived.failed, arrived.batches) {
                (Some(loss), _) => {
                    let stream = self.topology.name_of(loss.stream);
                    let reason = format!("batch {} of {stream} was given up: {}", loss.seq, loss.reason);
                    return Ok(Some(ResultsReply::Failed { reason }));
                }
                (None, Some(batches)) if arrived.coverage.is_exactly(batches) => batches,
                _ => return Ok(Some(ResultsReply::NotYet)),
            };
            let key = |piece| (job.cluster, job.number, port.0, number, piece);
            let payload = pieces::get(&transaction.open_table(PIECES)?, key)?;
            Ok(Some(ResultsReply::Piece { payload, last: number.saturating_add(1) >= batches }))
        })
    }

    /// The results of a job that can't be had, by name.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn without(&self, job: JobId) -> Result<Vec<String>, StoreError> {
        self.file.read(|transaction| {
            let mut without = Vec::new();
            for port in kept(transaction, job)?.map(|kept| kept.wanted).unwrap_or_default() {
                if arrived(transaction, job, port)?.failed.is_some() {
                    without.push(self.topology.sink_of(port).map_err(FileError::Decode)?.to_owned());
                }
            }
            Ok(without)
        })
    }

    /// What was counted on the way to the results: `None` where nothing is kept of the job.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn counts(&self, job: JobId) -> Result<Option<ResultsReply>, StoreError> {
        self.file.read(|transaction| {
            let Some(kept) = kept(transaction, job)? else { return Ok(None) };
            if kept.settled_ms.is_none() {
                return Ok(Some(ResultsReply::NotYet));
            }
            let mut counts = Vec::new();
            for port in kept.wanted {
                Count::add_all(&mut counts, &arrived(transaction, job, port)?.counts);
            }
            Ok(Some(ResultsReply::Counts(counts)))
        })
    }

    /// The client has taken all results: they are dropped after an hour. False where nothing is kept of the job.
    ///
    /// # Errors
    /// Where that can't be noted.
    pub fn taken(&self, job: JobId, now_ms: u64) -> Result<bool, StoreError> {
        self.change(job, |kept| {
            if kept.settled_ms.is_some() {
                kept.taken_ms.get_or_insert(now_ms);
            }
        })
    }

    /// The query node knows that the job's results are complete.
    ///
    /// # Errors
    /// Where that can't be noted.
    pub fn told(&self, job: JobId) -> Result<(), StoreError> {
        self.change(job, |kept| kept.told = true).map(drop)
    }

    /// The jobs whose results are complete, which the query node may not know.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn untold(&self) -> Result<Vec<JobId>, StoreError> {
        self.jobs_where(|kept| kept.settled_ms.is_some() && !kept.told)
    }

    /// The jobs that lack results.
    ///
    /// # Errors
    /// Where they can't be read.
    pub fn incomplete(&self) -> Result<Vec<JobId>, StoreError> {
        self.jobs_where(|kept| kept.settled_ms.is_none())
    }

    /// Drops a job that has ended, unless its results are complete: then it is done, or the query node is about to tell
    /// what it is.
    ///
    /// # Errors
    /// Where it can't be dropped.
    pub fn discard_incomplete(&self, job: JobId) -> Result<(), StoreError> {
        self.file.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            match tables.kept(job)? {
                Some(kept) if kept.settled_ms.is_none() => tables.discard(job),
                _ => Ok(()),
            }
        })
    }

    /// Drops what is kept of a job.
    ///
    /// # Errors
    /// Where it can't be dropped.
    pub fn discard(&self, job: JobId) -> Result<(), StoreError> {
        self.file.write(|transaction| Tables::open(transaction)?.discard(job))
    }

    /// Drops the results whose time is over.
    ///
    /// # Errors
    /// Where they can't be dropped.
    pub fn expire(&self, now_ms: u64) -> Result<(), StoreError> {
        let over = |since: Option<u64>, span: Duration| {
            since.is_some_and(|since| u128::from(now_ms.saturating_sub(since)) >= span.as_millis())
        };
        let expired = self.jobs_where(|kept| over(kept.taken_ms, TAKEN) || over(kept.settled_ms, self.keep))?;
        expired.into_iter().try_for_each(|job| self.discard(job))
    }

    fn change(&self, job: JobId, change: impl FnOnce(&mut Kept)) -> Result<bool, StoreError> {
        self.file.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            let Some(mut kept) = tables.kept(job)? else { return Ok(false) };
            change(&mut kept);
            tables.keep(job, &kept)?;
            Ok(true)
        })
    }

    fn jobs_where(&self, accept: impl Fn(&Kept) -> bool) -> Result<Vec<JobId>, StoreError> {
        self.file.read(|transaction| {
            let mut jobs = Vec::new();
            for entry in transaction.open_table(JOBS)?.iter()? {
                let (key, kept) = entry?;
                let (cluster, number) = key.value();
                if accept(&FileError::decode(kept.value())?) {
                    jobs.push(JobId { cluster, number });
                }
            }
            Ok(jobs)
        })
    }
}

fn kept(transaction: &ReadTransaction, job: JobId) -> Result<Option<Kept>, FileError> {
    let kept = transaction.open_table(JOBS)?.get((job.cluster, job.number))?;
    kept.map(|kept| FileError::decode(kept.value())).transpose()
}

fn arrived(transaction: &ReadTransaction, job: JobId, port: Port) -> Result<Arrived, FileError> {
    let arrived = transaction.open_table(PORTS)?.get((job.cluster, job.number, port.0))?;
    arrived.map_or(Ok(Arrived::default()), |arrived| FileError::decode(arrived.value()))
}

#[cfg(test)]
mod tests;
