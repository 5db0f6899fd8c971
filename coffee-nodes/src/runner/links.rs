//! The queues of a topology: their names, and the routes to them.

use std::{collections::HashMap, fmt, num::NonZeroU32, sync::Arc, time::Instant};

use coffee_core::{
    frame::MAX_FRAME,
    plan::{Role, Target, Topology},
};
use coffee_mom::{Broker, DeclareError, Name, NameError, QueueKind, QueueSpec, Route};

use super::broker::SETUP;

/// How often a message may come back to a quorum queue: without end, as each death of a node brings back all that it had in hand.
/// RabbitMQ 4 drops a message after 20 times where nothing is said, and RabbitMQ 3 takes no word for "never".
const RETURNS: NonZeroU32 = NonZeroU32::MAX;

/// The queues of a topology: their names, and the routes to them.
#[derive(Clone, Debug, Default)]
pub struct Links {
    queues: HashMap<Target, (Name, Route)>,
    kind: QueueKind,
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
    /// As quorum queues those of shards have a single active consumer, as they know no exclusive ones, and let messages come back
    /// as often as it takes. A name that stands for a queue of another kind is an error.
    ///
    /// # Errors
    /// Where a queue can't be declared; others may be.
    pub fn declare_lasting(
        broker: &Arc<dyn Broker>,
        topology: &Topology,
        prefix: &str,
        kind: QueueKind,
        frames: usize,
    ) -> Result<Self, LinksError> {
        let gauge = Some(Gauge { broker: broker.clone(), frames });
        let mut links = Links { kind, gauge, ..Links::default() };
        for (target, name) in queues(topology, prefix) {
            links.declare_queue(&**broker, target, lasting(Name::new(&name)?, kind, is_shards(topology, target)))?;
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

    /// Whether a consumer can be alone at a queue because it asks for it. Otherwise the queue sees to it, and one that comes beside
    /// another waits there in silence.
    pub(super) fn knows_exclusive(&self) -> bool {
        self.kind != QueueKind::Quorum
    }

    /// How full its queues are, where that is for their publishers to see.
    pub(super) fn gauge(&self) -> Option<&Gauge> {
        self.gauge.as_ref()
    }

    pub(super) fn route(&self, target: Target) -> Option<&Route> {
        self.queues.get(&target).map(|(_, route)| route)
    }
}

/// A queue for a broker that outlasts its processes.
fn lasting(name: Name, kind: QueueKind, of_shard: bool) -> QueueSpec {
    let spec = QueueSpec::named(name).unbounded();
    match kind {
        QueueKind::Quorum if of_shard => spec.quorum().delivery_limit(RETURNS).single_active(),
        QueueKind::Quorum => spec.quorum().delivery_limit(RETURNS),
        _ => spec,
    }
}

/// Whether it is the queue of one shard, and not that of any number of replicas.
fn is_shards(topology: &Topology, target: Target) -> bool {
    let Target::Stage { stage, .. } = target else { return false };
    topology.stages().get(usize::from(stage)).is_some_and(|info| matches!(info.role, Role::Stateful { .. }))
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

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU16, time::Duration};

    use coffee_core::node::PublishId;
    use coffee_mom::{ConsumerOptions, open, testing::rabbitmq::TestBroker};

    use super::*;
    use crate::{
        Stop,
        results::{stages, testing::topology},
        runner::{BrokerTransport, Incoming, Sender, Sharing, Transport},
    };

    /// More often than RabbitMQ 4 lets a message come back unless told otherwise.
    const DEATHS: usize = 30;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    fn quorum(broker: &Arc<dyn Broker>, prefix: &str) -> (Links, Target) {
        let topology = topology();
        let links = Links::declare_lasting(broker, &topology, prefix, QueueKind::Quorum, 8).unwrap();
        (links, Target::Stage { stage: stages(&topology)[0], shard: 0 })
    }

    fn publish(broker: &Arc<dyn Broker>, links: &Links, target: Target) {
        let mut sender = Sender::new(&**broker, links.clone(), Stop::new()).unwrap();
        sender.publish(PublishId(0), target, b"frame".as_slice().into()).unwrap();
        while sender.confirmed().unwrap().is_none() {
            assert!(sender.wait(Duration::from_secs(30)).unwrap());
        }
    }

    #[test]
    fn what_a_dying_node_had_in_hand_stays_in_its_quorum_queue_however_often() {
        let own = TestBroker::shared().unwrap();
        let broker = open(own.url(), soon()).unwrap();
        let (links, target) = quorum(&broker, "deaths");
        publish(&broker, &links, target);
        let queue = links.queue(target).unwrap();
        for death in 0..=DEATHS {
            let broker = open(own.url(), soon()).unwrap();
            let options = ConsumerOptions::default().prefetch(NonZeroU16::MIN);
            let consumer = broker.consumer(queue, options, soon()).unwrap();
            let delivery = consumer.deliveries().recv_deadline(soon());
            assert!(delivery.is_ok(), "it is gone after {death} deaths");
            drop(consumer);
            broker.close(soon()).unwrap();
        }
        broker.close(soon()).unwrap();
    }

    #[test]
    fn only_one_life_of_a_shard_is_served_by_its_quorum_queue() {
        let own = TestBroker::shared().unwrap();
        let broker = open(own.url(), soon()).unwrap();
        let (links, target) = quorum(&broker, "lives");
        let live = || BrokerTransport::new(&*broker, &links, target, Sharing::Alone, Stop::new()).unwrap();
        let (mut first, mut second) = (live(), live());
        publish(&broker, &links, target);
        assert!(matches!(first.next(Duration::from_secs(30)).unwrap(), Incoming::Delivery(..)));
        assert!(matches!(second.next(Duration::from_millis(200)).unwrap(), Incoming::Nothing));
        drop(first);
        assert!(matches!(second.next(Duration::from_secs(30)).unwrap(), Incoming::Delivery(..)));
        drop(second);
        broker.close(soon()).unwrap();
    }
}
