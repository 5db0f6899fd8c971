//! What a process says of itself, as it is sent.

use std::time::{Duration, Instant};

use coffee_core::frame::JobId;
use coffee_mom::Stats;
use serde::{Deserialize, Serialize};

use super::{Latencies, Work, process_use};
use crate::{bounded, cluster::ClusterNode};

/// The environment variable with how often a process's node was started again before it, for who starts it and counts that.
pub const RESTARTS_VARIABLE: &str = "COFFEE_RESTARTS";

/// Bounds of what is decoded, as anybody at the broker may send it: above what a process has.
const MOST_LOOPS: usize = 1024;
const MOST_WORKED: usize = 4096;
const MOST_TEXT: usize = 255;

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// The query node.
    Query,
    /// The results node.
    Results,
    /// A gateway.
    Gateway,
    /// A shard of a stateful stage.
    Shard,
    /// A replica of a stateless stage.
    Replica,
    /// A monitor.
    Monitor,
}

impl From<&ClusterNode> for NodeKind {
    fn from(node: &ClusterNode) -> Self {
        match node {
            ClusterNode::Query => NodeKind::Query,
            ClusterNode::Results => NodeKind::Results,
            ClusterNode::Replica { .. } => NodeKind::Replica,
            ClusterNode::Shard { .. } => NodeKind::Shard,
            ClusterNode::Gateway { .. } => NodeKind::Gateway,
            ClusterNode::Monitor { .. } => NodeKind::Monitor,
        }
    }
}

/// Who says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The node's name in the cluster.
    #[serde(deserialize_with = "bounded::text::<_, MOST_TEXT>")]
    pub name: String,
    /// What it is for.
    pub kind: NodeKind,
    /// The number of this life of it.
    pub life: u64,
    /// Its process.
    pub pid: u32,
    /// How often it was started again before this life, where whoever starts it counts that.
    pub restarts: Option<u32>,
}

impl Identity {
    /// This process's, as that node.
    pub fn of(node: &ClusterNode, life: u64) -> Self {
        let restarts = std::env::var(RESTARTS_VARIABLE).ok().and_then(|restarts| restarts.parse().ok());
        Identity { name: node.name(), kind: node.into(), life, pid: std::process::id(), restarts }
    }
}

/// What a process has done and taken since its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatistics {
    /// Who says it.
    pub identity: Identity,
    /// Whether it is the monitor that leads.
    pub leads: bool,
    /// Milliseconds since its start.
    pub uptime_ms: u64,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
    /// Its connection to the broker.
    pub broker: BrokerStatistics,
    /// Its loops.
    #[serde(deserialize_with = "bounded::items::<_, _, MOST_LOOPS>")]
    pub loops: Vec<LoopStatistics>,
}

impl NodeStatistics {
    /// Of this process, which lives since then, without loops and a broker.
    pub fn now(identity: &Identity, begun: Instant) -> Self {
        let taken = process_use();
        NodeStatistics {
            identity: identity.clone(),
            leads: false,
            uptime_ms: millis(begun.elapsed()),
            memory: taken.memory,
            cpu_ms: millis(taken.cpu),
            broker: BrokerStatistics::default(),
            loops: Vec::new(),
        }
    }
}

/// As it is sent.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What has been done through a connection to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerStatistics {
    /// Messages published.
    pub published: u64,
    /// Of those, the ones that wait for their confirm.
    pub unconfirmed: u64,
    /// Published again after a link was lost.
    pub replayed: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Of those, the ones that may have come before.
    pub redelivered: u64,
    /// Times that a link came back.
    pub reconnects: u64,
}

impl From<Stats> for BrokerStatistics {
    fn from(stats: Stats) -> Self {
        let Stats { published, replayed, delivered, redelivered, reconnects, .. } = stats;
        BrokerStatistics { published, unconfirmed: stats.in_flight(), replayed, delivered, redelivered, reconnects }
    }
}

/// What a loop has done since its process's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopStatistics {
    /// The stage that it works for, or what else it is.
    #[serde(deserialize_with = "bounded::text::<_, MOST_TEXT>")]
    pub stage: String,
    /// Which shard of it, which names its queue; 0 for replicas, which share one.
    pub shard: u16,
    /// Frames that came.
    pub frames_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
    /// Frames that were sent.
    pub frames_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// Frames that came and are not acked.
    pub in_hand: u64,
    /// From a frame that came to the loop's being free for what comes next: decoding, the operators' work, and publishing what
    /// follows from it, with the wait for room.
    pub step: Latencies,
    /// From a frame that was handed to the broker to its confirm, as the loop sees it.
    pub confirm: Latencies,
    /// Commits.
    pub commit: Latencies,
    /// Dead letters that were written.
    pub dead_letters: u64,
    /// Batches and rows.
    pub work: Work,
    /// The same by job, of those that have not ended, or not long ago; bounded.
    #[serde(deserialize_with = "bounded::items::<_, _, MOST_WORKED>")]
    pub jobs: Vec<(JobId, Work)>,
}
