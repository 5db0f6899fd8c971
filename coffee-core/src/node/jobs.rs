//! The jobs that a node works on: each opened by the first frame that names it.

use std::collections::{BTreeMap, btree_map::Entry};

use super::NodeError;
use crate::{
    frame::{FrameReader, JobHead, JobId},
    plan::{Job, Topology},
};

/// What a node knows of each job; in order, so that what a node does depends on what happens to it alone.
pub(crate) struct Jobs<T>(BTreeMap<JobId, Known<T>>);

struct Known<T> {
    encoded: Vec<u8>,
    head: JobHead,
    node: T,
}

impl<T> Jobs<T> {
    pub fn new() -> Self {
        Jobs(BTreeMap::new())
    }

    /// The job of a frame. Frames of one job say the same of it, those of another topology are refused (invariant 7).
    pub fn of(
        &mut self,
        topology: &Topology,
        frame: &FrameReader<'_>,
        open: impl FnOnce(JobId, Job) -> Result<T, NodeError>,
    ) -> Result<(&JobHead, &mut T), NodeError> {
        let head = frame.head()?;
        if head.topology != topology.version() {
            return Err(NodeError::Topology);
        }
        let id = head.job;
        let Known { encoded, head, node } = match self.0.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let node = open(id, Job::new(topology, &head)?)?;
                place.insert(Known { encoded: frame.head_bytes().to_vec(), head, node })
            }
        };
        if encoded == frame.head_bytes() { Ok((head, node)) } else { Err(NodeError::Disagreement(id)) }
    }

    /// Drops what is known of a job.
    pub fn forget(&mut self, job: JobId) {
        self.0.remove(&job);
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&JobHead, &T)> {
        self.0.values().map(|known| (&known.head, &known.node))
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&JobHead, &mut T)> {
        self.0.values_mut().map(|known| (&known.head, &mut known.node))
    }
}
