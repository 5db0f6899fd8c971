//! Worker nodes: one replica of a stateless stage, or one shard of a stateful one, as a process of a cluster.
//!
//! ```text
//! stage's queue --> runner around a node --> queues of the next stages
//!                     |            |
//!                 Journal      Membership: which jobs live
//! ```

mod error;
mod replicas;
mod shard;
mod tally;

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
    Pulse, Pulses, Stop,
    cluster::{JoinError, Membership, Names},
    runner::{self, Sharing, Volatile},
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
    /// Where its loop is watched once it works.
    pub pulses: Pulses,
}

/// Runs a worker node until `stop`, which ends it gracefully: what is in hand is answered and acked. `ready` is called once
/// it consumes. All that it had not acked comes again to its next life, or to another replica.
///
/// # Errors
/// Where there is no such stage or shard, its state can't be used, or the broker or query node refuses; not for a broker that is
/// away, nor for a job of another topology that lives, whose end it waits for.
pub fn run(
    broker: &Arc<dyn Broker>,
    names: &Names,
    topology: &Arc<Topology>,
    options: &WorkerOptions,
    stop: &Stop,
    ready: impl FnOnce(),
) -> Result<(), WorkerError> {
    let WorkerOptions { stage: name, index, state, pulses } = options;
    let pulse = Pulse::default();
    let found = topology.stages().iter().zip(0..).find(|(stage, _)| stage.name == *name);
    let (stage, at) = found.filter(|(stage, _)| !stage.hosted).ok_or_else(|| WorkerError::NoStage(name.clone()))?;
    let Some(membership) = Membership::join(broker, names, topology, stop)? else { return Ok(()) };
    let transport = |shard, sharing| {
        let transport = membership.transport(Target::Stage { stage: at, shard }, sharing);
        transport.map(|transport| transport.pulse(pulse.clone()))
    };
    let ran = match stage.role {
        Role::Stateful { shards } if *index < shards => {
            let mut journal = Journal::open(&state.join("journal"))?;
            let (scratch, pulse) = (state.clone(), pulse.clone());
            let place = ShardPlace { stage: at, shard: *index, name: format!("{name}.{index}"), scratch, pulse };
            shard::forget_ended(&membership, &place, &mut journal)?;
            let mut transport = transport(*index, Sharing::Alone)?;
            pulses.watch(&place.name, &place.pulse);
            ready();
            run_shard(&membership, topology, &place, &mut journal, &mut transport)
        }
        Role::Stateful { shards } => Err(WorkerError::NoShard { stage: name.clone(), shard: *index, shards }),
        Role::Stateless { replicas } => {
            let rounds = Replicas::join(broker, &names.replicas(name)?, name, replicas)?;
            let mut transport = rounds.around(transport(0, Sharing::Shared)?);
            let jobs = membership.node(&format!("{name}-{index}"), None).pulse(pulse.clone());
            let mut jobs = jobs.counting_deaths(&state.join("attempts"));
            pulses.watch(name, &pulse);
            ready();
            let mut node = WorkerNode::new(topology.clone()).giving_up();
            error::unless_stopped(runner::run(&mut node, &mut transport, &mut Volatile, &mut jobs))
        }
    };
    match membership.lost() {
        Some(lost) => Err(JoinError::Lost(lost).into()),
        None => ran,
    }
}
