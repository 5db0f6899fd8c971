//! The queues of a topology: their names, and the routes to them.

use std::{collections::HashMap, fmt, sync::Arc, time::Instant};

use coffee_core::{
    frame::MAX_FRAME,
    plan::{Target, Topology},
};
use coffee_mom::{Broker, DeclareError, Name, NameError, QueueSpec, Route};

use super::broker::SETUP;

/// The queues of a topology: their names, and the routes to them.
#[derive(Clone, Debug, Default)]
pub struct Links {
    queues: HashMap<Target, (Name, Route)>,
    gauge: Option<Gauge>,
}

/// Tells how full a queue is that its publishers bound.
#[derive(Clone)]
pub(super) struct Gauge {
    broker: Arc<dyn Broker>,
    /// So many frames may wait there.
    pub frames: usize,
}

impl Gauge {
    /// Frames that wait in a queue for a consumer; `None` where the broker does not tell by then.
    pub fn waiting(&self, queue: &Name, deadline: Instant) -> Option<usize> {
        self.broker.queue_status(queue, deadline).ok().map(|status| status.ready)
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge").field("frames", &self.frames).finish_non_exhaustive()
    }
}

/// A queue could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinksError {
    /// A name that no broker takes.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The broker refused.
    #[error(transparent)]
    Declare(#[from] DeclareError),
}

impl Links {
    /// Declares a queue for each stage's shard and one for dead letters, all beginning with `prefix`, each bounded by the broker to so many frames,
    /// of any size that a frame may have: for brokers that end with their processes.
    ///
    /// # Errors
    /// Where a queue can't be declared; others may be.
    pub fn declare(broker: &dyn Broker, topology: &Topology, prefix: &str, frames: usize) -> Result<Self, LinksError> {
        let mut links = Links::default();
        for (target, name) in queues(topology, prefix) {
            links.add(broker, target, &name, frames)?;
        }
        Ok(links)
    }

    /// Declares the same queues for brokers that outlast their processes. Their publishers bound them: a classic queue of
    /// RabbitMQ that is bounded itself drops what is above its bound when the broker is restarted, as then all that was
    /// delivered and not acked waits again, and that is above it by as much as was under way.
    ///
    /// # Errors
    /// Where a queue can't be declared; others may be.
    pub fn declare_lasting(
        broker: &Arc<dyn Broker>,
        topology: &Topology,
        prefix: &str,
        frames: usize,
    ) -> Result<Self, LinksError> {
        let mut links = Links { gauge: Some(Gauge { broker: broker.clone(), frames }), ..Links::default() };
        for (target, name) in queues(topology, prefix) {
            links.declare_queue(&**broker, target, QueueSpec::named(Name::new(&name)?).unbounded())?;
        }
        Ok(links)
    }

    /// Declares one more queue, for a target that has none.
    ///
    /// # Errors
    /// Where it can't be declared.
    pub fn add(&mut self, broker: &dyn Broker, target: Target, queue: &str, frames: usize) -> Result<(), LinksError> {
        let spec = QueueSpec::named(Name::new(queue)?).bounded(frames, frames.saturating_mul(MAX_FRAME));
        self.declare_queue(broker, target, spec)
    }

    fn declare_queue(&mut self, broker: &dyn Broker, target: Target, spec: QueueSpec) -> Result<(), LinksError> {
        let name = broker.declare_queue(&spec, Instant::now() + SETUP)?;
        let route = Route::queue(&name);
        self.queues.insert(target, (name, route));
        Ok(())
    }

    /// The queues with messages that wait for a consumer, and how many; without those that the broker does not tell of.
    pub(crate) fn waiting(&self, broker: &dyn Broker) -> Vec<(Name, usize)> {
        let ready = |name: &Name| broker.queue_status(name, Instant::now() + SETUP).map_or(0, |status| status.ready);
        let queues = self.queues.values().map(|(name, _)| (name.clone(), ready(name)));
        queues.filter(|(_, ready)| *ready > 0).collect()
    }

    /// The name of a target's queue.
    pub fn queue(&self, target: Target) -> Option<&Name> {
        self.queues.get(&target).map(|(name, _)| name)
    }

    /// How full its queues are, where that is for their publishers to see.
    pub(super) fn gauge(&self) -> Option<&Gauge> {
        self.gauge.as_ref()
    }

    pub(super) fn route(&self, target: Target) -> Option<&Route> {
        self.queues.get(&target).map(|(_, route)| route)
    }
}

/// The queue of each stage's shard, and that of dead letters: no stage's name makes it one of a stage's, which end with a shard.
fn queues(topology: &Topology, prefix: &str) -> Vec<(Target, String)> {
    let mut queues = Vec::new();
    for (stage, info) in (0..).zip(topology.stages()) {
        let shards = 0..info.queues();
        queues.extend(shards.map(|shard| (Target::Stage { stage, shard }, format!("{prefix}.{}.{shard}", info.name))));
    }
    queues.push((Target::DeadLetters, format!("{prefix}.dead-letters")));
    queues
}
