//! What a client of a simulation submits: a job's words and chunks, in memory, as each run sends them again.

use bytes::Bytes;
use coffee_core::{
    codec::EncodeError,
    frame::{ChunkMeta, JobHead},
    plan::SourceInfo,
};

use crate::{
    chunk::{chunk_frame, end_frame},
    feed::{Feed, Position},
    job::{CHUNK_BYTES, Job, JobError, JobSpec, Place},
};

/// A client's job, with its data.
#[derive(Clone, Debug)]
pub(super) struct Submitted {
    /// What it asks the query node for.
    pub spec: JobSpec,
    /// The names of the results that it asks for.
    pub results: Vec<String>,
    tables: Vec<Table>,
    /// Whether it may be cancelled at any moment.
    pub may_be_cancelled: bool,
}

#[derive(Clone, Debug)]
struct Table {
    source: SourceInfo,
    chunks: Vec<(Position, Vec<u8>)>,
}

impl Submitted {
    pub fn of(job: &Job<'_>) -> Result<Self, JobError> {
        // Chunks may be smaller here than any that a cluster takes, so the words say another size: here it decides nothing.
        let (spec, results) = (job.spec_with_chunks(CHUNK_BYTES)?, job.results());
        let fed = job.fed()?.into_iter();
        let tables =
            fed.map(|(source, feed)| Table::of(source, feed, job.most_chunk_bytes())).collect::<Result<_, _>>()?;
        Ok(Submitted { spec, results, tables, may_be_cancelled: false })
    }

    /// The frames of each table's chunks, in order, and of its end behind them.
    pub fn frames(&self, head: &JobHead) -> Result<Vec<Vec<Bytes>>, EncodeError> {
        self.tables.iter().map(|table| table.frames(head)).collect()
    }
}

impl Table {
    fn of(source: SourceInfo, feed: &dyn Feed, chunk_bytes: usize) -> Result<Self, JobError> {
        let mut feed = feed.chunks(chunk_bytes, Place::default())?;
        let (mut chunks, mut bytes) = (Vec::new(), Vec::new());
        while let Some(position) = feed.fill(&mut bytes)? {
            chunks.push((position, std::mem::take(&mut bytes)));
        }
        Ok(Table { source, chunks })
    }

    fn frames(&self, head: &JobHead) -> Result<Vec<Bytes>, EncodeError> {
        let Table { source, chunks } = self;
        let mut frames = Vec::with_capacity(chunks.len() + 1);
        for (seq, (Position { at, header, .. }, bytes)) in (0..).zip(chunks) {
            let fill = |payload: &mut Vec<u8>| {
                payload.extend_from_slice(bytes);
                ChunkMeta { file: at.file, first_line: at.line, header }.append(payload)?;
                Ok::<_, EncodeError>(Some(()))
            };
            frames.extend(chunk_frame(head, source, seq, Vec::new(), fill)?.map(|(frame, ())| Bytes::from(frame)));
        }
        frames.push(end_frame(head, source, chunks.len() as u64)?.into());
        Ok(frames)
    }
}
