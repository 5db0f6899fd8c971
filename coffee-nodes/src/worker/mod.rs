//! Worker nodes: one replica of a stateless stage, or one shard of a stateful one, as a process of a cluster.
//!
//! ```text
//! stage's queue --> runner around a node --> queues of the next stages
//!                     |            |
//!                 Journal      Membership: which jobs live
//! ```

mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod replicas;
mod shard;

pub use error::WorkerError;
pub(crate) use shard::forget_ended;
pub use shard::{ShardPlace, run_shard};

use std::{path::PathBuf, sync::Arc};

use coffee_core::{
    node::WorkerNode,
    plan::{Role, Target, Topology},
};
use coffee_mom::Broker;

use self::replicas::Replicas;
use crate::{
    Pulse, Pulses, RetryPause, Stop,
    cluster::{JoinError, Membership, Names},
    hold::Holder,
    runner::{self, Sharing, Volatile},
    statistics::{Counted, Statistics},
    store::Journal,
};

/// Which node this is.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The stage's name.
    pub stage: String,
    /// Which shard of it; for a replica of a stateless stage, which replica: it shows in reports alone.
    pub index: u16,
    /// The folder for its state, which no other node uses. Stateless stages only count there in what work they have died.
    pub state: PathBuf,
    /// Keeps nothing there but what does not fit into memory: its death fails the jobs that it worked for.
    pub volatile: bool,
    /// How long it waits when its disk is full.
    pub pause: RetryPause,
    /// Where its loop is watched once it works.
    pub pulses: Pulses,
    /// Where its work is counted.
    pub statistics: Statistics,
}

/// Runs a worker node until `stop`, which ends it gracefully: what is in hand is answered and acked. `ready` is called once
/// it consumes. All that it had not acked comes again to its next life, or to another replica. Once it is ready, a disk that
/// is full or fails is no error: it lets go of what it has in hand, and begins anew when there is room again.
///
/// # Errors
/// Where there is no such stage or shard, its state can't be used, or the broker or query node refuses; not for a broker that is
/// away, nor for a job of another topology that lives, whose end it waits for. Then it has triggered `stop`.
pub fn run(
    broker: &Arc<dyn Broker>,
    names: &Names,
    topology: &Arc<Topology>,
    options: &WorkerOptions,
    stop: &Stop,
    ready: impl FnOnce(),
) -> Result<(), WorkerError> {
    let WorkerOptions { stage: name, index, .. } = options;
    let found = topology.stages().iter().zip(0..).find(|(stage, _)| stage.name == *name);
    let (stage, at) = found.filter(|(stage, _)| !stage.hosted).ok_or_else(|| WorkerError::NoStage(name.clone()))?;
    let node = match stage.role {
        Role::Stateful { shards } if *index >= shards => {
            return Err(WorkerError::NoShard { stage: name.clone(), shard: *index, shards });
        }
        Role::Stateful { .. } => format!("{name}.{index}"),
        Role::Stateless { .. } => format!("{name}-{index}"),
    };
    let worker = Worker { broker, names, topology, options, role: stage.role, at, node: &node };
    Holder { broker, names, node: &node, pause: options.pause, stop }
        .lives(ready, |stop, ready| worker.live(stop, ready))
}

/// What a worker node is in all of its lives.
struct Worker<'a> {
    broker: &'a Arc<dyn Broker>,
    names: &'a Names,
    topology: &'a Arc<Topology>,
    options: &'a WorkerOptions,
    role: Role,
    /// The stage's index.
    at: u16,
    node: &'a str,
}

impl Worker<'_> {
    fn live(&self, stop: &Stop, ready: &mut dyn FnMut()) -> Result<(), WorkerError> {
        let Some(membership) = Membership::join(self.broker, self.names, self.topology, stop)? else { return Ok(()) };
        let ran = match self.role {
            Role::Stateful { .. } => self.shard(&membership, ready),
            Role::Stateless { replicas } => self.replica(&membership, replicas, ready),
        };
        match membership.lost() {
            Some(lost) => Err(JoinError::Lost(lost).into()),
            None => ran,
        }
    }

    fn shard(&self, membership: &Arc<Membership>, ready: &mut dyn FnMut()) -> Result<(), WorkerError> {
        let WorkerOptions { index, state, volatile, pulses, statistics, .. } = self.options;
        let mut journal = if *volatile { Journal::volatile() } else { Journal::open(&state.join("journal"))? };
        let (name, scratch, pulse) = (self.node.to_owned(), state.clone(), Pulse::default());
        let counters = statistics.stage(self.topology, self.at, *index);
        let place = ShardPlace { stage: self.at, shard: *index, name, scratch, pulse: pulse.clone(), counters };
        forget_ended(membership, &place, &mut journal)?;
        let target = Target::Stage { stage: self.at, shard: *index };
        let mut transport = membership.transport(target, Sharing::Alone)?.pulse(pulse.clone());
        pulses.watch(self.node, &pulse);
        ready();
        run_shard(membership, self.topology, &place, &mut journal, &mut transport)
    }

    fn replica(&self, membership: &Arc<Membership>, replicas: u16, ready: &mut dyn FnMut()) -> Result<(), WorkerError> {
        let WorkerOptions { stage, state, pulses, statistics, .. } = self.options;
        let pulse = Pulse::default();
        let counters = statistics.stage(self.topology, self.at, 0);
        let rounds = Replicas::join(self.broker, &self.names.replicas(stage)?, (stage, replicas), counters.clone())?;
        let consuming = membership.transport(Target::Stage { stage: self.at, shard: 0 }, Sharing::Shared)?;
        let mut transport = rounds.around(consuming.pulse(pulse.clone()));
        let mut transport = Counted::new(&mut transport, &counters).ends(rounds.ends());
        let jobs = membership.node(self.node, None).pulse(pulse.clone());
        let mut jobs = jobs.counting_deaths(&state.join("attempts"));
        pulses.watch(self.node, &pulse);
        ready();
        let mut node = WorkerNode::new(self.topology.clone()).giving_up();
        error::unless_stopped(runner::run(&mut node, &mut transport, &mut Volatile, &mut jobs))
    }
}
