//! What people see of a cluster: as a gateway has heard it, for its clients. All sequences are bounded, as a stranger may send
//! them.

use serde::{Deserialize, Serialize};

use super::{Identity, NodeKind, Work};
use crate::{
    bounded,
    job::{ErrorReport, JobSummary},
};

/// The most nodes, and the most queues, that are shown.
pub(crate) const MOST_NODES: usize = 2048;

/// The most jobs that are shown: the newest.
pub(crate) const MOST_JOBS: usize = 128;

/// The most stages that a job is shown with.
pub(crate) const MOST_STAGES: usize = 256;

/// The most tables of a job whose chunks are foreseen: with those of all stages they fit into a message.
pub(crate) const MOST_TABLES: usize = 256;

/// The most bytes of a stage's name: what nodes say has no longer ones either.
const MOST_NAME: usize = 255;

/// The most errors that are shown: the newest.
pub(crate) const MOST_ERRORS: usize = 100;

/// A cluster, as one of its gateways knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Which gateway says so.
    pub gateway: String,
    /// The nodes that were heard in the last ten minutes, by name.
    #[serde(deserialize_with = "bounded::items::<_, _, MOST_NODES>")]
    pub nodes: Vec<NodeView>,
    /// The queues between them, in the order of their stages.
    #[serde(deserialize_with = "bounded::items::<_, _, MOST_NODES>")]
    pub queues: Vec<QueueView>,
    /// The newest jobs, oldest first.
    #[serde(deserialize_with = "bounded::items::<_, _, MOST_JOBS>")]
    pub jobs: Vec<JobView>,
    /// The newest errors that were reported, oldest first.
    #[serde(deserialize_with = "bounded::items::<_, _, MOST_ERRORS>")]
    pub errors: Vec<ErrorReport>,
    /// Why queues, jobs or errors are not as they are now, but were before; in words.
    pub stale: Option<String>,
    /// How many nodes, queues, jobs, stages of jobs and errors are not in it, as a message has no room for them.
    pub left_out: u64,
}

/// A node. Rates are those of its last second, and 0 where it is not alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Which node, and which of its lives.
    pub identity: Identity,
    /// Whether it was heard within the last three seconds.
    pub alive: bool,
    /// Whether two processes say that they are this node: what is shown is by turns of one and the other.
    pub doubled: bool,
    /// Whether it is the monitor that leads.
    pub leads: bool,
    /// For how long it was not heard, in milliseconds.
    pub silent_ms: u64,
    /// How long it had lived when it was heard last, in milliseconds.
    pub uptime_ms: u64,
    /// How often it was started again: as whoever starts it says, or since the gateway knows it.
    pub restarts: u32,
    /// Rows that come, a second.
    pub rows: u64,
    /// Bytes of frames that come and go, a second.
    pub bytes: u64,
    /// Frames that it has not acked.
    pub in_hand: u64,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Processor time a second, in thousandths of a processor.
    pub cpu: u64,
    /// Commits a second.
    pub commits: u64,
    /// Time in commits a second, in thousandths.
    pub committing: u64,
    /// Dead letters in this life.
    pub dead_letters: u64,
    /// Times that a link to the broker came back in this life.
    pub reconnects: u64,
    /// Publishes that were sent again in this life.
    pub replayed: u64,
    /// Deliveries in this life that may have come before.
    pub redelivered: u64,
}

impl NodeView {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Whether it takes orders: monitors have no connection to the broker by which they could.
    pub fn takes_orders(&self) -> bool {
        self.identity.kind != NodeKind::Monitor
    }
}

/// A queue between nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// Its name without the cluster's.
    pub name: String,
    /// Frames that wait for a consumer.
    pub ready: u64,
    /// Consumers that the broker sees.
    pub consumers: u64,
    /// Frames that consumers have in hand, as they say.
    pub unacked: u64,
    /// Frames that come, a second.
    pub coming: u64,
    /// Frames that are delivered, a second.
    pub going: u64,
}

/// A job, and what was done for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// How far it is.
    pub summary: JobSummary,
    /// What each stage has done for it, by name; nothing once it has ended.
    #[serde(deserialize_with = "bounded::items::<_, _, MOST_STAGES>")]
    pub stages: Vec<StageWork>,
}

/// What a stage has done for a job, all its nodes together. What nodes do again after a death counts again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageWork {
    /// The stage's name.
    pub stage: String,
    /// What was done.
    pub work: Work,
}

/// What a stage has done for a job, and what feeds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FedWork {
    /// The stage's name.
    #[serde(deserialize_with = "bounded::text::<_, MOST_NAME>")]
    pub stage: String,
    /// What was done.
    pub work: Work,
    /// How many batches a chunk makes here, by table of the manifest; none where other stages feed it too, so that it is not known
    /// what comes.
    #[serde(deserialize_with = "bounded::items::<_, _, MOST_TABLES>")]
    pub chunks: Vec<u64>,
}
