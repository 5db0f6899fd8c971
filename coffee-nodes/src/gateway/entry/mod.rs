//! Where chunks come in: threads that answer those of hosted sources, pass the others on, and publish, for all clients.

mod chunks;
mod thread;

pub(super) use thread::EntryThread;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use coffee_core::{frame::JobId, plan::Topology};
use coffee_mom::Broker;
use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::{registry::Registry, session::Ticket};
use crate::{Pulses, Stop, runner::Links, statistics::Counters};

/// A frame of a chunk, or of a table's end, on its way to an entry thread.
pub(super) struct Chunk {
    pub ticket: Ticket,
    pub body: Bytes,
}

/// Where chunks come in.
pub(super) struct Entrance {
    chunks: Sender<Chunk>,
    spare: Receiver<Vec<u8>>,
}

impl Entrance {
    /// Hands a chunk over, waiting until a thread is free for it; false where `stop` came first.
    pub fn enter(&self, chunk: Chunk, stop: &Stop) -> bool {
        select! {
            send(self.chunks, chunk) -> sent => sent.is_ok(),
            recv(stop.receiver()) -> _ => false,
        }
    }

    /// Memory for a frame: an earlier one's, if there is some.
    pub fn buffer(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }
}

/// Jobs that have ended, and a thread has not forgotten yet.
type EndedJobs = Arc<Mutex<BTreeSet<JobId>>>;

/// Tells the entry threads of jobs that have ended.
#[derive(Clone)]
pub(super) struct Ended(Vec<EndedJobs>);

impl Ended {
    /// They forget it, soon.
    pub fn tell(&self, job: JobId) {
        for jobs in &self.0 {
            jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
        }
    }
}

/// What each entry thread works with.
#[derive(Clone)]
pub(super) struct Entry {
    pub name: String,
    /// Where deaths are counted.
    pub state: Option<PathBuf>,
    pub broker: Arc<dyn Broker>,
    pub links: Links,
    pub topology: Arc<Topology>,
    pub registry: Arc<Registry>,
    /// Where each thread is watched.
    pub pulses: Pulses,
    /// Where their work is counted.
    pub counters: Arc<Counters>,
    /// Once triggered a thread ends when it has nothing in hand.
    pub drain: Stop,
    /// Once triggered a thread ends.
    pub stop: Stop,
}

impl Entry {
    /// So many threads, to be run, where their chunks come in, and by what they hear of jobs that have ended.
    pub fn threads(self, threads: usize) -> (Entrance, Ended, Vec<EntryThread>) {
        let (chunks, taken) = bounded(threads);
        let (free, spare) = bounded(2 * threads);
        let ended = Ended((0..threads).map(|_| EndedJobs::default()).collect());
        let thread = |(number, ended): (usize, &EndedJobs)| EntryThread {
            entry: self.clone(),
            attempts: self.state.as_ref().map(|state| state.join(format!("attempts-{number}"))),
            chunks: taken.clone(),
            spare: free.clone(),
            ended: ended.clone(),
        };
        let threads = ended.0.iter().enumerate().map(thread).collect();
        (Entrance { chunks, spare }, ended, threads)
    }
}
