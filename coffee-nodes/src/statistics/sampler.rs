//! What a process has counted, put together whenever somebody wants to know.

use std::{sync::Arc, time::Instant};

use coffee_mom::Broker;
use crossbeam_channel::Receiver;

use super::{Identity, NodeStatistics, Statistics, snapshot::millis};

/// Looks at a process's counters. Any number of threads may do so at once, also while the broker hangs.
#[derive(Clone)]
pub struct Sampler {
    broker: Arc<dyn Broker>,
    identity: Identity,
    statistics: Statistics,
    begun: Instant,
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Sampler {
    /// Of this process, which begins now.
    pub fn new(broker: Arc<dyn Broker>, identity: Identity, statistics: Statistics) -> Self {
        Sampler { broker, identity, statistics, begun: Instant::now() }
    }

    /// Whose counters they are.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A token comes when what was counted should be told soon.
    pub(super) fn hurried(&self) -> &Receiver<()> {
        self.statistics.hurried()
    }

    /// How long the process has lived, in milliseconds.
    pub fn uptime_ms(&self) -> u64 {
        millis(self.begun.elapsed())
    }

    /// How they are now.
    pub fn sample(&self) -> NodeStatistics {
        let (broker, loops) = (self.broker.stats().into(), self.statistics.loops());
        NodeStatistics { broker, loops, ..NodeStatistics::now(&self.identity, self.begun) }
    }
}
