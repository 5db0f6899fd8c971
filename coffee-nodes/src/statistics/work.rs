//! What a loop has done, counted by the parts of the frames that pass.

use std::{ops::AddAssign, time::Duration};

use coffee_core::frame::{Count, FrameReader, JobId, PartMeta, Stream};
use serde::{Deserialize, Serialize};

/// Counts of batches and rows. What comes again after a death counts again: for answers there are the counts that travel
/// with the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Batches that came.
    pub batches: u64,
    /// Rows in them; of a source's chunks, the rows that were read.
    pub rows: u64,
    /// Parts that were passed on, one a batch, port and shard.
    pub parts: u64,
    /// Rows in them.
    pub passed: u64,
    /// Time of a thread at work on it, in nanoseconds: decoding, operators, commits and emission, without the wait for room
    /// at whoever comes next, but with that for a processor. Of a turn of the loop it counts for the job whose frame came or went last.
    pub busy_ns: u64,
}

impl Work {
    /// Time of threads at work on it.
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy_ns)
    }
}

/// What comes from elsewhere may be any number, so sums stop at the largest one.
impl AddAssign for Work {
    fn add_assign(&mut self, other: Work) {
        let Work { batches, rows, parts, passed, busy_ns } = other;
        let mine = [&mut self.batches, &mut self.rows, &mut self.parts, &mut self.passed, &mut self.busy_ns];
        for (sum, more) in mine.into_iter().zip([batches, rows, parts, passed, busy_ns]) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// What a frame brings, or takes along.
pub(super) struct Seen {
    pub job: JobId,
    pub work: Work,
    /// The streams that end in it, and how many batches they have: of one that ends at several ports, once if these stand together.
    pub ends: Vec<(Stream, u64)>,
}

/// What a frame that came brings; `None` where it is no frame, which the node will say. Each batch is shown to `batch`.
pub(super) fn brought(body: &[u8], mut batch: impl FnMut(JobId, Stream, u64, u32)) -> Option<Seen> {
    let (mut work, mut ends) = (Work::default(), Vec::new());
    let job = each_part(body, |job, part| match part {
        PartMeta::Rows { rows, stream, seq, .. } => {
            batch(job, stream, seq, rows);
            work += Work { batches: 1, rows: rows.into(), ..Work::default() };
        }
        PartMeta::Empty { seqs, .. } => work += Work { batches: seqs.len(), ..Work::default() },
        PartMeta::End { stream, batches, .. } => ends.push((stream, batches)),
        PartMeta::Lost { .. } => work += Work { batches: 1, ..Work::default() },
    })?;
    ends.dedup();
    Some(Seen { job, work, ends })
}

/// What a frame that is sent passes on. How many rows a chunk had is known once it was read: so the counts that these sources
/// add are rows that came.
pub(super) fn passed_on(body: &[u8], sources: &[u16]) -> Option<Seen> {
    let (mut work, mut ends) = (Work::default(), Vec::new());
    let read = |counts: &[Count]| {
        counts.iter().filter(|count| sources.contains(&count.operator)).map(|count| count.rows_in).sum::<u64>()
    };
    let job = each_part(body, |_, part| match part {
        PartMeta::Rows { rows, counts, .. } => {
            work += Work { parts: 1, passed: rows.into(), rows: read(&counts), ..Work::default() };
        }
        PartMeta::Empty { seqs, .. } => work += Work { parts: seqs.len(), ..Work::default() },
        PartMeta::End { stream, batches, .. } => ends.push((stream, batches)),
        PartMeta::Lost { .. } => {}
    })?;
    ends.dedup();
    Some(Seen { job, work, ends })
}

fn each_part(body: &[u8], mut see: impl FnMut(JobId, PartMeta)) -> Option<JobId> {
    let mut frame = FrameReader::new(body).ok()?;
    let job = frame.head().ok()?.job;
    while let Some(part) = frame.part().ok()? {
        see(job, part.meta);
    }
    Some(job)
}
