//! The END protocol among the replicas of a stage, on a fanout exchange of their own. Whoever is given a stream's End asks
//! all what they did for the job, sums up, and tells all to let go of it. Answers don't depend on it: a stream's End says how
//! many batches there are, wherever they went (invariant 2). So a replica that is new, gone or slow changes a line of the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use coffee_core::{
    frame::{JobId, Stream},
    node::{PublishId, Tag},
    plan::Target,
};
use coffee_mom::{Broker, Consumer, Name};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use serde::{Deserialize, Serialize};

use super::WorkerError;
use crate::{
    Stop,
    cluster::{Teller, listen_to},
    runner::{Incoming, Transport, TransportError},
    statistics::{Counters, Work},
    threads::Threads,
    trail::Trail,
    unique::unique,
};

/// How long a round waits for answers.
const ROUND: Duration = Duration::from_secs(1);

/// How long a word may wait to be said: then it is not.
const PATIENCE: Duration = Duration::from_millis(200);

/// Ends, and jobs to let go of, that were not looked at yet. What does not fit costs a line of the log, or a little memory.
const WAITING: usize = 256;

/// What replicas say to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    /// A stream has ended: what has each done?
    EndSeen { round: u128, job: JobId },
    /// One replica's counts.
    Stats { round: u128, replica: u128, work: Work },
    /// The round is over: all let go of the job, until more of it comes.
    StageDone { job: JobId },
}

/// Takes part in the rounds of a stage, on a thread, `replicas`, that ends when this is dropped.
pub(super) struct Replicas {
    ends: Sender<(JobId, Stream)>,
    released: Receiver<JobId>,
    _thread: Threads,
}

impl Replicas {
    /// Joins the rounds of a stage, which has so many replicas; what this one does is counted there.
    pub fn join(
        broker: &Arc<dyn Broker>,
        exchange: &Name,
        (stage, replicas): (&str, u16),
        counters: Arc<Counters>,
    ) -> Result<Self, WorkerError> {
        let consumer = listen_to(&**broker, exchange)?;
        let teller = Teller::new(&**broker, exchange)?;
        let ((ends, ended), (releases, released)) = (bounded(WAITING), bounded(WAITING));
        let rounds = Rounds {
            stage: stage.to_owned(),
            replicas: replicas.into(),
            me: unique(),
            counters,
            releases,
            teller,
            open: BTreeMap::new(),
        };
        let thread = Threads::default();
        thread.start("replicas", move |stop| rounds.run(consumer, &ended, stop)).map_err(WorkerError::Thread)?;
        Ok(Replicas { ends, released, _thread: thread })
    }

    /// Where it is said which streams have ended.
    pub fn ends(&self) -> &Sender<(JobId, Stream)> {
        &self.ends
    }

    /// A transport which hears what to let go of.
    pub fn around<T: Transport>(&self, transport: T) -> Releasing<'_, T> {
        Releasing { replicas: self, transport }
    }
}

/// A replica's transport.
pub(super) struct Releasing<'a, T> {
    replicas: &'a Replicas,
    transport: T,
}

impl<T: Transport> Transport for Releasing<'_, T> {
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError> {
        let incoming = self.transport.next(wait)?;
        if matches!(incoming, Incoming::Nothing)
            && let Ok(job) = self.replicas.released.try_recv()
        {
            return Ok(Incoming::Released(job));
        }
        Ok(incoming)
    }

    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError> {
        self.transport.publish(id, to, body)
    }

    fn ack(&mut self, tag: Tag) -> Result<(), TransportError> {
        self.transport.ack(tag)
    }
}

/// The thread's own.
struct Rounds {
    stage: String,
    replicas: usize,
    me: u128,
    counters: Arc<Counters>,
    releases: Sender<JobId>,
    teller: Teller,
    /// Those that this replica began.
    open: BTreeMap<u128, Round>,
}

struct Round {
    job: JobId,
    stream: Stream,
    until: Instant,
    answered: BTreeSet<u128>,
    sum: Work,
}

impl Rounds {
    fn run(mut self, mut consumer: Box<dyn Consumer>, ended: &Receiver<(JobId, Stream)>, stop: &Stop) {
        loop {
            let until = self.open.values().map(|round| round.until).min().unwrap_or_else(|| Instant::now() + ROUND);
            select! {
                recv(consumer.deliveries()) -> delivery => match delivery {
                    Ok(delivery) => {
                        if let Ok(said) = postcard::from_bytes(&delivery.message.body) {
                            self.hear(said);
                        }
                        // Lost with its connection, it costs a line of the log.
                        let _ = consumer.ack(delivery.tag);
                    }
                    Err(_) => return, // the broker is closed
                },
                recv(ended) -> end => match end {
                    Ok((job, stream)) => self.begin(job, stream),
                    Err(_) => return,
                },
                recv(self.teller.settled()) -> settled => if settled.is_err() { return },
                recv(stop.receiver()) -> _ => return,
                default(until.saturating_duration_since(Instant::now())) => {}
            }
            self.close_rounds();
        }
    }

    fn begin(&mut self, job: JobId, stream: Stream) {
        let (round, until) = (unique(), Instant::now() + ROUND);
        let (answered, sum) = (BTreeSet::new(), Work::default());
        self.open.insert(round, Round { job, stream, until, answered, sum });
        self.teller.tell(&Said::EndSeen { round, job }, PATIENCE);
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::EndSeen { round, job } => {
                self.teller.tell(&Said::Stats { round, replica: self.me, work: self.counters.of(job) }, PATIENCE);
            }
            Said::Stats { round, replica, work } => {
                if let Some(round) = self.open.get_mut(&round).filter(|round| !round.answered.contains(&replica)) {
                    round.answered.insert(replica);
                    round.sum += work;
                }
            }
            Said::StageDone { job } => {
                let _ = self.releases.try_send(job); // full: it goes with its end
            }
        }
    }

    /// Ends the rounds in which all have answered, or have had their time.
    fn close_rounds(&mut self) {
        let (now, all) = (Instant::now(), self.replicas);
        let over = self.open.extract_if(.., |_, round| round.answered.len() >= all || round.until <= now);
        for (_, Round { job, stream, answered, sum, .. }) in over.collect::<Vec<_>>() {
            let Work { batches, rows, parts, passed, .. } = sum;
            let answers = answered.len();
            log::info!(
                "{} the end of stream {}.{} is here: {answers} of {all} replicas took {batches} batches with {rows} rows \
                 and passed on {parts} with {passed}",
                Trail::stage(job, &self.stage),
                stream.origin,
                stream.shard,
            );
            self.teller.tell(&Said::StageDone { job }, PATIENCE);
        }
    }
}
