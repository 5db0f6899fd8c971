//! How results lie in their file.
//!
//! ```text
//! jobs:   job -> Kept (postcard)
//! ports:  job, port -> Arrived (postcard)
//! pieces: job, port, seq -> encoded rows
//! ```

use coffee_core::{
    codec::DecodeError,
    frame::{FrameReader, JobHead, JobId, Port},
    plan::{Job, Topology},
};
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{
    News,
    kept::{Arrived, Kept},
};
use crate::store::{FileError, pieces};

/// Cluster and number of the job.
pub(super) const JOBS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("jobs");

/// Cluster and number of the job, port.
pub(super) const PORTS: TableDefinition<'_, PortKey, &[u8]> = TableDefinition::new("ports");

/// Cluster and number of the job, port, number of the batch, number of its piece in the file.
pub(super) const PIECES: TableDefinition<'_, PieceKey, &[u8]> = TableDefinition::new("pieces");

type PortKey = (u64, u64, u16);
type PieceKey = (u64, u64, u16, u64, u32);

/// The tables, to be changed.
pub(super) struct Tables<'t> {
    jobs: Table<'t, (u64, u64), &'static [u8]>,
    ports: Table<'t, PortKey, &'static [u8]>,
    pieces: Table<'t, PieceKey, &'static [u8]>,
}

impl<'t> Tables<'t> {
    /// Opens them, and makes those that are not there.
    pub fn open(transaction: &'t WriteTransaction) -> Result<Self, FileError> {
        Ok(Tables {
            jobs: transaction.open_table(JOBS)?,
            ports: transaction.open_table(PORTS)?,
            pieces: transaction.open_table(PIECES)?,
        })
    }

    /// What is kept of a job.
    pub fn kept(&self, job: JobId) -> Result<Option<Kept>, FileError> {
        let kept = self.jobs.get((job.cluster, job.number))?;
        kept.map(|kept| FileError::decode(kept.value())).transpose()
    }

    /// Writes what is kept of a job.
    pub fn keep(&mut self, job: JobId, kept: &Kept) -> Result<(), FileError> {
        self.jobs.insert((job.cluster, job.number), FileError::encode(kept)?.as_slice())?;
        Ok(())
    }

    /// Puts the parts of a frame, and adds what becomes true thereby.
    pub fn put(
        &mut self,
        topology: &Topology,
        frame: &[u8],
        now_ms: u64,
        news: &mut Vec<News>,
    ) -> Result<(), FileError> {
        let mut frame = FrameReader::new(frame).map_err(FileError::Decode)?;
        let head = frame.head().map_err(FileError::Decode)?;
        let job = head.job;
        let known = self.kept(job)?;
        let mut changed = known.is_none();
        let mut kept = known.map_or_else(|| start(topology, &head), Ok)?;
        while let Some(part) = frame.part().map_err(FileError::Decode)? {
            let port = part.meta.port();
            if !kept.wanted.contains(&port) {
                return Err(FileError::Decode(DecodeError::Unknown("a port to the client")));
            }
            let mut arrived = self.arrived(job, port)?;
            let was_settled = arrived.is_settled();
            if let Some(seq) = arrived.take(&part.meta) {
                let key = |piece| (job.cluster, job.number, port.0, seq, piece);
                pieces::put(&mut self.pieces, key, part.payload)?;
            }
            self.ports.insert((job.cluster, job.number, port.0), FileError::encode(&arrived)?.as_slice())?;
            if arrived.is_settled() && !was_settled {
                news.push(News::Result(job, port));
                changed = true;
            }
        }
        if !changed {
            return Ok(());
        }
        if kept.settled_ms.is_none() && self.all_settled(job, &kept.wanted)? {
            kept.settled_ms = Some(now_ms);
            news.push(News::Complete(job));
        }
        self.keep(job, &kept)
    }

    /// Deletes a job.
    pub fn discard(&mut self, job: JobId) -> Result<(), FileError> {
        let JobId { cluster, number } = job;
        self.jobs.remove((cluster, number))?;
        self.ports.retain_in((cluster, number, 0)..=(cluster, number, u16::MAX), |_, _| false)?;
        let all = (cluster, number, 0, 0, 0)..=(cluster, number, u16::MAX, u64::MAX, u32::MAX);
        self.pieces.retain_in(all, |_, _| false)?;
        Ok(())
    }

    fn arrived(&self, job: JobId, port: Port) -> Result<Arrived, FileError> {
        let arrived = self.ports.get((job.cluster, job.number, port.0))?;
        arrived.map_or(Ok(Arrived::default()), |arrived| FileError::decode(arrived.value()))
    }

    fn all_settled(&self, job: JobId, ports: &[Port]) -> Result<bool, FileError> {
        for port in ports {
            if !self.arrived(job, *port)?.is_settled() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A job of which nothing is kept yet.
fn start(topology: &Topology, head: &JobHead) -> Result<Kept, FileError> {
    let job = Job::new(topology, head).map_err(FileError::Decode)?;
    let sinks = topology.plan().sinks().chain(["rejected"]).filter_map(|sink| topology.port_of(sink));
    let wanted = sinks.filter(|port| job.uses(topology, *port)).collect();
    Ok(Kept { wanted, settled_ms: None, told: false, taken_ms: None })
}
