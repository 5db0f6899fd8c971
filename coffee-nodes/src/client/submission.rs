//! A job in the cluster's words.

use coffee_core::frame::JobId;

use crate::{
    feed::Feed,
    job::{Job, JobError, JobSpec},
};

/// What is said of a job, and the data to send.
pub(super) struct Submission<'a> {
    /// One that was begun before; `None` begins one.
    pub job: Option<JobId>,
    /// What it asks for.
    pub spec: JobSpec,
    /// Its data: that of the tables that the manifest describes, in its order.
    pub feeds: Vec<&'a dyn Feed>,
    /// The names of all results that it has, those of rejected rows included.
    pub results: Vec<String>,
}

impl<'a> Submission<'a> {
    /// Describes a job, for which all of its rows may have to be gone through.
    pub fn of(job: &'a Job<'_>, begun: Option<JobId>) -> Result<Self, JobError> {
        let feeds = job.fed()?.into_iter().map(|(_, feed)| feed as &dyn Feed).collect();
        Ok(Submission { job: begun, spec: job.spec()?, feeds, results: job.results() })
    }
}
