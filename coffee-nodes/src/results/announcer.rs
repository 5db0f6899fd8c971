//! Tells what has become of results, and drops those whose time is over.

use std::time::{Duration, Instant};

use coffee_core::frame::JobId;
use crossbeam_channel::{Receiver, select};

use super::{NODE, News, ResultsStore};
use crate::{
    Stop,
    cluster::{Control, QueryCallError, QueryClient, QueryError, Teller},
    job::{JobState, now_ms},
    runner::StoreError,
    trail::Trail,
};

/// What may wait to be told; what does not fit, others find out by asking.
pub(super) const BACKLOG: usize = 1024;

/// How often the query node is told again what it has not answered.
const REPEAT: Duration = Duration::from_secs(1);

/// How often it is looked whose time is over.
const SWEEP: Duration = Duration::from_secs(60);

/// How long a call waits for its answer: a stop waits as long.
const CALL: Duration = Duration::from_secs(2);

/// How long a message waits for the broker to take it, before it is dropped.
const PATIENCE: Duration = Duration::from_millis(500);

/// Publishes complete results on the control exchange, and reports complete jobs to the query node until it has answered.
pub(super) struct Announcer<'a> {
    pub store: &'a ResultsStore,
    pub query: &'a QueryClient,
    pub teller: Teller,
    pub news: Receiver<News>,
}

impl Announcer<'_> {
    /// Goes on until `stop`.
    pub fn run(mut self, stop: &Stop) -> Result<(), StoreError> {
        let (mut repeat, mut sweep) = (Instant::now(), Instant::now());
        loop {
            if Instant::now() >= sweep {
                self.sweep(stop)?;
                sweep = Instant::now() + SWEEP;
            }
            if Instant::now() >= repeat {
                for job in self.store.untold()?.into_iter().take_while(|_| !stop.is_triggered()) {
                    self.complete(job)?;
                }
                repeat = Instant::now() + REPEAT;
            }
            select! {
                recv(self.news) -> news => match news {
                    Ok(News::Result(job, port)) => self.teller.tell(&Control::Result { job, port }, PATIENCE),
                    Ok(News::Complete(job)) => self.complete(job)?,
                    Err(_) => return Ok(()), // nobody is left who puts results
                },
                recv(self.teller.settled()) -> settled => if settled.is_err() { return Ok(()) },
                recv(stop.receiver()) -> _ => return Ok(()),
                default(repeat.min(sweep).saturating_duration_since(Instant::now())) => {}
            }
        }
    }

    /// Tells that a job is complete; one that had ended otherwise before is dropped.
    fn complete(&self, job: JobId) -> Result<(), StoreError> {
        match self.query.complete(job, self.store.without(job)?, Instant::now() + CALL) {
            Ok(JobState::Done) => {
                log::info!("{} all of its results are complete", Trail::node(job, NODE));
                self.store.told(job)
            }
            answer if is_over(&answer) => self.store.discard(job),
            answer => {
                log::debug!("{} that it is complete is told again: {answer:?}", Trail::node(job, NODE));
                Ok(())
            }
        }
    }

    /// Drops what is past its time, and what came of jobs after they had ended.
    fn sweep(&self, stop: &Stop) -> Result<(), StoreError> {
        self.store.expire(now_ms())?;
        for job in self.store.incomplete()?.into_iter().take_while(|_| !stop.is_triggered()) {
            if is_over(&self.query.state(job, Instant::now() + CALL)) {
                self.store.discard_incomplete(job)?;
            }
        }
        Ok(())
    }
}

/// Whether a job has ended, or is not even known any more.
fn is_over(answer: &Result<JobState, QueryCallError>) -> bool {
    match answer {
        Ok(state) => state.is_ended(),
        Err(QueryCallError::Refused(QueryError::UnknownJob(_) | QueryError::Ended(_))) => true,
        Err(_) => false,
    }
}
