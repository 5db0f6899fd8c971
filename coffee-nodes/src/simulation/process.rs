//! A process of a simulated system: one life after the other of the same node.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use coffee_core::{
    exec::{MemoryScratch, Scratch},
    frame::JobId,
    node::{EntryNode, Event, MakeScratch, Node, PublishId, ShardNode, Tag, WorkerNode},
    plan::{Role, Target, Topology},
};
use coffee_mom::{
    Broker, MemoryBroker,
    faults::{FaultPlan, FaultyBroker},
};
use crossbeam_channel::{Receiver, Sender as ChannelSender};

use super::{
    Sabotage,
    client::{Client, Gateway, Ticket},
    disk::Disk,
    fate::Mortal,
    query::{ProcessJobs, QueryDesk},
    shared::Shared,
};
use crate::{
    Stop,
    cluster::{Control, Known, LiveJobs},
    results::{News, ResultsStore, ResultsTransport},
    runner::{
        BrokerTransport, Course, Incoming, Jobs, Links, Runner, RunnerError, Sender, Sharing, Store, Transport,
        TransportError, Turn,
    },
};

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A gateway.
    Entry,
    /// A replica of a stateless stage.
    Replica(u16),
    /// A shard of a stateful stage.
    Shard(u16, u16),
    /// A stage whose answers are results.
    Results(u16),
}

/// What processes need of the system.
#[derive(Clone)]
pub(super) struct Site {
    pub shared: Rc<Shared>,
    pub topology: Arc<Topology>,
    pub broker: Arc<MemoryBroker>,
    pub links: Links,
    pub query: Rc<QueryDesk>,
    pub results: Arc<ResultsStore>,
    pub news: ChannelSender<News>,
    pub clients: Rc<RefCell<Vec<Client>>>,
    pub sabotage: Option<Sabotage>,
}

/// From the identity of a process's disk to that of its next.
const NEXT_DISK: u64 = 1 << 32;

/// How long a process that was asked to stop may take for what it has in hand: in a simulation no time goes by.
const GRACE: Duration = Duration::from_secs(3600);

/// A process's place in the system.
pub(super) struct Process {
    pub name: Rc<str>,
    pub kind: Kind,
    pub disk: Disk,
    /// Its store's.
    identity: u64,
    /// Its lives so far.
    lives: u32,
    life: Option<Life>,
}

struct Life {
    node: Box<dyn Node>,
    transport: Mortal<Box<dyn Transport>>,
    store: Mortal<Disk>,
    jobs: Mortal<ProcessJobs>,
    course: Course,
    live: Arc<LiveJobs>,
    stop: Stop,
    _broker: FaultyBroker,
}

impl Process {
    pub fn new(index: usize, topology: &Topology, kind: Kind) -> Self {
        let stage = |at| topology.stage_name(at);
        let name = match kind {
            Kind::Entry => format!("gateway-{index}"),
            Kind::Replica(at) => format!("{}-{index}", stage(at)),
            Kind::Shard(at, shard) => format!("{}.{shard}", stage(at)),
            Kind::Results(at) => stage(at).to_owned(),
        };
        Process { name: name.into(), kind, disk: Disk::default(), identity: index as u64, lives: 0, life: None }
    }

    /// Its life, where it is a gateway that lives.
    pub fn gateway(&self) -> Option<Gateway> {
        (self.kind == Kind::Entry && self.is_alive()).then_some((self.identity as usize, self.lives))
    }

    pub fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    /// Of how many jobs its node holds something in memory.
    pub fn jobs(&self) -> usize {
        self.life.as_ref().map_or(0, |life| life.node.jobs())
    }

    /// Its process dies: what it had not acked comes again.
    pub fn kill(&mut self) {
        self.life = None;
    }

    /// It takes nothing new, and ends once what it has in hand is done.
    pub fn ask_to_stop(&self) {
        if let Some(life) = &self.life {
            life.stop.trigger();
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.stop.is_triggered())
    }

    /// Its disk is replaced by an empty one; false where it has none.
    pub fn lose_disk(&mut self) -> bool {
        let keeps = matches!(self.kind, Kind::Shard(..) | Kind::Results(_));
        if keeps {
            self.disk = Disk::default();
            self.identity += NEXT_DISK;
        }
        keeps
    }

    /// Tells it what was told to all.
    pub fn hear(&self, told: &Control) {
        if let Some(life) = &self.life {
            life.live.told(told);
        }
    }

    /// It asks which jobs live.
    pub fn refresh(&self, site: &Site) -> Result<(), String> {
        self.life.as_ref().map_or(Ok(()), |life| site.query.refresh(&life.live).map_err(|error| error.to_string()))
    }

    /// Does what comes next.
    ///
    /// # Errors
    /// Where it fails; also where it has died.
    pub fn turn(&mut self) -> Result<Turn, RunnerError> {
        let Some(Life { node, transport, store, jobs, course, .. }) = &mut self.life else { return Ok(Turn::Idle) };
        Runner { node: &mut **node, transport, store, jobs, course }.turn(Duration::ZERO)
    }

    /// Begins a life, with what the earlier ones have left on its disk.
    ///
    /// # Errors
    /// Where it fails, or dies at once.
    pub fn start(&mut self, site: &Site) -> Result<(), RunnerError> {
        let Site { shared, topology, broker, links, query, .. } = site;
        self.lives += 1;
        let broker = FaultyBroker::new(broker.clone(), faults(shared));
        let live = Arc::new(LiveJobs::new());
        query.refresh(&live)?;
        let keeps = match self.kind {
            Kind::Shard(stage, shard) => Some((stage, shard, self.identity)),
            Kind::Results(stage) => Some((stage, 0, self.identity)),
            Kind::Entry | Kind::Replica(_) => None,
        };
        let jobs = ProcessJobs { query: query.clone(), live: live.clone(), keeps };
        let mut jobs = Mortal { inner: jobs, shared: shared.clone(), name: self.name.clone() };
        let mut store = Mortal { inner: self.disk.clone(), shared: shared.clone(), name: self.name.clone() };
        self.forget_ended(&live, &mut store, &mut jobs)?;
        jobs.inner.returned()?;
        let node = self.node(topology)?;
        let stop = Stop::new();
        let consume = |stage, shard, sharing| -> Result<BrokerTransport, TransportError> {
            let target = Target::Stage { stage, shard };
            let transport = BrokerTransport::new(&broker, links, target, sharing, stop.clone())?;
            Ok(transport.ended(live.watch()).grace(GRACE))
        };
        let transport: Box<dyn Transport> = match self.kind {
            Kind::Entry => {
                Box::new(EntryTransport::new((self.identity as usize, self.lives), site, &broker, live.watch())?)
            }
            Kind::Replica(stage) => {
                Box::new(Releasing { inner: consume(stage, 0, Sharing::Shared)?, site: site.clone() })
            }
            Kind::Shard(stage, shard) => Box::new(consume(stage, shard, Sharing::Alone)?),
            Kind::Results(stage) => Box::new(ResultsTransport::new(
                consume(stage, 0, Sharing::Alone)?,
                site.results.clone(),
                site.news.clone(),
            )),
        };
        let node = match site.sabotage {
            Some(sabotage) => sabotage(self.kind, node),
            None => node,
        };
        let transport = Mortal { inner: transport, shared: shared.clone(), name: self.name.clone() };
        self.life = Some(Life { node, transport, store, jobs, course: Course::default(), live, stop, _broker: broker });
        Ok(())
    }

    fn forget_ended(&self, live: &LiveJobs, store: &mut impl Store, jobs: &mut impl Jobs) -> Result<(), RunnerError> {
        let mut kept: Vec<JobId> = self.disk.records().iter().map(coffee_core::node::Record::job).collect();
        kept.dedup();
        for job in kept {
            if live.knows(job) != Known::Lives {
                store.forget(job)?;
                jobs.forgotten(job)?;
            }
        }
        Ok(())
    }

    fn node(&self, topology: &Arc<Topology>) -> Result<Box<dyn Node>, RunnerError> {
        let (stage, shard) = match self.kind {
            Kind::Entry => return Ok(Box::new(EntryNode::new(topology.clone()).giving_up())),
            Kind::Replica(_) => return Ok(Box::new(WorkerNode::new(topology.clone()).giving_up())),
            Kind::Shard(stage, shard) => (stage, shard),
            Kind::Results(stage) => (stage, 0),
        };
        let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
        let mut node = ShardNode::new(topology.clone(), stage, shard, scratch).giving_up();
        for record in self.disk.records() {
            node.step(Event::Restored(record), &mut Vec::new()).map_err(|failure| failure.error)?;
        }
        Ok(Box::new(node))
    }
}

/// All processes that a placement has.
pub(super) fn all(topology: &Topology, entries: usize) -> Vec<Process> {
    let mut kinds = vec![Kind::Entry; entries];
    for (at, stage) in (0..).zip(topology.stages()).filter(|(_, stage)| !stage.hosted) {
        match stage.role {
            _ if topology.has_sinks(at) => kinds.push(Kind::Results(at)),
            Role::Stateless { replicas } => kinds.extend(vec![Kind::Replica(at); replicas.into()]),
            Role::Stateful { shards } => kinds.extend((0..shards).map(|shard| Kind::Shard(at, shard))),
        }
    }
    kinds.into_iter().enumerate().map(|(index, kind)| Process::new(index, topology, kind)).collect()
}

/// What goes wrong between a process and its broker, in one life.
fn faults(shared: &Shared) -> FaultPlan {
    let seed = shared.below(1 << 16) as u64;
    let rate = |most: u32| [0, 0, most / 5, most][shared.below(4)];
    FaultPlan::new(seed).failures(rate(20)).disconnects(rate(30)).duplicates(rate(100)).delays(rate(300))
}

/// A gateway's: takes chunks of the clients that are connected to it.
struct EntryTransport {
    gateway: Gateway,
    clients: Rc<RefCell<Vec<Client>>>,
    sender: Sender,
    tickets: HashMap<Tag, Ticket>,
    next: u64,
    ended: Receiver<JobId>,
}

impl EntryTransport {
    fn new(gateway: Gateway, site: &Site, broker: &dyn Broker, ended: Receiver<JobId>) -> Result<Self, TransportError> {
        let sender = Sender::new(broker, site.links.clone(), Stop::new())?;
        Ok(EntryTransport { gateway, clients: site.clients.clone(), sender, tickets: HashMap::new(), next: 0, ended })
    }
}

impl Transport for EntryTransport {
    fn next(&mut self, _wait: Duration) -> Result<Incoming, TransportError> {
        if let Some(id) = self.sender.confirmed()? {
            return Ok(Incoming::Confirmed(id));
        }
        if let Ok(job) = self.ended.try_recv() {
            return Ok(Incoming::Ended(job));
        }
        let sent = self.clients.borrow_mut().iter_mut().find_map(|client| client.send(self.gateway));
        let Some((ticket, body)) = sent else { return Ok(Incoming::Nothing) };
        self.next += 1;
        self.tickets.insert(Tag(self.next), ticket);
        Ok(Incoming::Delivery(Tag(self.next), body))
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        self.sender.publish(id, to, body)
    }

    fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
        if let Some(ticket) = self.tickets.remove(&tag)
            && let Some(client) = self.clients.borrow_mut().get_mut(ticket.client)
        {
            client.ack(ticket);
        }
        Ok(())
    }
}

/// A replica's, which hears now and then that it may let go of a job.
struct Releasing {
    inner: BrokerTransport,
    site: Site,
}

impl Transport for Releasing {
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        if self.site.shared.once_in(100) {
            let clients = self.site.clients.borrow();
            if let Some(job) = clients.get(self.site.shared.below(clients.len())).and_then(|client| client.job) {
                return Ok(Incoming::Released(job));
            }
        }
        self.inner.next(wait)
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        self.inner.publish(id, to, body)
    }

    fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
        self.inner.ack(tag)
    }
}
