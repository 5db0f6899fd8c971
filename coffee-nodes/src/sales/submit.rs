//! Answers the queries by a cluster: checks everything, submits the job, puts the files in place, sums up.

use std::time::Instant;

use coffee_core::frame::JobId;

use super::{MissingResult, Progress, Request, SalesError, StageSummary, Summary, request::Checked, times::Course};
use crate::{
    Stop,
    client::{Client, ClientOptions, Event, StageProgress},
};

/// What to submit, and where.
#[derive(Clone, Debug)]
pub struct SubmitOptions {
    /// What is asked.
    pub request: Request,
    /// Where the cluster is.
    pub client: ClientOptions,
    /// A job that was begun before with the same request, to go on with or to fetch its results again.
    pub job: Option<JobId>,
}

/// Has the queries answered by a cluster. `on_job` is told the job's id as soon as there is one. Ok promises what it does
/// of [`run`](super::run()).
///
/// # Errors
/// [`SalesError::is_before_work`] tells what was found before any work from what happened in it. After
/// [`SalesError::NoResult`], which has the summary, the files of the other queries are in place; after any other error no
/// file has changed, unless it was in putting them in place. An interrupted job is left to be gone on with.
pub fn submit(
    options: &SubmitOptions,
    progress: &Progress,
    stop: &Stop,
    on_job: &mut dyn FnMut(JobId),
) -> Result<Summary, SalesError> {
    let start = Instant::now();
    let mut course = Course::new(start);
    let checked = Checked::new(&options.request, None)?;
    let mut results = checked.results()?;
    progress.set_total(checked.bytes());
    let mut missing = Vec::new();
    let report = Client::new(options.client.clone()).submit(&checked.job, options.job, stop, &mut |event| {
        match event {
            Event::Piece(piece) => {
                course.came(piece.sink, Instant::now());
                results.take(&piece)?;
            }
            Event::NoResult { sink, reason } => {
                results.give_up(sink);
                missing.push(MissingResult { name: sink.to_owned(), reason: reason.to_string() });
            }
            Event::Uploaded => course.uploaded(Instant::now()),
            other => show(&other, progress, on_job),
        }
        Ok(())
    })?;
    let summary = checked.finish(results, &report, start)?;
    let times = Some(course.times(start + summary.elapsed));
    let stages = progress.stages().into_iter().filter(|stage| !stage.busy.is_zero());
    let stages = stages.map(|StageProgress { stage, busy, .. }| StageSummary { name: stage, busy }).collect();
    let summary = Summary { missing, times, stages, ..summary };
    if summary.missing.is_empty() { Ok(summary) } else { Err(SalesError::NoResult(Box::new(summary))) }
}

/// Submits a job and leaves it to the cluster once all of its data is there; [`submit`] fetches its results. `on_job` is told
/// the job's id as soon as there is one. The folder for the results is not looked at.
///
/// # Errors
/// As [`submit`].
pub fn upload(
    options: &SubmitOptions,
    progress: &Progress,
    stop: &Stop,
    on_job: &mut dyn FnMut(JobId),
) -> Result<JobId, SalesError> {
    let checked = Checked::new(&options.request, None)?;
    progress.set_total(checked.bytes());
    let job = Client::new(options.client.clone()).upload(&checked.job, options.job, stop, &mut |event| {
        show(&event, progress, on_job);
        Ok(())
    })?;
    Ok(job)
}

fn show(event: &Event<'_>, progress: &Progress, on_job: &mut dyn FnMut(JobId)) {
    match event {
        Event::Begun(job) => on_job(*job),
        Event::Waiting { before } => progress.set_waiting(*before),
        Event::Sent { bytes } => progress.set_read(*bytes),
        Event::Stages(stages) => progress.set_stages(stages),
        Event::Uploaded | Event::Piece(_) | Event::NoResult { .. } => {}
    }
}
