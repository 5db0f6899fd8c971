//! The query node's threads: one that decides, by the calls that come; one that ticks; one that tells; one that takes dead
//! letters.

use std::{
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::plan::{Target, Topology};
use coffee_mom::{
    Broker, Consumer, ConsumerEnd, ConsumerOptions, StopError,
    rpc::{Server, ServerOptions},
};
use crossbeam_channel::{RecvTimeoutError, bounded};
use parking_lot::Mutex;

use super::{
    dead_letters::DeadLetters,
    desk::{Kept, Now},
    error::QueryNodeError,
    keeper::{Keeper, OpenStore},
    options::QueryOptions,
    publisher::{BACKLOG, Publisher},
    rules::Rules,
    store::{Records, Store},
};
use crate::{
    Pulse, Stop,
    cluster::{Names, Teller, declare_links, serve_alone},
    job::ErrorReport,
    runner::StoreError,
    threads::Threads,
};

/// How long the broker may take to set up the queue of dead letters.
const SETUP: Duration = Duration::from_secs(30);

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
        let (stop, pulses) = (options.stop.clone(), options.pulses.clone());
        let (folder, served) = (options.state.join("dead-letters"), topology.clone());
        let open = opener(&options)?;
        let (tell, told) = bounded(BACKLOG);
        let keeper = Keeper::new(Rules::new(topology, options), open, tell, Box::new(Now::read))?;
        let keeper = Arc::new(Mutex::new(keeper));

        let publisher = Publisher { teller: Teller::new(&*broker, &names.control()?)?, told };
        let threads = Threads::default();
        threads.start("query tell", |stop| publisher.run(stop))?;

        let called = keeper.clone();
        let answer = move |request| called.lock().call(request);
        let server = serve_alone(&broker, names.query()?, &ServerOptions::default(), &stop, answer)?;
        // Only once no other node serves the cluster does anything happen by itself.
        let (ticked, pulse) = (keeper.clone(), Pulse::default());
        pulses.watch("query tick", &pulse);
        threads.start("query tick", move |stop| tick(&ticked, &pulse, stop))?;
        let consumer = dead_letters(&broker, &served, names)?;
        let letters = DeadLetters { consumer, keeper: keeper.clone(), topology: served, folder };
        threads.start("query dead letters", move |stop| letters.run(stop))?;
        Ok(QueryNode { server, threads, keeper })
    }

    /// The newest errors that were reported to it since it started, oldest first; bounded.
    pub fn errors(&self) -> Vec<ErrorReport> {
        self.keeper.lock().log()
    }

    /// Why it is of no more use though nobody has stopped it; none while it works.
    pub fn ended(&self) -> Option<QueryNodeEnd> {
        let unserved = self.server.ended().map(QueryNodeEnd::Unserved);
        unserved.or_else(|| self.threads.ended().map(QueryNodeEnd::Thread))
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

/// Why a query node is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryNodeEnd {
    /// Nothing comes to its queue of calls any more.
    #[error("calls can't be served any more")]
    Unserved(#[source] ConsumerEnd),
    /// One of its threads has ended.
    #[error("the thread {0:?} ended by itself")]
    Thread(String),
}

/// What nodes give up, one at a time: a letter can be as large as a frame.
fn dead_letters(
    broker: &Arc<dyn Broker>,
    topology: &Topology,
    names: &Names,
) -> Result<Box<dyn Consumer>, QueryNodeError> {
    let links = declare_links(broker, topology, names)?;
    let queue = links.queue(Target::DeadLetters).ok_or(QueryNodeError::Unlinked)?;
    let options = ConsumerOptions::default().prefetch(NonZeroU16::MIN);
    Ok(broker.consumer(queue, options, Instant::now() + SETUP)?)
}

/// What opens the store.
fn opener(options: &QueryOptions) -> Result<OpenStore, StoreError> {
    fn boxed((store, kept): (Store, Kept)) -> (Box<dyn Records>, Kept) {
        (Box::new(store), kept)
    }
    if options.volatile {
        let open = Store::in_memory()?;
        return Ok(Box::new(move || open().map(boxed)));
    }
    let state = options.state.clone();
    Ok(Box::new(move || Store::open(&state).map(boxed)))
}

fn tick(keeper: &Mutex<Keeper>, pulse: &Pulse, stop: &Stop) {
    loop {
        pulse.beat();
        keeper.lock().tick();
        if stop.receiver().recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
