//! The typed end of a server, and its worker threads.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::broker::Broker;
use crate::consumer::{ConsumerEnd, ConsumerOptions};
use crate::deadline::after;
use crate::middleware::StopError;
use crate::name::Name;
use crate::producer::ProducerOptions;
use crate::topology::QueueSpec;

use super::error::SetupError;
use super::serve::{Finished, Job, Record, Service};
use super::table::Limits;
use super::task::Task;
use super::wire::Reply;
use super::work::work;

/// What a server is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Threads that execute calls. At least 1.
    pub workers: usize,
    /// Most calls in hand: waiting for a worker, being executed, or being replied to.
    pub in_hand: NonZeroU16,
    /// Whether other servers may take requests of the same queue. Then none of them knows what the
    /// others execute, and calls at most once are refused as
    /// [`CallError::Unsupported`](super::CallError::Unsupported).
    pub shared: bool,
    /// What it keeps for calls at most once.
    pub limits: Limits,
    /// How long a reply waits for room in the queue that it goes to, before it is dropped.
    pub patience: Duration,
    /// How long its making may take.
    pub setup: Duration,
}

impl Default for ServerOptions {
    /// One worker, 64 calls in hand, alone at its queue, the default [`Limits`], 5 seconds for a reply, 30
    /// to be made.
    fn default() -> Self {
        Self {
            workers: 1,
            in_hand: NonZeroU16::MIN.saturating_add(63),
            shared: false,
            limits: Limits::default(),
            patience: Duration::from_secs(5),
            setup: Duration::from_secs(30),
        }
    }
}

impl ServerOptions {
    /// Sets how many threads execute calls.
    #[must_use]
    pub fn workers(mut self, threads: usize) -> Self {
        self.workers = threads;
        self
    }

    /// Sets the most calls in hand.
    #[must_use]
    pub fn in_hand(mut self, calls: NonZeroU16) -> Self {
        self.in_hand = calls;
        self
    }

    /// Lets other servers take requests of the same queue.
    #[must_use]
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Sets what it keeps for calls at most once.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long a reply waits for room.
    #[must_use]
    pub fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// Sets how long its making may take.
    #[must_use]
    pub fn setup(mut self, limit: Duration) -> Self {
        self.setup = limit;
        self
    }
}

/// What a server has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Calls that were executed, by whatever end.
    pub executed: u64,
    /// Repetitions of calls at most once that were not executed.
    pub repetitions: u64,
    /// Messages that are no requests, so there is nobody to answer. They are dropped.
    pub foreign: u64,
    /// Replies whose client was gone, or had no room for them. They are dropped.
    pub unclaimed: u64,
}

/// Executes the calls that come to one queue, on threads of its own.
///
/// Requests that can't be decoded, and handlers that panic, are answered by errors; the server goes on. It ends
/// when it is stopped, and by itself when its queue is deleted or its connection closed, as
/// [`ended`](Self::ended) tells. Dropping it stops it, and
/// waits at most five seconds for the calls in hand, and for each worker.
pub struct Server {
    queue: Name,
    // Dropped before the workers, which end when it does.
    service: Task,
    workers: Vec<Task>,
    record: Arc<Record>,
}

impl Server {
    /// Declares the queue and starts to serve it: `handler` is called by the worker threads, by several
    /// at once if there are several.
    ///
    /// # Errors
    /// [`SetupError`]; nothing has been started then. An [`AttachError::InUse`](crate::AttachError::InUse)
    /// says that the queue has a server, and one of the two is not shared.
    pub fn start<Req, Resp, E, H>(
        broker: Arc<dyn Broker>,
        queue: &QueueSpec,
        options: ServerOptions,
        handler: H,
    ) -> Result<Self, SetupError>
    where
        Req: DeserializeOwned,
        Resp: Serialize,
        E: Serialize,
        H: Fn(Req) -> Result<Resp, E> + Send + Sync + 'static,
    {
        let handler = Arc::new(handler);
        Self::start_untyped(broker, queue, &options, move |body| work(body, |request| handler(request)))
    }

    fn start_untyped(
        broker: Arc<dyn Broker>,
        queue: &QueueSpec,
        options: &ServerOptions,
        execute: impl Fn(&[u8]) -> Reply + Clone + Send + 'static,
    ) -> Result<Self, SetupError> {
        let deadline = after(options.setup);
        let queue = broker.declare_queue(queue, deadline)?;
        let producer = broker.producer(ProducerOptions::default())?;
        let consuming = ConsumerOptions::default().prefetch(options.in_hand);
        let consuming = if options.shared { consuming } else { consuming.exclusive() };
        let consumer = broker.consumer(&queue, consuming, deadline)?;
        // Dropped after `jobs` if this fails: the workers end when that does.
        let mut workers = Vec::new();
        // Both have room for all calls in hand, so sending to them never waits.
        let in_hand = usize::from(options.in_hand.get());
        let (jobs, to_do) = bounded(in_hand);
        let (done, results) = bounded(in_hand);
        for worker in 0..options.workers.max(1) {
            let (to_do, done, execute) = (to_do.clone(), done.clone(), execute.clone());
            let work = move |_| execute_all(&to_do, &done, execute);
            workers.push(Task::start(&format!("rpc work {worker} {queue}"), work)?);
        }
        let record = Arc::new(Record::default());
        let service = Service::new(&queue, consumer, producer, options, (jobs, to_do), results, record.clone());
        // The connection is kept by the service as long as it needs it.
        let service = Task::start(&format!("rpc serve {queue}"), move |stop| {
            let clean = service.run(&stop);
            drop(broker);
            clean
        })?;
        Ok(Self { queue, service, workers, record })
    }

    /// The queue that it serves, by the broker's name for it.
    #[must_use]
    pub fn queue(&self) -> &Name {
        &self.queue
    }

    /// What it has seen so far.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let record = &self.record;
        ServerStats {
            executed: record.executed.load(Ordering::Relaxed),
            repetitions: record.repetitions.load(Ordering::Relaxed),
            foreign: record.foreign.load(Ordering::Relaxed),
            unclaimed: record.unclaimed.load(Ordering::Relaxed),
        }
    }

    /// Why it gets no more requests though nobody has stopped it; none while it does.
    #[must_use]
    pub fn ended(&self) -> Option<ConsumerEnd> {
        self.record.end.get().copied()
    }

    /// Takes no more requests, and waits until the calls in hand are executed and replied to.
    ///
    /// Ok: all of them are, and its threads have ended. The queue stays, with what it holds. Blocks
    /// until `deadline` at most.
    ///
    /// # Errors
    /// [`StopError`]; calls at least once that were not replied to are requeued, others in hand may be lost. A
    /// handler that is still running ends its thread when it returns.
    pub fn stop(&self, deadline: Instant) -> Result<(), StopError> {
        let stopped = self.service.stop(deadline);
        self.workers.iter().map(|worker| worker.join(deadline)).fold(stopped, Result::and)
    }
}

/// Works until there are no more jobs, or nobody takes the results.
fn execute_all(jobs: &Receiver<Job>, done: &Sender<Finished>, execute: impl Fn(&[u8]) -> Reply) -> bool {
    jobs.iter().all(|job| {
        let reply = execute(&job.body);
        done.send(Finished { ticket: job.ticket, reply }).is_ok()
    });
    true
}
