//! What the nodes of one process know of jobs, and what they tell the query node about them.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use coffee_core::{
    frame::JobId,
    node::{Failure, Node, Progress},
    plan::{Target, Topology},
};
use coffee_mom::Broker;
use parking_lot::Mutex;

use super::{
    Heard, Known, ListenError, Listener, LiveJobs, LiveSet, Names, QueryCallError, QueryClient, QueryClientError,
    QueryError, Working, declare_links,
};
use crate::{
    Pulse, Stop,
    job::ErrorReport,
    runner::{BrokerTransport, Jobs, Links, LinksError, RunnerError, Sharing, TransportError},
    store::Attempts,
    trail::Trail,
};

/// How long the listening thread waits for an answer: it asks again soon.
const REFRESH: Duration = Duration::from_secs(1);

/// How often a node is asked how far it is.
const LOOK: Duration = Duration::from_secs(1);

/// How long a node goes on with what it has in hand, from when it was asked to stop: below the five seconds that its
/// process has.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long the calls that are under way may take when the process leaves.
const LEAVING: Duration = Duration::from_millis(500);

/// How often a node that waits for the end of other topologies' jobs looks, and how often it says so.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// A process can't take part in a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The stages' queues can't be set up.
    #[error(transparent)]
    Links(#[from] LinksError),
    /// The query node can't be called.
    #[error(transparent)]
    Client(#[from] QueryClientError),
    /// It can't hear what is told to all.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The query node does not tell which jobs live.
    #[error(transparent)]
    Query(#[from] QueryCallError),
    /// It had taken part, and can't any more.
    #[error(transparent)]
    Lost(#[from] Lost),
}

/// Why a process can't take part in its cluster any more, though nobody has stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Its queue of the control exchange is gone.
    #[error("nothing is heard of jobs any more: the queue of the control exchange is gone")]
    Unheard,
    /// Its queue of answers is gone.
    #[error("the query node can't be called any more: the queue of its answers is gone")]
    Uncallable,
}

/// What the nodes of a process need of their cluster: its queues, the query node, and which jobs live, kept up by a thread of
/// its own until dropped. Shared by them.
pub struct Membership {
    broker: Arc<dyn Broker>,
    links: Links,
    live: Arc<LiveJobs>,
    query: Arc<QueryClient>,
    works: Arc<Works>,
    stop: Stop,
    loss: Arc<Loss>,
    _listener: Listener,
}

impl Membership {
    /// Declares the stages' queues, asks the query node which jobs live, and listens from then on. Waits for as long as it
    /// does not answer, or a job lives that was begun under another topology, which it warns of. It triggers `stop` itself
    /// where it [is lost](Self::lost). `None` where asked to stop meanwhile.
    ///
    /// # Errors
    /// Where the broker or the query node refuses.
    pub fn join(
        broker: &Arc<dyn Broker>,
        names: &Names,
        topology: &Topology,
        stop: &Stop,
    ) -> Result<Option<Arc<Self>>, JoinError> {
        let links = declare_links(broker, topology, names)?;
        let query = Arc::new(QueryClient::new(broker.clone(), names)?);
        let live = Arc::new(LiveJobs::new());
        let loss = Arc::new(Loss { stop: stop.clone(), leaving: Stop::new(), why: OnceLock::new() });
        let works = Arc::new(Works::default());
        let (known, asked, lose, told) = (live.clone(), query.clone(), loss.clone(), works.clone());
        let listener = Listener::start(broker, names, move |heard| match heard {
            Heard::Told(told) => known.told(&told),
            Heard::Lost => lose.tell(Lost::Unheard),
            Heard::Missed => match asked.live(Instant::now() + REFRESH) {
                Ok(set) => {
                    known.answered(&set);
                    told.tell(&asked);
                }
                Err(error) if error.is_final() => lose.tell(Lost::Uncallable),
                Err(error) => log::debug!("which jobs live is not known: {error}"),
            },
        })?;
        let (broker, stop) = (broker.clone(), stop.clone());
        let membership = Membership { broker, links, live, query, works, stop, loss, _listener: listener };
        let set = match membership.live_under(topology.version()) {
            Err(QueryCallError::Stopped) => return membership.lost().map_or(Ok(None), |lost| Err(lost.into())),
            answer => answer?,
        };
        membership.live.answered(&set);
        Ok(Some(Arc::new(membership)))
    }

    /// Why it has triggered the stop by itself, if it has.
    pub fn lost(&self) -> Option<Lost> {
        self.loss.why.get().copied()
    }

    /// What a node consumes and publishes by, until the stop and a little longer, so that what is in hand is finished.
    ///
    /// # Errors
    /// As [`BrokerTransport::new`].
    pub fn transport(&self, target: Target, sharing: Sharing) -> Result<BrokerTransport, TransportError> {
        let transport = BrokerTransport::new(&*self.broker, &self.links, target, sharing, self.stop.clone())?;
        Ok(transport.ended(self.live.watch()).grace(GRACE))
    }

    /// The live jobs.
    pub fn live(&self) -> &LiveJobs {
        &self.live
    }

    /// The query node.
    pub fn query(&self) -> &Arc<QueryClient> {
        &self.query
    }

    /// What a node, known by this name in reports, needs of it.
    pub fn node(self: &Arc<Self>, name: &str, keeps: Option<Keeps>) -> NodeJobs {
        NodeJobs {
            membership: self.clone(),
            name: name.to_owned(),
            keeps,
            looked: None,
            attempts: Attempts::none(),
            pulse: Pulse::default(),
        }
    }

    /// Which jobs live, once all of them are of that topology: the frames of others would be refused (invariant 7).
    fn live_under(&self, version: u64) -> Result<LiveSet, QueryCallError> {
        let mut said: Option<(JobId, Instant)> = None;
        loop {
            let set = self.query.until(&self.stop, QueryClient::live)?;
            let Some(job) = set.foreign(version) else { return Ok(set) };
            if said.is_none_or(|(other, when)| other != job || when.elapsed() >= SAY_AGAIN) {
                log::warn!(
                    "job {job} was begun under another placement or version: it has to be cancelled (coffee cancel \
                     {job}), or this cluster started as it was then; waiting"
                );
                said = Some((job, Instant::now()));
            }
            if self.stop.wait(LOOK_AGAIN) {
                return Err(QueryCallError::Stopped);
            }
        }
    }

    /// Whether a job lives; the query node is asked where that is not known here.
    fn lives(&self, job: JobId, pulse: &Pulse) -> Result<bool, QueryCallError> {
        if self.live.knows(job) == Known::Unknown {
            self.live.answered(&self.query.until(&self.stop, beating(pulse, QueryClient::live))?);
        }
        // What the query node does not know either was never minted.
        Ok(self.live.knows(job) == Known::Lives)
    }
}

/// How far the shards of a process are, as they said last.
#[derive(Default)]
struct Works(Mutex<BTreeMap<(u16, u16), Vec<Working>>>);

impl Works {
    fn note(&self, Keeps { stage, shard, .. }: Keeps, progress: Vec<Progress>) {
        let jobs = progress.into_iter().map(|Progress { job, steps, lacks }| Working { job, steps, lacks });
        self.0.lock().insert((stage, shard), jobs.collect());
    }

    /// Tells the query node; what it does not hear it is told again.
    fn tell(&self, query: &QueryClient) {
        let works = self.0.lock().clone();
        for ((stage, shard), jobs) in works.into_iter().filter(|(_, jobs)| !jobs.is_empty()) {
            if let Err(error) = query.working(stage, shard, jobs, Instant::now() + REFRESH) {
                return log::debug!("how far a shard is is not told: {error}");
            }
        }
    }
}

/// Notes why a process can't take part any more.
struct Loss {
    /// The process's.
    stop: Stop,
    /// Triggered when the membership ends anyway.
    leaving: Stop,
    why: OnceLock<Lost>,
}

impl Loss {
    /// What follows from a stop is no loss.
    fn tell(&self, why: Lost) {
        if !self.stop.is_triggered() && !self.leaving.is_triggered() {
            log::error!("{why}: the node stops");
            let _ = self.why.set(why); // the first stays
            self.stop.trigger();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.loss.leaving.trigger();
        // Before the listener is joined, which may wait for an answer. Calls that it cuts off are made again.
        let _ = self.query.close(Instant::now() + LEAVING);
    }
}

/// What a stateful node keeps of jobs: which shard of which stage it is, and its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeps {
    /// The stage, by its index in the topology.
    pub stage: u16,
    /// Which shard of it.
    pub shard: u16,
    /// The store's identity.
    pub store: u64,
}

/// The jobs of one node.
pub struct NodeJobs {
    membership: Arc<Membership>,
    name: String,
    keeps: Option<Keeps>,
    /// When the node was last asked how far it is.
    looked: Option<Instant>,
    attempts: Attempts,
    pulse: Pulse,
}

impl NodeJobs {
    /// Counts in that file how often the process dies in the same work.
    #[must_use]
    pub fn counting_deaths(mut self, file: &Path) -> Self {
        self.attempts = Attempts::open(file);
        self
    }

    /// Sets what beats while the query node is waited for.
    #[must_use]
    pub fn pulse(mut self, pulse: Pulse) -> Self {
        self.pulse = pulse;
        self
    }

    fn until<T>(
        &self,
        what: &str,
        call: impl Fn(&QueryClient, Instant) -> Result<T, QueryCallError>,
    ) -> Result<Option<T>, RunnerError> {
        match self.membership.query.until(&self.membership.stop, beating(&self.pulse, call)) {
            Ok(answer) => Ok(Some(answer)),
            // It has forgotten the job, or never knew it.
            Err(QueryCallError::Refused(QueryError::UnknownJob(_) | QueryError::Ended(_))) => Ok(None),
            Err(error) => Err(failed(what, error)),
        }
    }
}

impl NodeJobs {
    /// Says which store a stateful node has from now on; before it does anything else. The query node fails the jobs that it
    /// had another one for.
    ///
    /// # Errors
    /// Where the query node can't be called.
    pub(crate) fn returned(&self) -> Result<(), RunnerError> {
        let Some(Keeps { stage, shard, store }) = self.keeps else { return Ok(()) };
        self.until("naming a store", |query, deadline| query.returned(stage, shard, store, deadline))?;
        Ok(())
    }
}

impl Jobs for NodeJobs {
    fn name(&self) -> &str {
        &self.name
    }

    fn lives(&mut self, job: JobId) -> Result<bool, RunnerError> {
        self.membership.lives(job, &self.pulse).map_err(|error| failed("asking which jobs live", error))
    }

    fn register(&mut self, job: JobId) -> Result<bool, RunnerError> {
        let Some(Keeps { stage, shard, store }) = self.keeps else { return Ok(true) };
        let registered =
            self.until("registering a store", |query, deadline| query.register(job, stage, shard, store, deadline))?;
        if registered.is_none() {
            self.membership.live.ended(job);
        }
        Ok(registered.is_some())
    }

    fn fail(&mut self, failure: Failure) -> Result<(), RunnerError> {
        let Failure { job, error, .. } = failure;
        let text = error.to_string();
        log::error!("{} can't go on: {text}", Trail::node(job, &self.name));
        let report = ErrorReport::now(&self.name, job, text);
        match job {
            Some(job) => {
                self.until("failing a job", |query, deadline| query.fail(job, &report, deadline))?;
                self.membership.live.ended(job);
            }
            None => {
                self.until("reporting an error", |query, deadline| query.report(&report, deadline))?;
            }
        }
        Ok(())
    }

    fn attempts(&mut self) -> Option<&mut Attempts> {
        Some(&mut self.attempts)
    }

    fn look_at(&mut self, node: &dyn Node) {
        if let Some(keeps) = self.keeps
            && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK)
        {
            self.looked = Some(Instant::now());
            self.membership.works.note(keeps, node.progress());
        }
    }

    fn forgotten(&mut self, job: JobId) -> Result<(), RunnerError> {
        self.attempts.forget(job);
        let Some(Keeps { stage, shard, .. }) = self.keeps else { return Ok(()) };
        self.until("forgetting a job", |query, deadline| query.forgotten(job, stage, shard, deadline))?;
        Ok(())
    }
}

/// A call that beats whenever it is made, so also while it is repeated without an answer.
fn beating<T>(
    pulse: &Pulse,
    call: impl Fn(&QueryClient, Instant) -> Result<T, QueryCallError>,
) -> impl Fn(&QueryClient, Instant) -> Result<T, QueryCallError> {
    move |query, deadline| {
        pulse.beat();
        call(query, deadline)
    }
}

fn failed(what: &str, error: QueryCallError) -> RunnerError {
    match error {
        QueryCallError::Stopped => TransportError::Stopped.into(),
        error => RunnerError::Jobs { what: format!("{what}: {error}"), source: Box::new(error) },
    }
}
