//! The one runner around every node: waits for what happens, lets the node answer, and does what it asks.
//!
//! The order of a delivery's life is here and nowhere else: decode and step (in the node), publish, confirm, commit,
//! ack (invariant 3). Threads, sockets, store and clock are behind [`Transport`] and [`Store`].

mod alone;
mod broker;
mod credit;
mod dead_letter;
mod jobs;
mod links;
mod sender;
mod store;

pub(crate) use alone::until_free;
pub use broker::{BrokerTransport, Sharing};
pub use dead_letter::DeadLetter;
pub use jobs::{Jobs, OneJob};
pub use links::{Links, LinksError};
pub use sender::Sender;
pub use store::{Store, StoreError, Volatile};

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use coffee_core::{
    frame::{FrameReader, JobId, Loss},
    node::{Action, Event, Failure, Node, NodeError, PublishId, Record, Tag},
    plan::Target,
};

use crate::{
    feed::FeedError,
    job::now_ms,
    store::{Work, is_passing},
    trail::Trail,
};

/// How long an idle runner waits at most before it looks around: not a latency, as whatever comes ends the wait.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// A frame that its process has died of so often is given up, and so is a job whose emission it is that kills.
pub const MOST_DEATHS: u64 = 5;

/// Whether its process has died so often in this work that it is given up.
pub(crate) fn is_deadly(jobs: &mut (impl Jobs + ?Sized), work: Work) -> bool {
    jobs.attempts().is_some_and(|attempts| attempts.deaths(work) >= MOST_DEATHS)
}

/// Does work, noted for as long as that takes: a process that dies meanwhile has died in it.
pub(crate) fn attempt<T>(jobs: &mut (impl Jobs + ?Sized), work: Work, step: impl FnOnce() -> T) -> T {
    if let Some(attempts) = jobs.attempts() {
        attempts.begin(work);
    }
    let done = step();
    if let Some(attempts) = jobs.attempts() {
        attempts.end();
    }
    done
}

/// Letters about what is no frame have this bit; the names that nodes give count from 0, or have the highest bit.
const FOREIGN: u64 = 1 << 62;

/// What a transport has for its node.
#[derive(Debug)]
pub enum Incoming {
    /// A frame.
    Delivery(Tag, Bytes),
    /// The broker owns a publish.
    Confirmed(PublishId),
    /// Little more of a job is expected.
    Released(JobId),
    /// A job has ended: nothing of it is to be kept.
    Ended(JobId),
    /// Nothing within the wait.
    Nothing,
    /// Nothing more, ever: asked to stop, or at the end of what there was.
    End,
}

/// A node's connection with the others: what it consumes, and where it publishes. One owner, one thread.
pub trait Transport {
    /// The next thing that comes, waiting for at most `wait`. Prefers confirmations to deliveries, so that what is
    /// waited for is let go before more is taken on.
    ///
    /// # Errors
    /// Where the connection is lost or the input can't be read: nothing more comes.
    fn next(&mut self, wait: Duration) -> Result<Incoming, TransportError>;

    /// Hands a frame over. Ok promises that [`Incoming::Confirmed`] follows or `next` fails. Blocks while the receiver
    /// is full: that is how back-pressure travels.
    ///
    /// # Errors
    /// Where it was not handed over: asked to stop while waiting, or the connection is lost.
    fn publish(&mut self, id: PublishId, to: Target, body: Bytes) -> Result<(), TransportError>;

    /// Lets a delivery go. Ok: it may still come again, if the connection is lost.
    ///
    /// # Errors
    /// Where the connection is lost: it comes again.
    fn ack(&mut self, tag: Tag) -> Result<(), TransportError>;
}

/// Why a transport is of no more use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Asked to stop while waiting for room.
    #[error("stopped while waiting for room")]
    Stopped,
    /// The consumer ended.
    #[error("nothing more can be consumed")]
    Consume(#[source] coffee_mom::ConsumerEnd),
    /// A publish was refused for good.
    #[error("a frame can't be published")]
    Publish(#[from] coffee_mom::PublishError),
    /// A publish was not confirmed.
    #[error("a frame was not taken: {0:?}")]
    NotConfirmed(coffee_mom::Outcome),
    /// An ack failed.
    #[error("a delivery can't be acked")]
    Ack(#[from] coffee_mom::AckError),
    /// The broker refused a producer or consumer.
    #[error("the broker can't be used")]
    Attach(#[from] coffee_mom::AttachError),
    /// What is fed in can't be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// A frame can't be written.
    #[error(transparent)]
    Encode(#[from] coffee_core::codec::EncodeError),
    /// What was published can't be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a runner ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// The node can't go on.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The transport is of no more use.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A commit failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It can't be known which jobs live.
    #[error("{what}")]
    Jobs {
        /// What was asked.
        what: String,
        /// Why there is no answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Drives a node until its transport ends. All that was delivered and not acked by then is not lost: it comes again.
///
/// # Errors
/// Where transport or store fail, or a job does and `jobs` makes that the end; what the failing event brought is not
/// acked.
pub fn run(
    node: &mut dyn Node,
    transport: &mut dyn Transport,
    store: &mut dyn Store,
    jobs: &mut dyn Jobs,
) -> Result<(), RunnerError> {
    let mut course = Course::default();
    loop {
        let wait = if course.idle { LOOK_AROUND } else { Duration::ZERO };
        let mut runner = Runner { node, transport, store, jobs, course: &mut course };
        if runner.turn(wait)? == Turn::Over {
            return Ok(());
        }
    }
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something happened.
    Worked,
    /// Nothing came within the wait.
    Idle,
    /// Nothing more comes.
    Over,
}

/// What a runner knows from turn to turn.
#[derive(Default)]
pub(crate) struct Course {
    events: VecDeque<Event>,
    actions: Vec<Action>,
    /// The jobs that were registered before their first commit.
    registered: BTreeSet<JobId>,
    /// Deliveries that are no frames, by the dead letters that they became.
    foreign: BTreeMap<PublishId, Tag>,
    /// Nothing came in the last turn, and the node knows.
    idle: bool,
}

/// A node with all that it is driven by, for a turn or more.
pub(crate) struct Runner<'a> {
    pub node: &'a mut dyn Node,
    pub transport: &'a mut dyn Transport,
    pub store: &'a mut dyn Store,
    pub jobs: &'a mut dyn Jobs,
    pub course: &'a mut Course,
}

impl Runner<'_> {
    /// Takes what comes next, waiting for at most `wait`, and does what the node asks for.
    ///
    /// # Errors
    /// As [`run`]: then it is to take no other turn.
    pub fn turn(&mut self, wait: Duration) -> Result<Turn, RunnerError> {
        self.jobs.look_at(self.node);
        let incoming = self.transport.next(wait)?;
        // Whatever happens may leave something to be sent or committed.
        let was_idle = std::mem::replace(&mut self.course.idle, matches!(incoming, Incoming::Nothing));
        match incoming {
            Incoming::Nothing if was_idle => return Ok(Turn::Idle),
            Incoming::Nothing => {
                self.handle(Event::Idle, None)?;
                return Ok(Turn::Idle);
            }
            Incoming::Delivery(tag, body) => self.deliver(tag, body)?,
            Incoming::Confirmed(id) => match self.course.foreign.remove(&id) {
                Some(tag) => self.transport.ack(tag)?,
                None => self.handle(Event::Confirmed(id), None)?,
            },
            Incoming::Released(job) => self.handle(Event::Release(job), None)?,
            Incoming::Ended(job) => self.handle(Event::Forget(job), None)?,
            Incoming::End => return Ok(Turn::Over),
        }
        Ok(Turn::Worked)
    }

    fn deliver(&mut self, tag: Tag, body: Bytes) -> Result<(), RunnerError> {
        let job = match FrameReader::new(&body).and_then(|frame| frame.head()) {
            Ok(head) => head.job,
            Err(error) => {
                // It is nobody's: acked once people can find it.
                let id = PublishId(FOREIGN | tag.0);
                self.course.foreign.insert(id, tag);
                let reason = NodeError::from(error).to_string();
                return self.write(id, None, reason, Vec::new(), &body);
            }
        };
        if !self.jobs.lives(job)? {
            return Ok(self.transport.ack(tag)?);
        }
        let work = Work::frame(job, &body);
        if !is_deadly(self.jobs, work) {
            let repeats = self.node.repeats();
            self.handle(Event::Delivery { tag, body }, Some(work))?;
            if self.node.repeats() > repeats {
                log::debug!("{} a frame that was here before came again: dropped", Trail::node(job, self.jobs.name()));
            }
            return Ok(());
        }
        let reason = NodeError::Deadly(MOST_DEATHS).to_string();
        self.handle(Event::GivenUp { tag, body, reason }, None)
    }

    /// Lets the node answer an event, which is this work, and those that follow from its answer.
    fn handle(&mut self, event: Event, mut work: Option<Work>) -> Result<(), RunnerError> {
        self.course.events.push_back(event);
        while let Some(event) = self.next_event() {
            // Only a step that emits counts as one: one that does not would clear the count of the one that does.
            if matches!(event, Event::Emit)
                && let Some((job, step)) = self.node.emits()
            {
                let emission = Work::emission(job, step);
                if is_deadly(self.jobs, emission) {
                    self.fail(Failure { job: Some(job), tag: None, error: NodeError::Deadly(MOST_DEATHS) })?;
                    continue;
                }
                work = Some(emission);
            }
            let forgotten = if let Event::Forget(job) = event { Some(job) } else { None };
            let mut actions = std::mem::take(&mut self.course.actions);
            let answered = self.step(event, work.take(), &mut actions);
            for action in actions.drain(..) {
                self.act(action)?;
            }
            self.course.actions = actions;
            if let Some(job) = forgotten {
                self.forget(job)?;
            }
            if let Err(failure) = answered {
                self.fail(failure)?;
            }
        }
        Ok(())
    }

    /// What follows from the last event, and then what the node has to emit.
    fn next_event(&mut self) -> Option<Event> {
        self.course.events.pop_front().or_else(|| self.node.emits().map(|_| Event::Emit))
    }

    /// Lets the node answer an event. Its process may die in that, of what it works at.
    fn step(&mut self, event: Event, work: Option<Work>, actions: &mut Vec<Action>) -> Result<(), Failure> {
        let Some(work) = work else { return self.node.step(event, actions) };
        attempt(self.jobs, work, || self.node.step(event, actions))
    }

    fn act(&mut self, action: Action) -> Result<(), RunnerError> {
        match action {
            Action::Publish { id, to, body } => self.transport.publish(id, to, body)?,
            Action::GiveUp { id, job, losses, body } => {
                let reason = losses.first().map(|loss| loss.reason.clone()).unwrap_or_default();
                self.write(id, Some(job), reason, losses, &body)?;
            }
            Action::Commit { group, mut records } => {
                let ended = self.register(&records)?;
                records.retain(|record| !ended.contains(&record.job()));
                self.store.commit(&records)?;
                self.course.events.push_back(Event::Committed(group));
                self.course.events.extend(ended.into_iter().map(Event::Forget));
            }
            Action::Ack(tag) => self.transport.ack(tag)?,
        }
        Ok(())
    }

    /// Writes a dead letter.
    fn write(
        &mut self,
        id: PublishId,
        job: Option<JobId>,
        reason: String,
        losses: Vec<Loss>,
        frame: &[u8],
    ) -> Result<(), RunnerError> {
        let (node, at_ms) = (self.jobs.name().to_owned(), now_ms());
        let seq = losses.first().map(|loss| loss.seq);
        log::info!("{} a dead letter is written: {reason}", Trail::node(job, &node).seq(seq));
        let letter = DeadLetter { node, at_ms, job, reason, losses, frame: frame.to_vec() };
        let body = letter.encode().map_err(TransportError::from)?;
        Ok(self.transport.publish(id, Target::DeadLetters, body)?)
    }

    /// Registers the jobs of which these are the first records; returns those that may not have any.
    fn register(&mut self, records: &[Record]) -> Result<BTreeSet<JobId>, RunnerError> {
        let mut ended = BTreeSet::new();
        for job in records.iter().map(Record::job) {
            if self.course.registered.contains(&job) || ended.contains(&job) {
                continue;
            }
            let known = if self.jobs.register(job)? { &mut self.course.registered } else { &mut ended };
            known.insert(job);
        }
        Ok(ended)
    }

    fn fail(&mut self, failure: Failure) -> Result<(), RunnerError> {
        if is_of_the_node(&failure.error) {
            return Err(failure.error.into());
        }
        let Failure { job, tag, .. } = failure;
        self.jobs.fail(failure)?;
        self.course.events.extend(job.map(Event::Forget));
        Ok(tag.map_or(Ok(()), |tag| self.transport.ack(tag))?)
    }

    /// The node has forgotten a job. What waited behind it goes on at the next idle event.
    fn forget(&mut self, job: JobId) -> Result<(), RunnerError> {
        self.course.idle = false;
        self.store.forget(job)?;
        self.course.registered.remove(&job);
        self.jobs.forgotten(job)
    }
}

/// Whether it is the node that is wrong, and not the job: it has another topology (invariant 7), or no room on its disk.
pub(crate) fn is_of_the_node(error: &NodeError) -> bool {
    matches!(error, NodeError::Topology) || is_passing(error)
}

#[cfg(test)]
mod tests;
