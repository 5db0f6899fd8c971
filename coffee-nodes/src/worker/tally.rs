//! What one replica has done for each job, counted as frames pass: for live views, not for answers (those counts travel
//! with the data).

use std::{
    collections::BTreeMap,
    ops::AddAssign,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use coffee_core::frame::{FrameReader, JobId, PartMeta, Stream};
use serde::{Deserialize, Serialize};

/// Counts of one replica and job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Batches that came.
    pub batches: u64,
    /// Rows in them; 0 for raw chunks.
    pub rows: u64,
    /// Parts that were passed on, one a batch, port and shard.
    pub parts: u64,
    /// Rows in them.
    pub passed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.batches += other.batches;
        self.rows += other.rows;
        self.parts += other.parts;
        self.passed += other.passed;
    }
}

/// The tallies of a replica, shared by its threads.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallies(Arc<Mutex<BTreeMap<JobId, Tally>>>);

impl Tallies {
    /// Counts a frame that came; returns the streams that end in it.
    pub fn took(&self, body: &[u8]) -> Option<(JobId, Vec<Stream>)> {
        let (mut tally, mut ends) = (Tally::default(), Vec::new());
        let job = each_part(body, |part| match part {
            PartMeta::Rows { rows, .. } => tally += Tally { batches: 1, rows: rows.into(), ..Tally::default() },
            PartMeta::Empty { seqs, .. } => tally.batches += seqs.len(),
            PartMeta::End { stream, .. } => ends.push(stream),
            PartMeta::Lost { .. } => tally.batches += 1,
        })?;
        *self.lock().entry(job).or_default() += tally;
        Some((job, ends))
    }

    /// Counts a frame that is sent.
    pub fn sends(&self, body: &[u8]) {
        let mut tally = Tally::default();
        let job = each_part(body, |part| match part {
            PartMeta::Rows { rows, .. } => tally += Tally { parts: 1, passed: rows.into(), ..Tally::default() },
            PartMeta::Empty { seqs, .. } => tally.parts += seqs.len(),
            PartMeta::End { .. } | PartMeta::Lost { .. } => {}
        });
        if let Some(job) = job {
            *self.lock().entry(job).or_default() += tally;
        }
    }

    /// What has been counted.
    pub fn of(&self, job: JobId) -> Tally {
        self.lock().get(&job).copied().unwrap_or_default()
    }

    /// Drops what has been counted.
    pub fn forget(&self, job: JobId) {
        self.lock().remove(&job);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` where it is no frame, which the node will say.
fn each_part(body: &[u8], mut see: impl FnMut(PartMeta)) -> Option<JobId> {
    let mut frame = FrameReader::new(body).ok()?;
    let job = frame.head().ok()?.job;
    while let Some(part) = frame.part().ok()? {
        see(part.meta);
    }
    Some(job)
}
