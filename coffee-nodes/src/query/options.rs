//! What a query node is to be like.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{Pulses, RetryPause, Stop};

/// Tells whether encoded parameters make sense, or why not. Called with those that decode as the plan's.
pub type CheckParameters = Box<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

/// What a query node is to be like.
#[non_exhaustive]
pub struct QueryOptions {
    /// The folder of its store; made if it is not there. One query node at a time uses it.
    pub state: PathBuf,
    /// Most jobs that run at a time, at least 1; the others wait for their turn.
    pub max_running: usize,
    /// Most jobs that wait; more are refused.
    pub max_waiting: usize,
    /// Most jobs of one client that wait or run; more are refused. Operators' are not counted.
    pub jobs_per_client: usize,
    /// The most bytes that the manifest of a client's job may list; `None`: any.
    pub job_bytes: Option<u64>,
    /// Most jobs that are known, at least 1, ended ones included; the oldest of those make room.
    pub max_known: usize,
    /// How long the client of a job may be away before its upload is finished, or there without sending anything though it
    /// could; then the job is cancelled. Counted while the query node is called, and anew after its restart.
    pub client_timeout: Duration,
    /// How long nothing may go on with a job that waits neither for its client nor for a broker; then it fails. Counted as
    /// `client_timeout` is.
    pub progress_timeout: Duration,
    /// How long a job is listed after its end.
    pub keep: Duration,
    /// Ends the wait for the place of an earlier life that the broker still believes to be alive.
    pub stop: Stop,
    /// Refuses parameters that no answer makes sense for.
    pub check: CheckParameters,
    /// Keeps nothing on disk: its death ends the cluster, and all jobs with it; the next one founds another.
    pub volatile: bool,
    /// How long it waits when its disk is full; who calls it waits, too.
    pub pause: RetryPause,
    /// Where its loop is watched once it works.
    pub pulses: Pulses,
}

impl QueryOptions {
    /// With a store in that folder; 2 jobs at a time, 64 that wait, 16 of one client, of any bytes, 1,000 that are known; 10 minutes for a client, and for a job on which nothing goes on, 24
    /// hours for a job that has ended; any parameters.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        QueryOptions {
            state: state.into(),
            max_running: 2,
            max_waiting: 64,
            jobs_per_client: 16,
            job_bytes: None,
            max_known: 1000,
            client_timeout: Duration::from_secs(10 * 60),
            progress_timeout: Duration::from_secs(10 * 60),
            keep: Duration::from_secs(24 * 60 * 60),
            stop: Stop::new(),
            check: Box::new(|_| Ok(())),
            volatile: false,
            pause: RetryPause::default(),
            pulses: Pulses::default(),
        }
    }

    /// Sets whether nothing is kept on disk.
    #[must_use]
    pub fn volatile(mut self, volatile: bool) -> Self {
        self.volatile = volatile;
        self
    }

    /// Sets how long to wait when the disk is full.
    #[must_use]
    pub fn pause(mut self, pause: RetryPause) -> Self {
        self.pause = pause;
        self
    }

    /// Sets where its loop is watched.
    #[must_use]
    pub fn pulses(mut self, pulses: Pulses) -> Self {
        self.pulses = pulses;
        self
    }

    /// Sets how many jobs run at a time.
    #[must_use]
    pub fn max_running(mut self, jobs: usize) -> Self {
        self.max_running = jobs;
        self
    }

    /// Sets how many jobs may wait.
    #[must_use]
    pub fn max_waiting(mut self, jobs: usize) -> Self {
        self.max_waiting = jobs;
        self
    }

    /// Sets how many jobs of one client may wait or run.
    #[must_use]
    pub fn jobs_per_client(mut self, jobs: usize) -> Self {
        self.jobs_per_client = jobs;
        self
    }

    /// Sets how many bytes the manifest of a client's job may list.
    #[must_use]
    pub fn job_bytes(mut self, most: Option<u64>) -> Self {
        self.job_bytes = most;
        self
    }

    /// Sets how many jobs may be known.
    #[must_use]
    pub fn max_known(mut self, jobs: usize) -> Self {
        self.max_known = jobs;
        self
    }

    /// Sets how long a client may be away, or be idle.
    #[must_use]
    pub fn client_timeout(mut self, limit: Duration) -> Self {
        self.client_timeout = limit;
        self
    }

    /// Sets how long nothing may go on with a job.
    #[must_use]
    pub fn progress_timeout(mut self, limit: Duration) -> Self {
        self.progress_timeout = limit;
        self
    }

    /// Sets how long a job is listed after its end.
    #[must_use]
    pub fn keep(mut self, span: Duration) -> Self {
        self.keep = span;
        self
    }

    /// Sets what ends its start.
    #[must_use]
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Sets what refuses parameters.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&[u8]) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.check = Box::new(check);
        self
    }
}

impl fmt::Debug for QueryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryOptions").field("state", &self.state).finish_non_exhaustive()
    }
}
