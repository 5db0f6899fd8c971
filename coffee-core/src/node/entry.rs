//! The node where chunks come in: answers those of hosted sources itself, and passes the others on to their stage.

use std::sync::Arc;

use bytes::Bytes;

use super::{Action, Event, Failure, Node, NodeError, PublishId, Tag, WorkerNode, job_of};
use crate::{
    frame::{FrameReader, JobId},
    plan::{Target, Topology},
};

/// Publishes that this node makes itself have this bit; the others are the hosted worker's.
const PASSED_ON: u64 = 1 << 63;

/// Takes frames of source chunks, one source a frame.
pub struct EntryNode {
    topology: Arc<Topology>,
    worker: WorkerNode,
}

impl EntryNode {
    /// An entry to this topology.
    pub fn new(topology: Arc<Topology>) -> Self {
        EntryNode { worker: WorkerNode::new(topology.clone()), topology }
    }

    /// Gives up the batches that an operator fails on; otherwise the job fails.
    #[must_use]
    pub fn giving_up(mut self) -> Self {
        self.worker = self.worker.giving_up();
        self
    }

    /// The queue that a frame goes to; `None` where its source is hosted here.
    fn destination(&self, body: &[u8]) -> Result<Option<Target>, NodeError> {
        let mut reader = FrameReader::new(body)?;
        let Some(part) = reader.part()? else { return Ok(None) };
        let Some(stage) = self.topology.stage_of(part.meta.port()) else { return Ok(None) };
        let hosted = self.topology.stages().get(usize::from(stage)).is_some_and(|stage| stage.hosted);
        Ok((!hosted).then_some(Target::Stage { stage, shard: 0 }))
    }

    fn pass_on(tag: Tag, to: Target, body: Bytes) -> Action {
        Action::Publish { id: PublishId(PASSED_ON | tag.0), to, body }
    }
}

impl Node for EntryNode {
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), Failure> {
        match event {
            Event::Delivery { tag, ref body } | Event::GivenUp { tag, ref body, .. } => match self.destination(body) {
                Ok(Some(to)) => actions.push(Self::pass_on(tag, to, body.clone())),
                Ok(None) => self.worker.step(event, actions)?,
                Err(error) => return Err(Failure { job: job_of(body), tag: Some(tag), error }),
            },
            Event::Confirmed(PublishId(id)) if id & PASSED_ON != 0 => actions.push(Action::Ack(Tag(id & !PASSED_ON))),
            other => self.worker.step(other, actions)?,
        }
        Ok(())
    }

    fn jobs(&self) -> usize {
        self.worker.jobs()
    }

    fn emits(&self) -> Option<(JobId, u64)> {
        self.worker.emits()
    }
}
