//! The calls among the processes of a cluster, and what is told to all of them. Encoded by postcard; all processes of a
//! cluster are one build.

use std::collections::BTreeMap;

use coffee_core::frame::{Count, JobHead, JobId, Port};
use serde::{Deserialize, Serialize};

use crate::{
    access::Caller,
    job::{ErrorReport, JobSpec, JobState, JobSummary, Mark},
};

/// A call to the query node. What is asked for a client carries who that is; nodes' own calls are trusted. Each does no harm when it is repeated, so calls are made at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryRequest {
    /// Mints a job, persistently, and puts it at the end of the queue. Answered by [`QueryReply::Begun`].
    Begin {
        /// Whose job it is.
        caller: Caller,
        /// Drawn by the client: the same request of one owner mints one job, however often it comes, also after a restart.
        request: u128,
        /// What it asks for: refused where the parameters or tables are not the plan's.
        spec: JobSpec,
    },
    /// Makes the caller the one gateway session of a job: those with lower epochs are over. Answered by
    /// [`QueryReply::Attached`], or [`QueryError::Superseded`] where it repeats the call of a session that is over. Only a job's
    /// owner sends its data; an operator gets results alone.
    Attach {
        /// Who asks.
        caller: Caller,
        /// The job.
        job: JobId,
        /// Drawn by the gateway for this session: the same one is made once, however often the call comes.
        session: u128,
        /// What the client has at hand: refused where the job was minted for something else. `None`: only wants results,
        /// so the session that there is goes on, and the answer's epoch is that one's.
        spec: Option<JobSpec>,
    },
    /// A session is alive, and its table marks are these. Sent every few seconds, and before a session ends. Answered by
    /// [`QueryReply::State`], or [`QueryError::Superseded`].
    Renew {
        /// The job.
        job: JobId,
        /// The session's.
        epoch: u64,
        /// Those that have changed; lower ones than known are passed over.
        marks: Vec<Mark>,
    },
    /// How far a job is: for nodes, and for gateways on behalf of who has attached. Answered by [`QueryReply::State`].
    State {
        /// The job.
        job: JobId,
    },
    /// Cancels a job that has not ended. Answered by [`QueryReply::State`], what it is now.
    Cancel {
        /// Who asks.
        caller: Caller,
        /// The job.
        job: JobId,
    },
    /// All jobs that are known and are there for the caller, oldest first. Answered by [`QueryReply::Jobs`].
    List {
        /// Who asks.
        caller: Caller,
    },
    /// The newest errors that were reported. Answered by [`QueryReply::Errors`].
    Errors,
    /// One job, with what was reported about it. Answered by [`QueryReply::Job`].
    Describe {
        /// Who asks.
        caller: Caller,
        /// The job.
        job: JobId,
    },
    /// Which jobs live. Answered by [`QueryReply::Live`].
    Live,
    /// A node can't go on with a job: it fails. Answered by [`QueryReply::State`]; from then on it does not live.
    Fail {
        /// The job.
        job: JobId,
        /// Which node, and why.
        report: ErrorReport,
    },
    /// A node is held up by its disk, or goes on; told every few seconds while it is. Answered by [`QueryReply::Noted`].
    Held {
        /// What the node is called in reports.
        node: String,
        /// What holds it up; `None` where it goes on.
        reason: Option<String>,
    },
    /// A shard begins a life, with a store of this identity: the jobs for which it had registered another one fail, as what
    /// it had of them is lost. Answered by [`QueryReply::Noted`].
    Returned {
        /// The stage, by its index in the topology.
        stage: u16,
        /// Which shard of it.
        shard: u16,
        /// The store's.
        store: u64,
    },
    /// Something to be kept in the log of errors. Answered by [`QueryReply::Noted`].
    Report(ErrorReport),
    /// The results node has all that a job asked for, but for what can't be had. Answered by [`QueryReply::State`].
    Complete {
        /// The job.
        job: JobId,
        /// The results that can't be had, by name.
        without: Vec<String>,
    },
    /// How far a shard is with the jobs that it works on: said every few seconds. Answered by [`QueryReply::Noted`].
    Working {
        /// The stage, by its index in the topology.
        stage: u16,
        /// Which shard of it.
        shard: u16,
        /// Its jobs.
        jobs: Vec<Working>,
    },
    /// A shard, or the results node, holds nothing of an ended job any more. Answered by [`QueryReply::Noted`].
    Forgotten {
        /// The job.
        job: JobId,
        /// The stage, by its index in the topology.
        stage: u16,
        /// Which shard of it.
        shard: u16,
    },
    /// A shard is about to make its first commit of a job, in a store with this identity. Answered by
    /// [`QueryReply::Noted`]; where the shard has registered with another store, the job fails, as what it had is lost.
    /// Nothing may be committed of a job that has ended, before or thereby: [`QueryError::Ended`].
    Register {
        /// The job.
        job: JobId,
        /// The stage, by its index in the topology.
        stage: u16,
        /// Which shard of it.
        shard: u16,
        /// The store's, drawn when it was made.
        store: u64,
    },
}

/// How far a shard is with a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Working {
    /// The job.
    pub job: JobId,
    /// Grows with whatever comes in that is new, and whatever goes out.
    pub steps: u64,
    /// What it still waits for, in words.
    pub lacks: String,
}

/// An answer of the query node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueryReply {
    /// The job that was minted.
    Begun(JobId),
    /// The session that the caller now has.
    Attached(Box<Attached>),
    /// How far the job is.
    State(JobState),
    /// All jobs.
    Jobs(Vec<JobSummary>),
    /// One job.
    Job {
        /// How far it is.
        summary: JobSummary,
        /// What was reported about it, oldest first; bounded.
        errors: Vec<ErrorReport>,
    },
    /// The newest errors that were reported in this life of the query node, oldest first; bounded.
    Errors(Vec<ErrorReport>),
    /// Which jobs live.
    Live(LiveSet),
    /// It is kept.
    Noted,
}

/// A session of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// What all frames of the job say of it.
    pub head: JobHead,
    /// What it was minted with.
    pub spec: JobSpec,
    /// Whether the job is the caller's own, and not another's that an operator asks for.
    pub own: bool,
    /// The session's: higher than those before.
    pub epoch: u64,
    /// How far each table is, by index.
    pub marks: Vec<Mark>,
    /// How far the job is.
    pub state: JobState,
}

/// Which jobs live: minted, and not ended (invariant 10).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSet {
    /// The cluster's id.
    pub cluster: u64,
    /// The highest number that was minted.
    pub highest: u64,
    /// The numbers of those that live, ascending.
    pub live: Vec<u64>,
    /// The versions of the topologies that those were minted for, each with the lowest number of its jobs (invariant 7).
    pub topologies: BTreeMap<u64, u64>,
}

impl LiveSet {
    /// A live job that was minted for another topology than that version's.
    pub fn foreign(&self, version: u64) -> Option<JobId> {
        let mut others = self.topologies.iter().filter(|(other, _)| **other != version);
        others.next().map(|(_, number)| JobId { cluster: self.cluster, number: *number })
    }
}

/// Why the query node refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum QueryError {
    /// Never minted, or long forgotten; or another's, which a client is not told.
    #[error("there is no job {0}")]
    UnknownJob(JobId),
    /// The job has ended: it takes nothing more.
    #[error("job {0} has ended")]
    Ended(JobId),
    /// A newer session of the job took over.
    #[error("another session of the job has taken over")]
    Superseded,
    /// The job was minted for other data or parameters.
    #[error("job {0} was begun with other data or parameters: {1}")]
    Differs(JobId, String),
    /// What is asked for can't be done by this cluster's plan.
    #[error("the request can't be answered: {0}")]
    Invalid(String),
    /// As many jobs wait as the cluster keeps.
    #[error("too many jobs wait: try again later")]
    Busy,
    /// The client has as many jobs that wait, run, or are not forgotten by all nodes as one may have.
    #[error("{0} jobs of this client wait, run or are being cleared away, and no more may: try again later")]
    TooMany(usize),
    /// The job's files have more bytes than those of a client's job may.
    #[error("the files have {bytes} bytes, and those of a client's job may have {most}")]
    TooLarge {
        /// So many.
        bytes: u64,
        /// So many may be.
        most: u64,
    },
    /// The job is there for the caller, but that is its owner's to do.
    #[error("job {0} is another's, and only its owner may send its data")]
    Denied(JobId),
    /// The query node can't keep what it is asked to.
    #[error("the query node can't store the request: {0}")]
    Store(String),
}

/// What is told to all processes of a cluster on the control exchange. A process that misses it finds out by asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// A job was minted: it lives.
    Minted(JobId),
    /// A job was admitted: its client may send data.
    Admitted(JobId),
    /// A session took a job over: older ones are over.
    Attached {
        /// The job.
        job: JobId,
        /// The new session's.
        epoch: u64,
    },
    /// A result of a job is complete, or will never be.
    Result {
        /// The job.
        job: JobId,
        /// The port that carries it to the client.
        port: Port,
    },
    /// A job ended: done, failed or cancelled. It does not live: whoever has state of it deletes that, and answers
    /// [`QueryRequest::Forgotten`]. Repeated until all have.
    Ended(JobId),
}

/// A call to the results node. Each does no harm when it is repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultsRequest {
    /// A piece of a result. Answered by [`ResultsReply::Piece`], [`ResultsReply::NotYet`] or [`ResultsReply::Failed`].
    Piece {
        /// The job.
        job: JobId,
        /// The port that carries the result to the client.
        port: Port,
        /// Which piece, counted from 0.
        number: u64,
    },
    /// What was counted. Answered by [`ResultsReply::Counts`], [`ResultsReply::NotYet`] while results are missing.
    Counts {
        /// The job.
        job: JobId,
    },
    /// The client has taken everything: its results are dropped an hour later. Answered by [`ResultsReply::Noted`].
    Taken {
        /// The job.
        job: JobId,
    },
}

/// An answer of the results node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResultsReply {
    /// Encoded rows of a result.
    Piece {
        /// The rows. As bytes, which are copied as one; numbers of 8 bits each would take 50 times as long.
        #[serde(with = "serde_bytes")]
        payload: Vec<u8>,
        /// Whether the result is complete with it.
        last: bool,
    },
    /// The result is not complete; a [`Control::Result`] tells when.
    NotYet,
    /// The result can't be had.
    Failed {
        /// Why, in words.
        reason: String,
    },
    /// By operator.
    Counts(Vec<Count>),
    /// It is kept.
    Noted,
}

/// Why the results node refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ResultsError {
    /// Nothing is kept of that job: never there, or dropped after its time.
    #[error("no results of job {0} are kept")]
    UnknownJob(JobId),
    /// The store can't be read.
    #[error("the results can't be read: {0}")]
    Store(String),
}
