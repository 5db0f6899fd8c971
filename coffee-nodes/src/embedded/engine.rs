//! Runs one job: starts the threads, collects the results, joins the threads.

use std::{
    collections::BTreeMap,
    io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    thread::{self, Scope},
    time::Duration,
};

use coffee_core::{
    codec,
    exec::{MemoryScratch, Scratch},
    frame::{JobHead, JobId, Port, Sinks},
    node::{EntryNode, MakeScratch, Node, ShardNode, WorkerNode},
    operator::Row,
    plan::{Job, ParametersError, Role, SourceId, Target, Topology},
};
use coffee_mom::MemoryBroker;

use super::{
    collect::{CollectError, Collector, Outcome, Piece, Report},
    feed::{ChunkFeed, FeedTransport, Feeds, RowsFeed, SourceFeed},
};
use crate::{
    FileScratch, Stop,
    input::InputError,
    runner::{
        self, BrokerTransport, Incoming, Links, LinksError, OneJob, RunnerError, Sender, Sharing, Transport,
        TransportError, Volatile,
    },
};

/// Frames a queue holds before whoever fills it waits: enough to bridge the scheduler, and at 256 KiB to 1 MiB each
/// little beside the state.
const QUEUE_FRAMES: usize = 16;

/// How long the collector waits before it looks whether it was interrupted.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// A source of the plan has no feed.
    #[error("source {0:?} has nothing to read")]
    NoFeed(String),
    /// A feed names a source that the plan does not have.
    #[error("the plan has no source {0:?}")]
    UnknownSource(String),
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
    /// The parameters are not the plan's.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// The parameters can't be used with this plan.
    #[error(transparent)]
    Decode(#[from] codec::DecodeError),
    /// Whoever takes the results failed.
    #[error("a result can't be kept")]
    Result(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A job to be run in this process.
pub struct Embedded<'a> {
    topology: Arc<Topology>,
    head: JobHead,
    threads: NonZeroUsize,
    feeds: BTreeMap<String, Box<dyn ChunkFeed + 'a>>,
    scratch: Option<PathBuf>,
    stop: Stop,
    read: Arc<AtomicU64>,
}

impl<'a> Embedded<'a> {
    /// A job with these parameters, for all sinks, on as many threads as the machine has processors.
    ///
    /// # Errors
    /// Where the parameters are of another type than the plan's, or can't be encoded.
    pub fn new<P: Row>(topology: Arc<Topology>, parameters: &P) -> Result<Self, ParametersError> {
        let encoded = topology.plan().encode_parameters(parameters)?;
        let job = JobId { cluster: 0, number: 1 }; // the only one of its broker
        let head = JobHead { job, topology: topology.version(), sinks: Sinks::ALL, strict: false, parameters: encoded };
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(Embedded {
            topology,
            head,
            threads,
            feeds: BTreeMap::new(),
            scratch: None,
            stop: Stop::new(),
            read: Arc::default(),
        })
    }

    /// Asks for some of the sinks only.
    #[must_use]
    pub fn sinks(mut self, sinks: Sinks) -> Self {
        self.head.sinks = sinks;
        self
    }

    /// Makes the first rejected row an error.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.head.strict = strict;
        self
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

    /// Feeds a source with chunks.
    #[must_use]
    pub fn feed(mut self, source: &str, chunks: impl ChunkFeed + 'a) -> Self {
        self.feeds.insert(source.to_owned(), Box::new(chunks));
        self
    }

    /// Feeds a source with rows that the program makes.
    #[must_use]
    pub fn rows<R: Row, I>(self, source: &SourceId<R>, rows: I) -> Self
    where
        I: IntoIterator<Item = R, IntoIter: Send + 'a>,
    {
        self.feed(source.name(), RowsFeed { rows: rows.into_iter(), next: 1, bytes: 0 })
    }

    /// The sources that the job needs, in the order that they are read.
    ///
    /// # Errors
    /// Where the parameters are not those of the plan.
    pub fn sources(&self) -> Result<Vec<String>, codec::DecodeError> {
        let sources = Job::new(&self.topology, &self.head)?.sources(&self.topology);
        Ok(sources.into_iter().map(|source| source.name).collect())
    }

    /// Runs the job and keeps its results in memory.
    ///
    /// # Errors
    /// Where there is no complete result. All threads have ended by then.
    pub fn run(self) -> Result<Outcome, EmbeddedError> {
        let mut results: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let report = self.run_with(&mut |piece| {
            results.entry(piece.sink.to_owned()).or_default().extend_from_slice(piece.payload);
            Ok(())
        })?;
        Ok(Outcome { report, results })
    }

    /// Runs the job and hands over each piece of its results, on the calling thread, while others still work.
    ///
    /// # Errors
    /// Where there is no complete result. All threads have ended by then.
    pub fn run_with(mut self, take: TakePiece<'_>) -> Result<Report, EmbeddedError> {
        let job = Job::new(&self.topology, &self.head)?;
        let feeds = self.match_feeds(&job)?;
        let broker = MemoryBroker::new();
        let mut links = Links::declare(&broker, &self.topology, "coffee", QUEUE_FRAMES)?;
        links.add(&broker, Target::Client, "coffee.client", QUEUE_FRAMES)?;
        let feeds = Feeds::new(&self.head, feeds, &self.read);
        // Apart from the caller's stop, which must not be triggered by a run that is done.
        let engine = Engine {
            broker: &broker,
            links,
            topology: &self.topology,
            stop: Stop::new(),
            failed: Mutex::new(None),
            scratch: self.scratch.as_deref(),
        };
        let report = thread::scope(|scope| {
            let collected =
                engine.start(scope, &feeds, self.threads).and_then(|()| engine.collect(&job, &self.stop, take));
            engine.stop.trigger();
            collected
        });
        match engine.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => report,
        }
    }

    /// Gives each source that the job needs its feed.
    fn match_feeds(&mut self, job: &Job) -> Result<Vec<SourceFeed<'a>>, EmbeddedError> {
        let known: Vec<String> = self.topology.sources().into_iter().map(|source| source.name).collect();
        if let Some(unknown) = self.feeds.keys().find(|name| !known.contains(name)) {
            return Err(EmbeddedError::UnknownSource(unknown.clone()));
        }
        let matched = job.sources(&self.topology).into_iter().map(|source| match self.feeds.remove(&source.name) {
            Some(feed) => Ok((source, feed)),
            None => Err(EmbeddedError::NoFeed(source.name)),
        });
        matched.collect()
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
}

impl Engine<'_> {
    fn start<'s, 'f: 's>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        feeds: &'s Feeds<'f>,
        threads: NonZeroUsize,
    ) -> Result<(), EmbeddedError> {
        for (at, stage) in self.topology.stages().iter().enumerate() {
            let stage_index = at as u16;
            match stage.role {
                _ if stage.hosted => {}
                Role::Stateful { shards } => {
                    for shard in 0..shards {
                        let node = ShardNode::new(self.topology.clone(), stage_index, shard, self.make_scratch());
                        self.spawn_node(
                            scope,
                            format!("{}.{shard}", stage.name),
                            Target::Stage { stage: stage_index, shard },
                            node,
                        )?;
                    }
                }
                Role::Stateless { replicas } => {
                    for replica in 0..replicas {
                        let node = WorkerNode::new(self.topology.clone());
                        self.spawn_node(
                            scope,
                            format!("{}-{replica}", stage.name),
                            Target::Stage { stage: stage_index, shard: 0 },
                            node,
                        )?;
                    }
                }
            }
        }
        for at in 0..threads.get() {
            let name = format!("feed-{at}");
            let sender = Sender::new(self.broker, self.links.clone(), self.stop.clone())?;
            let run = move || {
                runner::run(
                    &mut EntryNode::new(self.topology.clone()),
                    &mut FeedTransport::new(feeds, sender),
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
        target: Target,
        mut node: impl Node + 's,
    ) -> Result<(), EmbeddedError> {
        let mut transport = BrokerTransport::new(self.broker, &self.links, target, Sharing::Shared, self.stop.clone())?;
        self.spawn(scope, name, move || runner::run(&mut node, &mut transport, &mut Volatile, &mut OneJob))
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
    fn collect(&self, job: &Job, interrupt: &Stop, take: TakePiece<'_>) -> Result<Report, EmbeddedError> {
        let wanted = self.topology.plan().sinks().chain(["rejected"]).filter_map(|sink| self.topology.port_of(sink));
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
        RunnerError::Transport(TransportError::Stopped | TransportError::Input(InputError::Stopped { .. }))
    )
}
