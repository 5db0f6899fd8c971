//! The query node's threads: one that decides, by the calls that come; one that ticks; one that tells.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::plan::Topology;
use coffee_mom::{
    AttachError, Broker, ConsumerEnd, QueueSpec, StopError,
    rpc::{Server, ServerOptions, SetupError},
};
use crossbeam_channel::{RecvTimeoutError, bounded};
use parking_lot::Mutex;

use super::{
    error::QueryNodeError,
    keeper::Keeper,
    options::QueryOptions,
    publisher::{BACKLOG, Publisher},
    rules::Rules,
    store::{Records, Store},
};
use crate::{
    Stop,
    cluster::{Names, Teller},
    job::ErrorReport,
    runner::until_free,
    threads::Threads,
};

/// How often it is looked what time calls for.
const TICK: Duration = Duration::from_millis(250);

/// The one node of a cluster that mints jobs, lets them run, and knows which live.
///
/// Dropping it stops it, and waits some seconds for its threads.
pub struct QueryNode {
    // Dropped in this order: no call is left when the other threads stop.
    server: Server,
    threads: Threads,
    keeper: Arc<Mutex<Keeper>>,
}

impl QueryNode {
    /// Starts to serve the cluster's calls, with what the state folder holds; a new one founds a new cluster.
    ///
    /// Blocks until calls are served: while the store is read, and a minute at most for the broker.
    ///
    /// # Errors
    /// [`QueryNodeError`]; nothing runs then.
    pub fn start(
        broker: Arc<dyn Broker>,
        names: &Names,
        topology: Arc<Topology>,
        options: QueryOptions,
    ) -> Result<Self, QueryNodeError> {
        let (state, stop) = (options.state.clone(), options.stop.clone());
        let open = move || Store::open(&state).map(|(store, kept)| (Box::new(store) as Box<dyn Records>, kept));
        let (tell, told) = bounded(BACKLOG);
        let keeper = Keeper::new(Rules::new(topology, options), Box::new(open), tell)?;
        let keeper = Arc::new(Mutex::new(keeper));

        let publisher = Publisher { teller: Teller::new(&*broker, &names.control()?)?, told };
        let threads = Threads::default();
        threads.start("query tell", |stop| publisher.run(stop))?;

        let queue = QueueSpec::named(names.query()?);
        let in_use = |error: &SetupError| matches!(error, SetupError::Attach(AttachError::InUse(_)));
        let start = || {
            let called = keeper.clone();
            Server::start(broker.clone(), &queue, ServerOptions::default(), move |request| called.lock().call(request))
        };
        let server = until_free(&stop, in_use, start)?;
        // Only once no other node serves the cluster does anything happen by itself.
        let ticked = keeper.clone();
        threads.start("query tick", move |stop| tick(&ticked, stop))?;
        Ok(QueryNode { server, threads, keeper })
    }

    /// The newest errors that were reported to it since it started, oldest first; bounded.
    pub fn errors(&self) -> Vec<ErrorReport> {
        self.keeper.lock().log()
    }

    /// Why it gets no more calls though nobody has stopped it; none while it does.
    pub fn ended(&self) -> Option<ConsumerEnd> {
        self.server.ended()
    }

    /// Answers the calls in hand, takes no more, and ends its threads. Blocks until `deadline` at most.
    ///
    /// # Errors
    /// Where that takes longer. What it has answered is kept all the same.
    pub fn stop(&self, deadline: Instant) -> Result<(), StopError> {
        let served = self.server.stop(deadline);
        if self.threads.stop(deadline) { served } else { Err(StopError::Deadline) }
    }
}

fn tick(keeper: &Mutex<Keeper>, stop: &Stop) {
    loop {
        keeper.lock().tick();
        if stop.receiver().recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
