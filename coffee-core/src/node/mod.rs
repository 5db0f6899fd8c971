//! Nodes as state machines: an event in, actions out, no I/O. Whoever drives one has the threads, sockets, store and
//! clock: the embedded engine, a process over RabbitMQ, a simulator.
//!
//! The driver does the actions in their order, and answers each `Publish` and `Commit` with an event once it is done.
//! A node never acks before the outputs of a delivery are confirmed, or committed with its state (invariants 3 and 4).

mod entry;
mod jobs;
mod losses;
mod operator;
mod outputs;
mod packer;
mod shard;
mod worker;

pub use entry::EntryNode;
pub use shard::{MakeScratch, ShardNode};
pub use worker::WorkerNode;

use bytes::Bytes;

use crate::{
    codec::{DecodeError, EncodeError},
    exec::ExecError,
    frame::{FrameReader, JobId, Loss},
    plan::Target,
    rejection::Rejection,
};

/// Names a delivery to its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u64);

/// Names a publish: counted from 0 by the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub u64);

/// Names a group of deliveries that are committed together: counted from 0 by the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Event {
    /// A frame came.
    Delivery {
        /// By which it is acked.
        tag: Tag,
        /// The frame.
        body: Bytes,
    },
    /// A frame came whose batches are to be given up unseen: it ended the process each time that it was worked on.
    GivenUp {
        /// By which it is acked.
        tag: Tag,
        /// The frame.
        body: Bytes,
        /// Why, in words.
        reason: String,
    },
    /// The broker owns what was published.
    Confirmed(PublishId),
    /// The store has what was committed.
    Committed(GroupId),
    /// No delivery is ready: what is held back to travel or commit together should go now.
    Idle,
    /// What [`Node::emits`] says is to be emitted. The driver brings it behind any other event, for as long as there is something.
    Emit,
    /// What an earlier life of the node committed, before anything else happens to this one: marks of emission first.
    Restored(Record),
    /// Little more of a job is expected here: what can be made again may go. Nothing else changes.
    Release(JobId),
    /// A job has ended: all of it is to go. What is held of its deliveries is acked, what was to be sent of it is not.
    Forget(JobId),
}

/// What a node's store keeps for it. A node's state is what absorbing its records again, in any order, makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A frame was absorbed.
    Frame {
        /// The job that it is of.
        job: JobId,
        /// The frame.
        body: Bytes,
    },
    /// All that an operator emits of a job is confirmed: its state is not needed any more.
    Emitted {
        /// The job.
        job: JobId,
        /// The operator, by its index in the topology.
        operator: u16,
    },
}

impl Record {
    /// The job that it is of.
    pub fn job(&self) -> JobId {
        match self {
            Record::Frame { job, .. } | Record::Emitted { job, .. } => *job,
        }
    }
}

/// What a node asks of its driver.
#[derive(Clone, Debug)]
pub enum Action {
    /// Publish a frame; answered by [`Event::Confirmed`].
    Publish {
        /// Its name.
        id: PublishId,
        /// Where to.
        to: Target,
        /// The frame.
        body: Bytes,
    },
    /// Keep these batches, and the frame that they came in, where people find them; answered by [`Event::Confirmed`].
    GiveUp {
        /// Its name.
        id: PublishId,
        /// The job.
        job: JobId,
        /// The batches, and why they are given up (invariant 9).
        losses: Vec<Loss>,
        /// The frame; empty where many of the job have been given up before.
        body: Bytes,
    },
    /// Make these durable, all or none; answered by [`Event::Committed`].
    Commit {
        /// Its name.
        group: GroupId,
        /// What was absorbed or emitted since the last commit.
        records: Vec<Record>,
    },
    /// Ack a delivery: all that depends on it is confirmed or committed.
    Ack(Tag),
}

/// Why a node can't go on with a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// A frame that can't be decoded.
    #[error("a frame can't be decoded")]
    Decode(#[from] DecodeError),
    /// A frame that can't be encoded.
    #[error("a frame can't be encoded")]
    Encode(#[from] EncodeError),
    /// An operator failed.
    #[error("an operator failed: {0}")]
    Exec(#[from] ExecError),
    /// A row was rejected in a strict job.
    #[error("a row of {source_name} was rejected")]
    Rejected {
        /// The source's or joiner's name.
        source_name: String,
        /// Which row, and why.
        rejection: Box<Rejection>,
    },
    /// Two frames of one job that can't both be right (invariant 7).
    #[error("frames of job {0} disagree")]
    Disagreement(JobId),
    /// A frame of another topology (invariant 7).
    #[error("a frame was made for another topology than this node's")]
    Topology,
    /// The answer to one batch is more than a frame can hold.
    #[error("the answer to one batch has {0} bytes, more than a frame can hold: smaller batches are needed")]
    TooLarge(usize),
    /// More gaps in a stream than any run in order leaves (invariant 8).
    #[error("a stream of job {0} has too many gaps")]
    Gaps(JobId),
    /// Working for the job has ended the process so many times.
    #[error("working on it has ended the process {0} times")]
    Deadly(u64),
}

impl NodeError {
    /// Whether it is one batch alone that can't be answered, so that the job goes on without what depends on it.
    fn is_of_batch(&self) -> bool {
        match self {
            NodeError::Exec(error) => !matches!(error, ExecError::Scratch(_)),
            NodeError::Encode(_) | NodeError::TooLarge(_) => true,
            _ => false,
        }
    }
}

/// A job that a node can't go on with, or a delivery that it can make nothing of.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// The job; `None` where not even that is known.
    pub job: Option<JobId>,
    /// The delivery in which it failed; `None` where it failed in emitting.
    pub tag: Option<Tag>,
    /// Why.
    #[source]
    pub error: NodeError,
}

/// A node's logic.
pub trait Node: Send {
    /// Takes one event and appends what is to be done to `actions`.
    ///
    /// # Errors
    /// Where a job can't go on. What the event brought is not acked and nothing of its answer goes out. The node is good
    /// for other jobs, and for this one not before [`Event::Forget`]. What stands in `actions` is to be done all the same.
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), Failure>;

    /// Of how many jobs it holds something in memory.
    fn jobs(&self) -> usize;

    /// The job that it emits for at the next [`Event::Emit`], and which step of that it is: the same one in each life. `None`:
    /// there is nothing to emit, or not now.
    fn emits(&self) -> Option<(JobId, u64)>;

    /// How many frames have come, in this life, in which nothing was new: they were dropped.
    fn repeats(&self) -> u64 {
        0
    }

    /// How far it is with each job that it waits for.
    fn progress(&self) -> Vec<Progress> {
        Vec::new()
    }
}

/// How far a node is with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The job.
    pub job: JobId,
    /// Grows with whatever comes in that is new, and whatever goes out.
    pub steps: u64,
    /// What it still waits for, in words; empty where it has all.
    pub lacks: String,
}

/// The job that a frame is of, where that can be read.
fn job_of(body: &[u8]) -> Option<JobId> {
    Some(FrameReader::new(body).ok()?.head().ok()?.job)
}

#[cfg(test)]
mod tests;
