//! The client of a cluster: sends a job's data to a gateway, whichever is there, and takes its results. What data and
//! results mean is not known here; what is said on the connection is in [`wire`](crate::wire).
//!
//! ```text
//! calling thread:    hello, begin, start -> chunks, at most WINDOW of them unacked -> finish -> pieces kept, took -> ended
//! "client reading":  hears the gateway, for the calling thread
//! "client stopping": ends the connection once the caller's stop is triggered, whatever the others wait for
//! ```
//!
//! A connection that is lost costs nothing but time: the next gateway says from which marks on to send, and the chunks are
//! cut again from there; results go on behind the pieces that were kept. So each piece is handed over once, in order.

mod connection;
mod error;
mod options;
mod results;
mod session;
mod stages;
mod submission;
mod talk;
mod tries;
mod upload;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use error::ClientError;
pub use options::ClientOptions;
pub use stages::StageProgress;

use coffee_core::frame::JobId;

use crate::{
    Stop,
    embedded::{Outcome, Piece, Report, Results},
    job::{ErrorReport, Job, JobSummary},
    orders::Order,
    statistics::Overview,
    wire::{ToClient, ToGateway},
};
use connection::Connection;
use session::{Done, Session, Until};
use submission::Submission;
use tries::Tries;

/// What happens to a submission.
#[derive(Debug)]
pub enum Event<'a> {
    /// It has a job: the first event of each submission, also of one that goes on with a job.
    Begun(JobId),
    /// The job waits until fewer run, and so many are before it. 0 when it is next, and again when it is admitted.
    Waiting {
        /// How many jobs are before it.
        before: u32,
    },
    /// So much of the data is sent, though not all of it confirmed. Goes back when a connection is lost.
    Sent {
        /// Bytes of files on disk, and of rows as they are encoded.
        bytes: u64,
    },
    /// All data is confirmed, for the first time.
    Uploaded,
    /// How far its stages are, about once a second; where the cluster tells nothing of that, never. The last time is when the job
    /// is done, and then all of them are.
    Stages(&'a [StageProgress]),
    /// The next piece of a result. Ok promises that it is kept: it does not come again.
    Piece(Piece<'a>),
    /// A result can't be had, and has no more pieces.
    NoResult {
        /// The sink.
        sink: &'a str,
        /// Why, in words.
        reason: &'a str,
    },
}

/// Whoever watches a submission and keeps its results, on the calling thread, which sends nothing meanwhile: a gateway
/// waits half a minute for a sign. An error ends the submission; the job goes on.
pub type OnEvent<'a> = &'a mut dyn FnMut(Event<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A client. Each call opens connections of its own and blocks until it is done, has failed, or is stopped; while no gateway
/// can be reached it tries one after the other, up to the limits of its options. A triggered stop ends it at once, or after
/// the three seconds that a connection may take to be opened.
#[derive(Clone, Debug)]
pub struct Client {
    options: ClientOptions,
}

impl Client {
    /// Touches no network yet.
    pub fn new(options: ClientOptions) -> Self {
        Client { options }
    }

    /// Submits a job and keeps its results in memory.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); and where a result can't be had.
    pub fn run(&self, job: &Job<'_>, stop: &Stop) -> Result<Outcome, ClientError> {
        self.keep(job, None, stop)
    }

    /// Goes on with a job that was begun before, as by [`upload`](Self::upload), and keeps its results in memory. `job` is the one that
    /// it was begun with.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn resume(&self, job: &Job<'_>, begun: JobId, stop: &Stop) -> Result<Outcome, ClientError> {
        self.keep(job, Some(begun), stop)
    }

    fn keep(&self, job: &Job<'_>, begun: Option<JobId>, stop: &Stop) -> Result<Outcome, ClientError> {
        let mut results = Results::default();
        let mut missing = Vec::new();
        let report = self.submit(job, begun, stop, &mut |event| {
            match event {
                Event::Piece(piece) => results.take(&piece),
                Event::NoResult { sink, reason } => missing.push(format!("{sink}: {reason}")),
                _ => {}
            }
            Ok(())
        })?;
        if missing.is_empty() {
            Ok(Outcome { report, results })
        } else {
            Err(ClientError::NoResult(missing.join("; ")))
        }
    }

    /// Submits a job and takes its results; where `begun` names one that was begun before with the same job, goes on with that,
    /// or fetches its results again. Ok promises that every result's last piece has been handed over, or that it can't be
    /// had.
    ///
    /// # Errors
    /// After [`ClientError::Interrupted`] and [`ClientError::Gateway`] the job, if there was an [`Event::Begun`], may go on
    /// by itself, and can be gone on with; also where an event was answered with an error. After a failed request to begin
    /// without that event, the job may be there but gets no data.
    pub fn submit(
        &self,
        job: &Job<'_>,
        begun: Option<JobId>,
        stop: &Stop,
        on_event: OnEvent<'_>,
    ) -> Result<Report, ClientError> {
        let submission = Submission::of(job, begun)?;
        let (_, counts) = self.send(&submission, Until::Ended, stop, on_event)?;
        Ok(Report::new(job.topology().plan(), &counts))
    }

    /// Submits a job and leaves it once all of its data is confirmed, and the query node knows it: nothing more is needed of
    /// this client, and the job is not cancelled because it is away. Ok promises that the job had not failed and was not
    /// cancelled by then.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn upload(
        &self,
        job: &Job<'_>,
        begun: Option<JobId>,
        stop: &Stop,
        on_event: OnEvent<'_>,
    ) -> Result<JobId, ClientError> {
        let (job, _) = self.send(&Submission::of(job, begun)?, Until::Uploaded, stop, on_event)?;
        Ok(job)
    }

    fn send(
        &self,
        submission: &Submission<'_>,
        until: Until,
        stop: &Stop,
        on_event: OnEvent<'_>,
    ) -> Result<Done, ClientError> {
        Session::new(&self.options, submission, until, stop, on_event).run()
    }

    /// All jobs that the cluster knows, oldest first.
    ///
    /// # Errors
    /// Where no gateway answers, or it refuses.
    pub fn list(&self, stop: &Stop) -> Result<Vec<JobSummary>, ClientError> {
        self.ask(stop, &ToGateway::List, |answer| match answer {
            ToClient::Jobs { jobs } => Some(jobs),
            _ => None,
        })
    }

    /// One job, and what was reported about it, oldest first.
    ///
    /// # Errors
    /// Where no gateway answers, or it refuses: also a job that is not known.
    pub fn describe(&self, job: JobId, stop: &Stop) -> Result<(JobSummary, Vec<ErrorReport>), ClientError> {
        self.ask(stop, &ToGateway::Describe { job }, about_job)
    }

    /// Cancels a job that has not ended. Ok says what has become of it.
    ///
    /// # Errors
    /// Where no gateway answers, or it refuses: also a job that is not known. It may be cancelled all the same.
    pub fn cancel(&self, job: JobId, stop: &Stop) -> Result<(JobSummary, Vec<ErrorReport>), ClientError> {
        self.ask(stop, &ToGateway::Cancel { job }, about_job)
    }

    /// How the cluster is: its nodes, queues, jobs and newest errors.
    ///
    /// # Errors
    /// Where no gateway answers, or it refuses.
    pub fn overview(&self, stop: &Stop) -> Result<Overview, ClientError> {
        self.ask(stop, &ToGateway::Overview, |answer| match answer {
            ToClient::Overview(overview) => Some(*overview),
            _ => None,
        })
    }

    /// Orders one life of a node to do something, as an operator. Ok: the order is given, and whether it is obeyed shows in the next
    /// [overviews](Self::overview). It is given once: until a gateway welcomes the client, one after the other is tried, and what becomes of
    /// the order then is final.
    ///
    /// # Errors
    /// Where no gateway answers, or it refuses: also where there is no such node or it has another life by now. Where the connection was
    /// lost, or the broker is away, it may be obeyed all the same, within five seconds.
    pub fn order(&self, node: &str, life: u64, order: Order, stop: &Stop) -> Result<(), ClientError> {
        let request = ToGateway::Order { node: node.to_owned(), life, order };
        let ordered = |answer| matches!(answer, ToClient::Ordered).then_some(());
        self.with(stop, |mut open| Ok(open.ask(&request, ordered)))?
    }

    /// Asks until there is an answer: only what does no harm when it is asked again.
    fn ask<T>(
        &self,
        stop: &Stop,
        request: &ToGateway,
        answer: impl Fn(ToClient) -> Option<T>,
    ) -> Result<T, ClientError> {
        self.with(stop, |mut open| open.ask(request, &answer))
    }

    /// Talks to one gateway after the other until that succeeds, for as long as there is hope.
    fn with<T>(&self, stop: &Stop, talk: impl Fn(Connection) -> Result<T, ClientError>) -> Result<T, ClientError> {
        let mut tries = Tries::new(&self.options, stop)?;
        loop {
            match connection::with(&mut tries, &talk) {
                Ok(said) => return Ok(said),
                Err(error) => tries.failed(error, false)?,
            }
        }
    }
}

fn about_job(answer: ToClient) -> Option<(JobSummary, Vec<ErrorReport>)> {
    match answer {
        ToClient::Job { summary, errors } => Some((summary, errors)),
        _ => None,
    }
}
