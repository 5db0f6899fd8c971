//! A stateless node: answers each batch from that batch alone, and remembers nothing that it could not lose.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::{
    Action, Event, Failure, Node, NodeError, Tag, job_of,
    jobs::Jobs,
    losses::Losses,
    outputs::{Output, outputs, send_batch, send_empty, send_end, send_lost},
    packer::Packer,
};
use crate::{
    codec::DecodeError,
    exec::{Head, MemoryScratch, Outbox, Scratch, Transform, guarded},
    frame::{Count, FrameReader, JobHead, JobId, Part, PartMeta, Port},
    plan::{Job, Topology},
};

/// Runs the stateless stages of a topology: all whose frames reach it.
pub struct WorkerNode {
    topology: Arc<Topology>,
    jobs: Jobs<WorkerJob>,
    packer: Packer,
    gives_up: bool,
}

/// A job's operators, built when they are first needed.
struct WorkerJob {
    job: Job,
    chains: BTreeMap<Port, Chain>,
    /// Frames with batches that were given up.
    losses: u32,
}

struct Chain {
    transform: Box<dyn Transform>,
    outputs: Vec<Output>,
    outbox: Outbox,
}

impl WorkerNode {
    /// A node of this topology.
    pub fn new(topology: Arc<Topology>) -> Self {
        WorkerNode { topology, jobs: Jobs::new(), packer: Packer::default(), gives_up: false }
    }

    /// Gives up the batches that an operator fails on, so that the job goes on without what depends on them; otherwise
    /// the job fails.
    #[must_use]
    pub fn giving_up(mut self) -> Self {
        self.gives_up = true;
        self
    }

    /// Answers a frame, without the batches that are lost. One that turns out to be lost is found by an answer that fails:
    /// the next one goes without it.
    fn deliver(
        &mut self,
        (tag, body): (Tag, &Bytes),
        mut losses: Losses,
        actions: &mut Vec<Action>,
    ) -> Result<(), NodeError> {
        loop {
            self.packer.begin(tag);
            match self.answer(body, &mut losses, actions) {
                Ok(true) => break,
                Ok(false) => self.packer.abort(),
                Err(error) => {
                    self.packer.abort();
                    return Err(error);
                }
            }
        }
        self.packer.end(actions);
        Ok(())
    }

    /// Answers the parts of a frame; false where one of them was found to be lost.
    fn answer(&mut self, body: &Bytes, losses: &mut Losses, actions: &mut Vec<Action>) -> Result<bool, NodeError> {
        let WorkerNode { topology, jobs, packer, gives_up } = self;
        let mut frame = FrameReader::new(body)?;
        let open = |_, job| Ok(WorkerJob { job, chains: BTreeMap::new(), losses: 0 });
        let (head, job) = jobs.of(topology, &frame, open)?;
        for at in 0.. {
            let Some(part) = frame.part()? else { break };
            let (port, batch) = (part.meta.port(), part.meta.batch());
            if let Err(error) = job.answer(topology, head, packer, losses.instead(at, part)) {
                // A chain that could not end its answer still holds a part of it.
                job.chains.remove(&port);
                if *gives_up && error.is_of_batch() && losses.add(topology, at, port, batch, &error).is_some() {
                    return Ok(false);
                }
                return Err(error);
            }
        }
        losses.tell(head.job, &mut job.losses, body, packer, actions);
        Ok(true)
    }
}

impl Node for WorkerNode {
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), Failure> {
        match event {
            Event::Delivery { tag, body } => {
                let delivered = self.deliver((tag, &body), Losses::default(), actions);
                delivered.map_err(|error| Failure { job: job_of(&body), tag: Some(tag), error })?;
            }
            Event::GivenUp { tag, body, reason } => {
                let losses = Losses::all(&self.topology, &body, &reason);
                let delivered = losses.and_then(|losses| self.deliver((tag, &body), losses, actions));
                delivered.map_err(|error| Failure { job: job_of(&body), tag: Some(tag), error })?;
            }
            Event::Confirmed(id) => self.packer.confirmed(id, actions),
            Event::Idle => self.packer.flush(actions),
            Event::Release(job) => self.jobs.forget(job),
            Event::Forget(job) => {
                self.jobs.forget(job);
                self.packer.forget(job, actions);
            }
            Event::Committed(_) | Event::Restored(_) | Event::Emit => {} // it keeps nothing
        }
        Ok(())
    }

    fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// What it makes of a frame, it makes when that comes.
    fn emits(&self) -> Option<(JobId, u64)> {
        None
    }
}

impl WorkerJob {
    fn answer(
        &mut self,
        topology: &Topology,
        head: &JobHead,
        packer: &mut Packer,
        part: Part<'_>,
    ) -> Result<(), NodeError> {
        let port = part.meta.port();
        if !self.chains.contains_key(&port) {
            self.chains.insert(port, guarded(|| Ok(Chain::new(topology, &self.job, port)))??);
        }
        let Some(chain) = self.chains.get_mut(&port) else { return Ok(()) };
        let Chain { transform, outputs, outbox } = chain;
        match part.meta {
            PartMeta::Rows { stream, seq, rows, mut counts, .. } => {
                guarded(|| transform.batch(rows, part.payload, outbox))?;
                refuse_rejections(topology, head, outbox)?;
                Count::add_all(&mut counts, &outbox.take_counts());
                send_batch(packer, head, outputs, (stream, seq), counts, outbox)
            }
            PartMeta::Empty { stream, seqs, .. } => send_empty(packer, head, outputs, stream, &seqs),
            PartMeta::End { stream, batches, counts, failed, .. } => {
                send_end(packer, head, outputs, (stream, batches), &counts, failed.as_ref())
            }
            PartMeta::Lost { loss, .. } => send_lost(packer, head, outputs, &loss),
        }
    }
}

impl Chain {
    fn new(topology: &Topology, job: &Job, port: Port) -> Result<Self, NodeError> {
        let unknown = DecodeError::Unknown("a port of a stateless stage");
        let mut heads = topology
            .stages()
            .iter()
            .enumerate()
            .flat_map(|(stage, found)| found.heads.iter().map(move |head| (stage, head)));
        let (stage, info) = heads.find(|(_, head)| head.inputs.contains(&port)).ok_or_else(|| unknown.clone())?;
        let scratch = || -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) }; // no stateless operator uses it
        match job.head(topology, info, &scratch) {
            Some(Head::Stateless(transform)) => {
                Ok(Chain { transform, outputs: outputs(topology, job, info), outbox: job.outbox(topology, stage) })
            }
            _ => Err(unknown.into()),
        }
    }
}

/// In a strict job the first rejected row is the end.
pub(super) fn refuse_rejections(topology: &Topology, head: &JobHead, outbox: &mut Outbox) -> Result<(), NodeError> {
    match outbox.take_rejection() {
        Some((operator, rejection)) if head.strict => {
            let source_name = topology.plan().operators().nth(operator.into()).unwrap_or_default().to_owned();
            Err(NodeError::Rejected { source_name, rejection: Box::new(rejection) })
        }
        _ => Ok(()),
    }
}
