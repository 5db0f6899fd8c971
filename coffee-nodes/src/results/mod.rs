//! The results node: runs the last stages, keeps the results that they emit, and hands them to gateways.
//!
//! ```text
//! stage's queue --> runner around a node --> ResultsTransport --> ResultsStore <-- calls of the gateways
//!                                                                     |
//!                                     control exchange, query node <--+ Announcer
//! ```

mod announcer;
mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod kept;
mod service;
mod store;
mod tables;
mod transport;

pub use error::ResultsNodeError;
pub use store::{News, ResultsStore};
pub use transport::ResultsTransport;

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread::{self, Scope, ScopedJoinHandle},
    time::Duration,
};

use coffee_core::plan::{Target, Topology};
use coffee_mom::{Broker, rpc::Server};
use crossbeam_channel::bounded;

use self::announcer::{Announcer, BACKLOG};
use crate::{
    Pulse, Pulses, RetryPause, Stop,
    cluster::{GRACE, JoinError, Known, Membership, Names, Teller},
    hold::Holder,
    runner::{Sharing, StoreError},
    statistics::Statistics,
    store::Journal,
    worker::{ShardPlace, forget_ended, run_shard},
};

/// What the node is called in reports.
const NODE: &str = "results";

/// How often it is looked whether calls come still.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// What a results node is to be like.
#[derive(Clone, Debug)]
pub struct ResultsOptions {
    /// The folder for its state, which no other node uses.
    pub state: PathBuf,
    /// How long results are kept that nobody takes.
    pub keep: Duration,
    /// Keeps nothing there but what does not fit into memory: its death loses the results, and fails the jobs that run.
    pub volatile: bool,
    /// How long it waits when its disk is full.
    pub pause: RetryPause,
    /// Where its loops are watched once it works.
    pub pulses: Pulses,
    /// Where its work is counted.
    pub statistics: Statistics,
}

/// The stages that a results node runs, by index: those that answer to clients. No worker node runs them.
pub fn stages(topology: &Topology) -> Vec<u16> {
    (0..topology.stages().len() as u16).filter(|stage| topology.has_sinks(*stage)).collect()
}

/// Runs a results node until `stop`, which ends it gracefully, and which it triggers itself where it fails. `ready` is called
/// once it consumes and answers calls. What it had not kept comes again to its next life. Once it is ready, a disk that is
/// full or fails is no error: it lets go of what it has in hand, and begins anew when there is room again.
///
/// # Errors
/// Where its state can't be used, or the broker or query node refuses; not for a broker that is away, nor for a job of another
/// topology that lives, whose end it waits for.
pub fn run(
    broker: &Arc<dyn Broker>,
    names: &Names,
    topology: &Arc<Topology>,
    options: &ResultsOptions,
    stop: &Stop,
    ready: impl FnOnce(),
) -> Result<(), ResultsNodeError> {
    let in_memory = || ResultsStore::in_memory(topology.clone(), options.keep).map(Arc::new);
    // What is complete outlasts a life that ends for want of room for something else.
    let volatile = options.volatile.then(in_memory).transpose()?;
    let node = ResultsNode { broker, names, topology, options, volatile };
    let holder = Holder { broker, names, node: NODE, pause: options.pause, stop };
    holder.lives(ready, |stop, ready| node.live(stop, ready))
}

/// What a results node is in all of its lives.
struct ResultsNode<'a> {
    broker: &'a Arc<dyn Broker>,
    names: &'a Names,
    topology: &'a Arc<Topology>,
    options: &'a ResultsOptions,
    /// The results, where they are not kept on disk.
    volatile: Option<Arc<ResultsStore>>,
}

impl ResultsNode<'_> {
    fn live(&self, stop: &Stop, ready: &mut dyn FnMut()) -> Result<(), ResultsNodeError> {
        let ResultsNode { broker, names, topology, .. } = *self;
        let Some(membership) = Membership::join(broker, names, topology, stop)? else { return Ok(()) };
        let query = membership.query().clone();
        let store = self.store()?;
        let (news, told) = bounded(BACKLOG);
        let mut shards = Vec::new();
        for stage in stages(topology) {
            let (place, journal) = self.open_stage(&membership, stage)?;
            let target = Target::Stage { stage, shard: place.shard };
            let consuming = membership.transport(target, Sharing::Alone)?.pulse(place.pulse.clone());
            shards.push((place, journal, ResultsTransport::new(consuming, store.clone(), news.clone())));
        }

        let teller = Teller::new(&**broker, &names.control()?)?;
        let announcer = Announcer { store: &store, query: &query, teller, news: told };
        let known = membership.clone();
        let may_live = move |job| known.live().knows(job) != Known::Ended;
        let server = service::serve(broker, names, store.clone(), may_live, stop)?;
        let ran = thread::scope(|scope| {
            let mut threads = vec![start(scope, "results announce", stop, || Ok(announcer.run(stop)?))?];
            for (place, mut journal, mut transport) in shards {
                self.options.pulses.watch(&place.name, &place.pulse);
                let (membership, name) = (&membership, place.name.clone());
                let run = move || Ok(run_shard(membership, topology, &place, &mut journal, &mut transport)?);
                threads.push(start(scope, &name, stop, run)?);
            }
            ready();
            let served = watch(&server, stop);
            let joined = threads.into_iter().map(|thread| thread.join().unwrap_or(Err(ResultsNodeError::Panicked)));
            joined.fold(served, Result::and)
        });
        // Not before: by its end the announcer would end too, and be taken for the cause of what had ended a stage.
        drop(news);
        // Calls that are not answered by then are made again.
        let _ = server.stop(stop.deadline(GRACE));
        match membership.lost() {
            Some(lost) => Err(JoinError::Lost(lost).into()),
            None => ran,
        }
    }

    fn store(&self) -> Result<Arc<ResultsStore>, StoreError> {
        let ResultsOptions { state, keep, .. } = self.options;
        match &self.volatile {
            Some(store) => Ok(store.clone()),
            None => Ok(Arc::new(ResultsStore::open(state, self.topology.clone(), *keep)?)),
        }
    }

    /// The one shard of a stage, and what is left of its journal.
    fn open_stage(&self, membership: &Arc<Membership>, stage: u16) -> Result<(ShardPlace, Journal), ResultsNodeError> {
        let ResultsOptions { state, volatile, statistics, .. } = self.options;
        let name = self.topology.stage_name(stage).to_owned();
        let scratch = state.join(&name);
        let mut journal = if *volatile { Journal::volatile() } else { Journal::open(&scratch.join("journal"))? };
        let counters = statistics.stage(self.topology, stage, 0);
        let place = ShardPlace { stage, shard: 0, name, scratch, pulse: Pulse::default(), counters };
        forget_ended(membership, &place, &mut journal)?;
        Ok((place, journal))
    }
}

/// Waits for the stop, and triggers it where no calls come any more.
fn watch(server: &Server, stop: &Stop) -> Ended {
    while !stop.wait(LOOK_AROUND) {
        if let Some(end) = server.ended() {
            stop.trigger();
            return Err(ResultsNodeError::Unserved(end));
        }
    }
    Ok(())
}

type Ended = Result<(), ResultsNodeError>;

fn start<'s>(
    scope: &'s Scope<'s, '_>,
    name: &str,
    stop: &Stop,
    body: impl FnOnce() -> Ended + Send + 's,
) -> io::Result<ScopedJoinHandle<'s, Ended>> {
    let (stops, own) = (StopsAll(stop.clone()), name.to_owned());
    thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, move || match body() {
        Ok(()) if !stops.0.is_triggered() => Err(ResultsNodeError::Ended(own)),
        ended => ended,
    })
}

/// Whichever thread ends, the others are to end too: a node in parts would only look alive.
struct StopsAll(Stop);

impl Drop for StopsAll {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
