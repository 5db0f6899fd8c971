//! Calls to the query node, typed: one method a request. At least once, which does no harm as no request does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_core::frame::JobId;
use coffee_mom::{
    Broker, NameError, StopError,
    rpc::{CallError, Client, ClientOptions, SetupError},
};
use crossbeam_channel::RecvTimeoutError;

use super::{Attached, LiveSet, Names, QueryError, QueryReply, QueryRequest, Working};
use crate::{
    Stop,
    access::Caller,
    job::{ErrorReport, JobSpec, JobState, JobSummary, Mark},
};

/// How long one attempt of [`QueryClient::until`] waits: short, as a stop does not interrupt it.
const ATTEMPT: Duration = Duration::from_secs(2);

/// The first pause between two attempts is shorter than this; each may be twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a call to the query node has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryCallError {
    /// The query node refuses.
    #[error(transparent)]
    Refused(QueryError),
    /// The query node did not answer; the call may have been executed, or may still be.
    #[error("the query node can't be reached")]
    Unreachable(#[source] CallError<QueryError>),
    /// It answered something else than was asked.
    #[error("the query node is of another version: its answer makes no sense")]
    Unexpected,
    /// The caller was asked to stop; the call may have been executed.
    #[error("stopped before the query node had answered")]
    Stopped,
}

impl QueryCallError {
    /// Whether the same call may succeed later without anything being changed.
    pub fn is_temporary(&self) -> bool {
        match self {
            QueryCallError::Refused(error) => matches!(error, QueryError::Store(_)),
            QueryCallError::Unreachable(error) => match error {
                CallError::Timeout | CallError::Busy | CallError::Unroutable => true,
                CallError::Publish(error) => error.is_back_pressure(),
                _ => false,
            },
            QueryCallError::Unexpected | QueryCallError::Stopped => false,
        }
    }

    /// Whether the client has ended: no later call of its will be answered.
    pub fn is_final(&self) -> bool {
        matches!(self, QueryCallError::Unreachable(CallError::Closed))
    }
}

impl From<CallError<QueryError>> for QueryCallError {
    fn from(error: CallError<QueryError>) -> Self {
        match error {
            CallError::Handler(error) => QueryCallError::Refused(error),
            error => QueryCallError::Unreachable(error),
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryClientError {
    /// The cluster's name is too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The broker gives no queue for the answers.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// Calls the query node of a cluster. Any number of threads may call at once.
///
/// What each call does is said at its [`QueryRequest`]. It blocks until the answer is there, `deadline` at most, and
/// fails with [`QueryCallError::Refused`] where the query node says no. [`until`](Self::until) has no deadline.
pub struct QueryClient {
    client: Client<QueryRequest, QueryReply, QueryError>,
}

impl QueryClient {
    /// A client of the cluster's query node, which need not be there yet.
    ///
    /// # Errors
    /// Where the broker gives no queue for the answers.
    pub fn new(broker: Arc<dyn Broker>, names: &Names) -> Result<Self, QueryClientError> {
        let client = Client::new(broker, &names.query()?, ClientOptions::default())?;
        Ok(QueryClient { client })
    }

    /// Repeats a call, which it gives a deadline, until it is answered or refused; after a while without an answer it
    /// pauses, by chance, for up to two seconds.
    ///
    /// # Errors
    /// [`QueryCallError::Stopped`] at most two seconds after `stop` is triggered; or what repeating does not mend.
    pub fn until<T>(
        &self,
        stop: &Stop,
        call: impl Fn(&Self, Instant) -> Result<T, QueryCallError>,
    ) -> Result<T, QueryCallError> {
        let mut longest = FIRST_PAUSE;
        while !stop.is_triggered() {
            match call(self, Instant::now() + ATTEMPT) {
                Err(error) if error.is_temporary() => log::debug!("a call is repeated: {error}"),
                answered => return answered,
            }
            let pause = longest.mul_f64(fastrand::f64());
            if stop.receiver().recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                break;
            }
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
        Err(QueryCallError::Stopped)
    }

    /// Mints a job for a caller: one for all its calls with the same `request`, which is drawn at random.
    ///
    /// # Errors
    /// As all calls.
    pub fn begin(
        &self,
        caller: &Caller,
        request: u128,
        spec: &JobSpec,
        deadline: Instant,
    ) -> Result<JobId, QueryCallError> {
        let begin = QueryRequest::Begin { caller: caller.clone(), request, spec: spec.clone() };
        self.ask(begin, deadline, |reply| match reply {
            QueryReply::Begun(job) => Some(job),
            _ => None,
        })
    }

    /// Takes a job over with `session`, which is drawn at random; without `spec` it only reads.
    ///
    /// # Errors
    /// As all calls.
    pub fn attach(
        &self,
        caller: &Caller,
        job: JobId,
        session: u128,
        spec: Option<&JobSpec>,
        deadline: Instant,
    ) -> Result<Attached, QueryCallError> {
        let attach = QueryRequest::Attach { caller: caller.clone(), job, session, spec: spec.cloned() };
        self.ask(attach, deadline, |reply| match reply {
            QueryReply::Attached(attached) => Some(*attached),
            _ => None,
        })
    }

    /// Says that a session is alive and how far its tables are.
    ///
    /// # Errors
    /// As all calls.
    pub fn renew(&self, job: JobId, epoch: u64, marks: &[Mark], deadline: Instant) -> Result<JobState, QueryCallError> {
        self.ask_state(QueryRequest::Renew { job, epoch, marks: marks.to_vec() }, deadline)
    }

    /// How far a job is.
    ///
    /// # Errors
    /// As all calls.
    pub fn state(&self, job: JobId, deadline: Instant) -> Result<JobState, QueryCallError> {
        self.ask_state(QueryRequest::State { job }, deadline)
    }

    /// Cancels a job; returns what it is now.
    ///
    /// # Errors
    /// As all calls.
    pub fn cancel(&self, caller: &Caller, job: JobId, deadline: Instant) -> Result<JobState, QueryCallError> {
        self.ask_state(QueryRequest::Cancel { caller: caller.clone(), job }, deadline)
    }

    /// All jobs that are known and are there for the caller, oldest first.
    ///
    /// # Errors
    /// As all calls.
    pub fn list(&self, caller: &Caller, deadline: Instant) -> Result<Vec<JobSummary>, QueryCallError> {
        self.ask(QueryRequest::List { caller: caller.clone() }, deadline, |reply| match reply {
            QueryReply::Jobs(jobs) => Some(jobs),
            _ => None,
        })
    }

    /// One job, and what was reported about it, oldest first.
    ///
    /// # Errors
    /// As all calls.
    pub fn describe(
        &self,
        caller: &Caller,
        job: JobId,
        deadline: Instant,
    ) -> Result<(JobSummary, Vec<ErrorReport>), QueryCallError> {
        self.ask(QueryRequest::Describe { caller: caller.clone(), job }, deadline, |reply| match reply {
            QueryReply::Job { summary, errors } => Some((summary, errors)),
            _ => None,
        })
    }

    /// The newest errors that were reported, oldest first.
    ///
    /// # Errors
    /// As all calls.
    pub fn errors(&self, deadline: Instant) -> Result<Vec<ErrorReport>, QueryCallError> {
        self.ask(QueryRequest::Errors, deadline, |reply| match reply {
            QueryReply::Errors(errors) => Some(errors),
            _ => None,
        })
    }

    /// Which jobs live.
    ///
    /// # Errors
    /// As all calls.
    pub fn live(&self, deadline: Instant) -> Result<LiveSet, QueryCallError> {
        self.ask(QueryRequest::Live, deadline, |reply| match reply {
            QueryReply::Live(live) => Some(live),
            _ => None,
        })
    }

    /// Fails a job; returns what it is now.
    ///
    /// # Errors
    /// As all calls.
    pub fn fail(&self, job: JobId, report: &ErrorReport, deadline: Instant) -> Result<JobState, QueryCallError> {
        self.ask_state(QueryRequest::Fail { job, report: report.clone() }, deadline)
    }

    /// Puts something into the log of errors.
    ///
    /// # Errors
    /// As all calls.
    pub fn report(&self, report: &ErrorReport, deadline: Instant) -> Result<(), QueryCallError> {
        self.tell(QueryRequest::Report(report.clone()), deadline)
    }

    /// Says that a node is held up by its disk, and why, or that it goes on.
    ///
    /// # Errors
    /// As all calls.
    pub fn held(&self, node: &str, reason: Option<&str>, deadline: Instant) -> Result<(), QueryCallError> {
        let reason = reason.map(str::to_owned);
        self.tell(QueryRequest::Held { node: node.to_owned(), reason }, deadline)
    }

    /// Says that a shard begins a life with that store.
    ///
    /// # Errors
    /// As all calls.
    pub fn returned(&self, stage: u16, shard: u16, store: u64, deadline: Instant) -> Result<(), QueryCallError> {
        self.tell(QueryRequest::Returned { stage, shard, store }, deadline)
    }

    /// Says that the results node has all that a job asked for, but for these results; returns what it is now.
    ///
    /// # Errors
    /// As all calls.
    pub fn complete(&self, job: JobId, without: Vec<String>, deadline: Instant) -> Result<JobState, QueryCallError> {
        self.ask_state(QueryRequest::Complete { job, without }, deadline)
    }

    /// Says how far a shard is with the jobs that it works on.
    ///
    /// # Errors
    /// As all calls.
    pub fn working(&self, stage: u16, shard: u16, jobs: Vec<Working>, deadline: Instant) -> Result<(), QueryCallError> {
        self.tell(QueryRequest::Working { stage, shard, jobs }, deadline)
    }

    /// Says that a shard holds nothing of an ended job any more.
    ///
    /// # Errors
    /// As all calls.
    pub fn forgotten(&self, job: JobId, stage: u16, shard: u16, deadline: Instant) -> Result<(), QueryCallError> {
        self.tell(QueryRequest::Forgotten { job, stage, shard }, deadline)
    }

    /// Says in which store a shard is about to make its first commit of a job. Only after Ok may it.
    ///
    /// # Errors
    /// As all calls.
    pub fn register(
        &self,
        job: JobId,
        stage: u16,
        shard: u16,
        store: u64,
        deadline: Instant,
    ) -> Result<(), QueryCallError> {
        self.tell(QueryRequest::Register { job, stage, shard, store }, deadline)
    }

    /// Ends its thread; calls that wait fail. Blocks until `deadline` at most.
    ///
    /// # Errors
    /// Where that takes longer; it is closed all the same.
    pub fn close(&self, deadline: Instant) -> Result<(), StopError> {
        self.client.close(deadline)
    }

    fn ask_state(&self, request: QueryRequest, deadline: Instant) -> Result<JobState, QueryCallError> {
        self.ask(request, deadline, |reply| match reply {
            QueryReply::State(state) => Some(state),
            _ => None,
        })
    }

    fn tell(&self, request: QueryRequest, deadline: Instant) -> Result<(), QueryCallError> {
        self.ask(request, deadline, |reply| matches!(reply, QueryReply::Noted).then_some(()))
    }

    fn ask<T>(
        &self,
        request: QueryRequest,
        deadline: Instant,
        expected: impl FnOnce(QueryReply) -> Option<T>,
    ) -> Result<T, QueryCallError> {
        expected(self.client.call(&request, deadline)?).ok_or(QueryCallError::Unexpected)
    }
}
