//! A whole cluster as threads of this process, over any broker: for programs that answer several clients at once without
//! processes of their own for it, and for trying things out. The nodes are those that `coffee up` starts as processes; but
//! what ends this process ends all of them, so nobody starts one again.

use std::{
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::plan::Topology;
use coffee_mom::{Broker, NameError, StopError};
use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::{
    Pulses, RetryPause, Stop,
    client::{Client, ClientOptions},
    cluster::{ClusterNode, Names, RosterError, roster},
    gateway::{Gateway, GatewayError, GatewayOptions},
    query::{QueryNode, QueryNodeError, QueryOptions},
    results::{self, ResultsOptions},
    statistics::Statistics,
    threads::Threads,
    worker::{self, WorkerOptions},
};

/// How long the nodes may take to get ready.
const READY: Duration = Duration::from_secs(60);

/// How long results are kept for a client that does not fetch them.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a drop waits for all threads.
const DROPPED: Duration = Duration::from_secs(5);

/// What a cluster in this process is to be like.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// The cluster's name, which those of its queues begin with.
    pub name: String,
    /// The folder for what is to outlive the process; `None` keeps nothing, and jobs end with the process.
    pub state: Option<PathBuf>,
    /// Where clients connect; port 0 for any.
    pub listen: SocketAddr,
}

impl LocalOptions {
    /// Keeps nothing, and listens at any port of the loopback interface.
    pub fn new(name: &str) -> Self {
        LocalOptions { name: name.to_owned(), state: None, listen: (Ipv4Addr::LOCALHOST, 0).into() }
    }
}

/// Why there is no cluster, or it did not stop in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// A name that no broker takes.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two nodes would have one name.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// There is no room for what does not fit into memory.
    #[error("a folder can't be made")]
    Folder(#[source] io::Error),
    /// The system gives no thread.
    #[error("a thread can't be started")]
    Thread(#[source] io::Error),
    /// The query node can't start.
    #[error(transparent)]
    Query(#[from] QueryNodeError),
    /// The gateway can't start, or did not end in time.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// A node has failed.
    #[error("node {node} failed")]
    Node {
        /// Which node.
        node: String,
        /// Why.
        #[source]
        error: Box<dyn Error + Send + Sync>,
    },
    /// Not all nodes got ready within a minute; as may be where the folder has a job of another plan or placement that lives.
    #[error("the nodes don't get ready: perhaps as a job of another plan or placement lives")]
    NotReady,
    /// A node's thread has ended, by a panic, which was told on stderr.
    #[error("node {0} has ended")]
    Ended(String),
    /// The query node's calls did not end in time.
    #[error(transparent)]
    Calls(#[from] StopError),
    /// Not all threads ended in time.
    #[error("the nodes did not end in time")]
    Deadline,
}

/// A running cluster. Dropping it stops it, and waits for at most five seconds.
pub struct LocalCluster {
    gateway: Option<Gateway>,
    nodes: Threads,
    failed: Failed,
    query: QueryNode,
    /// For what nodes do not keep.
    _scratch: Option<TempDir>,
}

/// How the nodes are.
#[derive(Default)]
enum Health {
    /// None has failed.
    #[default]
    Good,
    /// The first that failed.
    Failed(LocalError),
    /// That was told, in words.
    Told(String),
}

type Failed = Arc<Mutex<Health>>;

impl LocalCluster {
    /// Starts all nodes of a plan under its placement, and returns once they work. They use this broker, which is not closed.
    ///
    /// # Errors
    /// Where a node can't start. Nothing is left running.
    pub fn start(
        broker: &Arc<dyn Broker>,
        topology: &Arc<Topology>,
        options: LocalOptions,
    ) -> Result<Self, LocalError> {
        let names = Names::new(&options.name)?;
        let scratch = options.state.is_none().then(tempfile::tempdir).transpose().map_err(LocalError::Folder)?;
        let state = scratch.as_ref().map(|folder| folder.path().to_owned()).or(options.state).unwrap_or_default();
        let volatile = scratch.is_some();
        let query = QueryOptions::new(state.join("query-node")).volatile(volatile);
        let query = QueryNode::start(broker.clone(), &names, topology.clone(), query)?;
        let (nodes, failed) = (Threads::default(), Failed::default());
        let mut cluster = LocalCluster { gateway: None, nodes, failed, query, _scratch: scratch };
        let all = roster(topology, 0)?;
        let (ready, readies) = bounded(all.len());
        let mut awaited = 0;
        for node in all {
            let folder = state.join(node.name());
            let seat =
                Seat { broker: broker.clone(), names: names.clone(), topology: topology.clone(), folder, volatile };
            awaited += usize::from(cluster.start_node(seat, node, ready.clone())?);
        }
        drop(ready);
        let deadline = Instant::now() + READY;
        for _ in 0..awaited {
            if readies.recv_deadline(deadline).is_err() {
                cluster.check()?;
                return Err(LocalError::NotReady);
            }
        }
        let options = GatewayOptions::new(options.listen);
        cluster.gateway = Some(Gateway::start(broker.clone(), names, topology.clone(), options)?);
        Ok(cluster)
    }

    /// Where clients connect.
    pub fn address(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().map(Gateway::address)
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(ClientOptions::new(self.address().iter().map(SocketAddr::to_string).collect()))
    }

    /// Whether all nodes work. After an error of a node none does, and the cluster takes no more jobs.
    ///
    /// # Errors
    /// The first that failed; asked again, only that it has ended.
    pub fn check(&self) -> Result<(), LocalError> {
        let mut failed = self.failed.lock();
        match std::mem::take(&mut *failed) {
            Health::Good => self.nodes.ended().map_or(Ok(()), |node| Err(LocalError::Ended(node))),
            Health::Failed(error) => {
                *failed = Health::Told(error.to_string());
                Err(error)
            }
            Health::Told(what) => {
                *failed = Health::Told(what.clone());
                Err(LocalError::Ended(what))
            }
        }
    }

    /// Stops in order: clients are told to try elsewhere, what is in hand is answered, all threads end. Blocks until `deadline`
    /// at most.
    ///
    /// # Errors
    /// Where something did not end by then, or a node had failed.
    pub fn stop(mut self, deadline: Instant) -> Result<(), LocalError> {
        let gateway = self.gateway.take().map_or(Ok(()), |gateway| gateway.stop(deadline));
        let ended = self.nodes.stop(deadline);
        self.query.stop(deadline)?;
        gateway?;
        self.check()?;
        if ended { Ok(()) } else { Err(LocalError::Deadline) }
    }

    /// Starts a node's thread, if it has one of its own; `ready` hears once it works.
    fn start_node(&self, seat: Seat, node: ClusterNode, ready: Sender<()>) -> Result<bool, LocalError> {
        if !matches!(node, ClusterNode::Results | ClusterNode::Replica { .. } | ClusterNode::Shard { .. }) {
            return Ok(false);
        }
        let (name, failed) = (node.name(), self.failed.clone());
        let body = move |stop: &Stop| {
            let name = node.name();
            let is_ready = || {
                let _ = ready.send(()); // nobody waits any more where another one is too slow
            };
            if let Err(error) = seat.run(node, stop, is_ready) {
                let mut failed = failed.lock();
                if matches!(*failed, Health::Good) {
                    *failed = Health::Failed(LocalError::Node { node: name, error });
                }
                stop.trigger();
            }
        };
        self.nodes.start(&name, body).map_err(LocalError::Thread)?;
        Ok(true)
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        let deadline = Instant::now() + DROPPED;
        drop(self.gateway.take());
        self.nodes.stop(deadline);
    }
}

/// What a node is run with.
struct Seat {
    broker: Arc<dyn Broker>,
    names: Names,
    topology: Arc<Topology>,
    folder: PathBuf,
    volatile: bool,
}

impl Seat {
    fn run(&self, node: ClusterNode, stop: &Stop, ready: impl FnOnce()) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Seat { broker, names, topology, volatile, .. } = self;
        match node {
            ClusterNode::Results => {
                let options = ResultsOptions {
                    state: self.folder.clone(),
                    keep: KEEP,
                    volatile: *volatile,
                    pause: RetryPause::default(),
                    pulses: Pulses::default(),
                    statistics: Statistics::default(),
                };
                results::run(broker, names, topology, &options, stop, ready)?;
            }
            ClusterNode::Replica { stage, index } | ClusterNode::Shard { stage, index } => {
                let options = WorkerOptions {
                    stage,
                    index,
                    state: self.folder.clone(),
                    volatile: *volatile,
                    pause: RetryPause::default(),
                    pulses: Pulses::default(),
                    statistics: Statistics::default(),
                };
                worker::run(broker, names, topology, &options, stop, ready)?;
            }
            ClusterNode::Query | ClusterNode::Gateway { .. } | ClusterNode::Monitor { .. } => {}
        }
        Ok(())
    }
}
