//! What the clients of a simulation submit.

use bytes::Bytes;
use coffee_core::{
    codec::{self, EncodeError},
    frame::{ChunkMeta, JobHead, Sinks},
    operator::Row,
    plan::{ParametersError, SourceInfo, Topology},
};

use crate::{
    chunk::{chunk_frame, end_frame},
    job::{FileManifest, JobSpec, Manifest, TableManifest},
};

/// A client's job, with its data.
#[derive(Clone, Debug)]
pub struct SimulatedJob {
    parameters: Vec<u8>,
    sinks: Sinks,
    tables: Vec<Table>,
    /// Whether it may be cancelled at any moment.
    pub(super) may_be_cancelled: bool,
}

#[derive(Clone, Debug)]
struct Table {
    source: String,
    header: Vec<u8>,
    chunks: Vec<Chunk>,
}

#[derive(Clone, Debug)]
struct Chunk {
    first_line: u64,
    bytes: Vec<u8>,
}

impl SimulatedJob {
    /// A job with these parameters, for all sinks, without data.
    ///
    /// # Errors
    /// Where the parameters are of another type than the plan's, or can't be encoded.
    pub fn new<P: Row>(topology: &Topology, parameters: &P) -> Result<Self, ParametersError> {
        let parameters = topology.plan().encode_parameters(parameters)?;
        Ok(SimulatedJob { parameters, sinks: Sinks::ALL, tables: Vec::new(), may_be_cancelled: false })
    }

    /// Asks for some of the sinks only.
    #[must_use]
    pub fn sinks(mut self, sinks: Sinks) -> Self {
        self.sinks = sinks;
        self
    }

    /// Lets its client cancel it at any moment, in runs in which there is chance: it is answered or not, and nothing of it
    /// is left either way.
    #[must_use]
    pub fn may_be_cancelled(mut self) -> Self {
        self.may_be_cancelled = true;
        self
    }

    /// The rows of a source that takes encoded ones, so many in a chunk.
    ///
    /// # Errors
    /// Where one can't be encoded.
    pub fn rows<R: Row>(mut self, source: &str, rows: &[R], a_chunk: usize) -> Result<Self, EncodeError> {
        let mut chunks = Vec::new();
        let mut first_line = 0;
        for rows in rows.chunks(a_chunk.max(1)) {
            let mut bytes = Vec::new();
            rows.iter().try_for_each(|row| codec::encode(row, &mut bytes))?;
            chunks.push(Chunk { first_line, bytes });
            first_line += rows.len() as u64;
        }
        self.tables.push(Table { source: source.to_owned(), header: Vec::new(), chunks });
        Ok(self)
    }

    /// The lines of a source that takes text, without their header and each with its end, so many in a chunk.
    #[must_use]
    pub fn lines(mut self, source: &str, header: &str, lines: &[&str], a_chunk: usize) -> Self {
        let chunks = (1..).step_by(a_chunk.max(1)).zip(lines.chunks(a_chunk.max(1)));
        let chunks = chunks.map(|(first_line, lines)| Chunk { first_line, bytes: lines.concat().into_bytes() });
        let (header, chunks) = (header.as_bytes().to_vec(), chunks.collect());
        self.tables.push(Table { source: source.to_owned(), header, chunks });
        self
    }

    /// Whether it asks for a sink, by its index in the plan.
    pub(super) fn asks_for(&self, sink: usize) -> bool {
        self.sinks.contains(sink)
    }

    /// What it asks the query node for.
    pub(super) fn spec(&self) -> JobSpec {
        let file = |table: &Table| FileManifest {
            name: table.source.clone(),
            bytes: table.chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum(),
            ends: 0,
            header: table.header.clone(),
        };
        let tables =
            self.tables.iter().map(|table| TableManifest { name: table.source.clone(), files: vec![file(table)] });
        let manifest = Manifest { chunk_bytes: 1 << 20, tables: tables.collect() };
        JobSpec { parameters: self.parameters.clone(), sinks: self.sinks, strict: false, manifest }
    }

    /// The frames of each table's chunks, in order, and of its end behind them.
    ///
    /// # Errors
    /// Where one can't be encoded.
    pub(super) fn frames(&self, topology: &Topology, head: &JobHead) -> Result<Vec<Vec<Bytes>>, EncodeError> {
        let sources = topology.sources();
        let source = |table: &Table| sources.iter().find(|source| source.name == table.source).cloned();
        self.tables.iter().filter_map(|table| Some(table.frames(head, &source(table)?))).collect()
    }
}

impl Table {
    fn frames(&self, head: &JobHead, source: &SourceInfo) -> Result<Vec<Bytes>, EncodeError> {
        let mut frames = Vec::new();
        for (seq, chunk) in (0..).zip(&self.chunks) {
            let fill = |payload: &mut Vec<u8>| {
                payload.extend_from_slice(&chunk.bytes);
                ChunkMeta { file: 0, first_line: chunk.first_line, header: &self.header }.append(payload)?;
                Ok::<_, EncodeError>(Some(()))
            };
            frames.extend(chunk_frame(head, source, seq, Vec::new(), fill)?.map(|(frame, ())| Bytes::from(frame)));
        }
        frames.push(end_frame(head, source, self.chunks.len() as u64)?.into());
        Ok(frames)
    }
}
