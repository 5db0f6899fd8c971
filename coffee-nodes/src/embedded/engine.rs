//! Runs one job: starts the threads, collects the results, joins the threads.

use std::{
    io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    thread::{self, Scope},
    time::Duration,
};

use coffee_core::{
    exec::{MemoryScratch, REJECTED, Scratch},
    frame::{JobId, Port},
    node::{EntryNode, MakeScratch, Node, ShardNode, WorkerNode},
    plan::{self, Role, Target, Topology},
};
use coffee_mom::MemoryBroker;

use super::{
    collect::{CollectError, Collector, Outcome, Piece, Report, Results},
    feed::{FeedTransport, Feeds},
};
use crate::{
    FileScratch, Stop,
    feed::FeedError,
    input::InputError,
    job::{Job, JobError, Place},
    runner::{
        self, BrokerTransport, Incoming, Links, LinksError, OneJob, RunnerError, Sender, Sharing, Transport,
        TransportError, Volatile,
    },
    statistics::{Counted, Statistics},
};

/// Frames a queue holds before whoever fills it waits: enough to bridge the scheduler, and at 256 KiB to 1 MiB each
/// little beside the state.
const QUEUE_FRAMES: usize = 16;

/// The job of a run: the only one of its broker.
const ONLY: JobId = JobId { cluster: 0, number: 1 };

/// What the threads that read the sources count their work as, with that of the hosted stages; no stage's name.
const READING: &str = "reading";

/// How long the collector waits before it looks whether it was interrupted.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The job can't be run.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A thread could not be started.
    #[error("a thread can't be started")]
    Thread(#[from] io::Error),
    /// A thread panicked: an operator's bug, as everything else returns its errors.
    #[error("thread {0} panicked")]
    Panicked(String),
    /// A node failed.
    #[error("{thread}: {error}")]
    Node {
        /// The node's thread.
        thread: String,
        /// Why.
        #[source]
        error: Box<RunnerError>,
    },
    /// Queues could not be set up.
    #[error(transparent)]
    Links(#[from] LinksError),
    /// The client's queue could not be used.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A result could not be put together.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// Whoever takes the results failed.
    #[error("a result can't be kept")]
    Result(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The engine: how a job is run in this process. Each run has threads and a broker of its own, and all of it is over when
/// the run returns.
#[derive(Clone, Debug)]
pub struct Embedded {
    threads: NonZeroUsize,
    scratch: Option<PathBuf>,
    stop: Stop,
    read: Arc<AtomicU64>,
    statistics: Statistics,
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new()
    }
}

impl Embedded {
    /// As many threads read the sources as the machine has processors.
    pub fn new() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let statistics = Statistics::default();
        Embedded { threads, scratch: None, stop: Stop::new(), read: Arc::default(), statistics }
    }

    /// Sets how many threads read the sources; stages have the replicas and shards of their placement besides.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the folder for what does not fit into memory; without one all is kept in memory.
    #[must_use]
    pub fn scratch(mut self, folder: &Path) -> Self {
        self.scratch = Some(folder.to_owned());
        self
    }

    /// Sets what stops it.
    #[must_use]
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Sets where the bytes read so far are counted.
    #[must_use]
    pub fn progress(mut self, read: Arc<AtomicU64>) -> Self {
        self.read = read;
        self
    }

    /// Sets where its work is counted: that of the threads that read the sources as `reading`.
    #[must_use]
    pub fn statistics(mut self, statistics: Statistics) -> Self {
        self.statistics = statistics;
        self
    }

    /// Runs a job and keeps its results in memory.
    ///
    /// # Errors
    /// Where there is no complete result. All threads have ended by then.
    pub fn run(&self, job: &Job<'_>) -> Result<Outcome, EmbeddedError> {
        let mut results = Results::default();
        let report = self.run_with(job, &mut |piece| {
            results.take(&piece);
            Ok(())
        })?;
        Ok(Outcome { report, results })
    }

    /// Runs a job and hands over each piece of its results, on the calling thread, while others still work.
    ///
    /// # Errors
    /// Where there is no complete result. All threads have ended by then.
    pub fn run_with(&self, job: &Job<'_>, take: TakePiece<'_>) -> Result<Report, EmbeddedError> {
        let head = job.head(ONLY);
        let chunks = job.fed()?.into_iter().map(|(source, feed)| {
            let chunks = feed.chunks(job.most_chunk_bytes(), Place::default())?;
            Ok::<_, JobError>((source, chunks))
        });
        let feeds = Feeds::new(&head, chunks.collect::<Result<_, _>>()?, &self.read);
        let topology = job.topology();
        let job = plan::Job::new(topology, &head).map_err(JobError::from)?;
        let broker = MemoryBroker::new();
        let mut links = Links::declare(&broker, topology, "coffee", QUEUE_FRAMES)?;
        links.add(&broker, Target::Client, "coffee.client", QUEUE_FRAMES)?;
        // Apart from the caller's stop, which must not be triggered by a run that is done.
        let engine = Engine {
            broker: &broker,
            links,
            topology,
            stop: Stop::new(),
            failed: Mutex::new(None),
            scratch: self.scratch.as_deref(),
            statistics: &self.statistics,
        };
        let report = thread::scope(|scope| {
            let _stopping = StopAtEnd(&engine.stop);
            engine.start(scope, &feeds, self.threads).and_then(|()| engine.collect(&job, &self.stop, take))
        });
        match engine.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => report,
        }
    }
}

/// Lets the threads end before they are waited for, also where whoever takes the results panics.
struct StopAtEnd<'a>(&'a Stop);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

impl Job<'_> {
    /// Runs the job in this process, by an [`Embedded`] engine of the usual kind, and keeps its results in memory.
    ///
    /// # Errors
    /// Where there is no complete result. All threads have ended by then.
    pub fn run_embedded(&self) -> Result<Outcome, EmbeddedError> {
        Embedded::new().run(self)
    }
}

/// Takes the pieces of the results.
pub type TakePiece<'a> = &'a mut dyn FnMut(Piece<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

struct Engine<'a> {
    broker: &'a MemoryBroker,
    links: Links,
    topology: &'a Arc<Topology>,
    stop: Stop,
    /// The first failure: later ones follow from it.
    failed: Mutex<Option<EmbeddedError>>,
    scratch: Option<&'a Path>,
    statistics: &'a Statistics,
}

impl Engine<'_> {
    fn start<'s, 'f: 's>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        feeds: &'s Feeds<'f>,
        threads: NonZeroUsize,
    ) -> Result<(), EmbeddedError> {
        let counters = self.statistics.entry(self.topology, READING);
        for (at, stage) in self.topology.stages().iter().enumerate() {
            let stage_index = at as u16;
            match stage.role {
                _ if stage.hosted => {}
                Role::Stateful { shards } => {
                    for shard in 0..shards {
                        let node = ShardNode::new(self.topology.clone(), stage_index, shard, self.make_scratch());
                        self.spawn_node(scope, format!("{}.{shard}", stage.name), (stage_index, shard), node)?;
                    }
                }
                Role::Stateless { replicas } => {
                    for replica in 0..replicas {
                        let node = WorkerNode::new(self.topology.clone());
                        self.spawn_node(scope, format!("{}-{replica}", stage.name), (stage_index, 0), node)?;
                    }
                }
            }
        }
        for at in 0..threads.get() {
            let name = format!("feed-{at}");
            let sender = Sender::new(self.broker, self.links.clone(), self.stop.clone())?;
            let counters = counters.clone();
            let run = move || {
                runner::run(
                    &mut EntryNode::new(self.topology.clone()),
                    &mut Counted::new(&mut FeedTransport::new(feeds, sender), &counters),
                    &mut Volatile,
                    &mut OneJob,
                )
            };
            self.spawn(scope, name, run)?;
        }
        Ok(())
    }

    fn spawn_node<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        name: String,
        (stage, shard): (u16, u16),
        mut node: impl Node + 's,
    ) -> Result<(), EmbeddedError> {
        let target = Target::Stage { stage, shard };
        let mut transport = BrokerTransport::new(self.broker, &self.links, target, Sharing::Shared, self.stop.clone())?;
        let counters = self.statistics.stage(self.topology, stage, shard);
        self.spawn(scope, name, move || {
            let mut transport = Counted::new(&mut transport, &counters);
            runner::run(&mut node, &mut transport, &mut Volatile, &mut OneJob)
        })
    }

    fn spawn<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        name: String,
        run: impl FnOnce() -> Result<(), RunnerError> + Send + 's,
    ) -> Result<(), EmbeddedError> {
        thread::Builder::new().name(name.clone()).spawn_scoped(scope, move || {
            // What a panicking operator leaves behind is not used again: the run ends.
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(EmbeddedError::Node { thread: name, error: Box::new(error) }),
                Err(_) => self.fail(EmbeddedError::Panicked(name)),
            }
        })?;
        Ok(())
    }

    fn fail(&self, error: EmbeddedError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() && !only_follows(&error) {
            *failed = Some(error);
        }
        drop(failed);
        self.stop.trigger();
    }

    fn make_scratch(&self) -> MakeScratch {
        match self.scratch.map(Path::to_owned) {
            Some(folder) => Box::new(move || -> Box<dyn Scratch> { Box::new(FileScratch::new(&folder)) }),
            None => Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) }),
        }
    }

    /// Takes results until all are there.
    fn collect(&self, job: &plan::Job, interrupt: &Stop, take: TakePiece<'_>) -> Result<Report, EmbeddedError> {
        let wanted = self.topology.plan().sinks().chain([REJECTED]).filter_map(|sink| self.topology.port_of(sink));
        let wanted: Vec<Port> = wanted.filter(|port| job.uses(self.topology, *port)).collect();
        let mut collector = Collector::new(self.topology, wanted);
        let mut transport =
            BrokerTransport::new(self.broker, &self.links, Target::Client, Sharing::Shared, self.stop.clone())?;
        while !collector.is_complete() {
            if interrupt.is_triggered() {
                return Err(EmbeddedError::Interrupted);
            }
            match transport.next(LOOK_AROUND)? {
                Incoming::Delivery(tag, body) => {
                    collector.take(&body, |piece| take(piece).map_err(EmbeddedError::Result))?;
                    transport.ack(tag)?;
                }
                Incoming::End => return Err(EmbeddedError::Interrupted), // by a thread that failed and said why
                Incoming::Confirmed(_) | Incoming::Released(_) | Incoming::Ended(_) | Incoming::Nothing => {}
            }
        }
        Ok(collector.report())
    }
}

/// Whether it only follows from another thread's failure, which says more.
fn only_follows(error: &EmbeddedError) -> bool {
    let EmbeddedError::Node { error, .. } = error else { return false };
    matches!(
        **error,
        RunnerError::Transport(
            TransportError::Stopped | TransportError::Feed(FeedError::Input(InputError::Stopped { .. }))
        )
    )
}
