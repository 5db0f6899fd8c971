//! The queues of a topology: their names, and the routes to them.

use std::{collections::HashMap, time::Instant};

use coffee_core::{
    frame::MAX_FRAME,
    plan::{Target, Topology},
};
use coffee_mom::{Broker, DeclareError, Name, NameError, QueueSpec, Route};

use super::broker::SETUP;

/// The queues of a topology: their names, and the routes to them.
#[derive(Clone, Debug)]
pub struct Links {
    queues: HashMap<Target, (Name, Route)>,
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
    /// Declares a queue for each stage's shard, all beginning with `prefix`, each bounded to so many frames, of any size
    /// that a frame may have.
    ///
    /// # Errors
    /// Where a queue can't be declared; others may be.
    pub fn declare(broker: &dyn Broker, topology: &Topology, prefix: &str, frames: usize) -> Result<Self, LinksError> {
        let mut links = Links { queues: HashMap::new() };
        for (at, stage) in topology.stages().iter().enumerate() {
            for shard in 0..stage.queues() {
                let target = Target::Stage { stage: at as u16, shard };
                links.add(broker, target, &format!("{prefix}.{}.{shard}", stage.name), frames)?;
            }
        }
        Ok(links)
    }

    /// Declares one more queue, for a target that has none.
    ///
    /// # Errors
    /// Where it can't be declared.
    pub fn add(&mut self, broker: &dyn Broker, target: Target, queue: &str, frames: usize) -> Result<(), LinksError> {
        let name = Name::new(queue)?;
        let spec = QueueSpec::named(name.clone()).bounded(frames, frames.saturating_mul(MAX_FRAME));
        broker.declare_queue(&spec, Instant::now() + SETUP)?;
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

    pub(super) fn route(&self, target: Target) -> Option<&Route> {
        self.queues.get(&target).map(|(_, route)| route)
    }
}
