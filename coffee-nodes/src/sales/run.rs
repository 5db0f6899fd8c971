//! Answers the queries in this process: checks everything, runs the job, puts the files in place, sums up.

use std::{num::NonZeroUsize, time::Instant};

use coffee_core::plan::Placement;

use super::{
    Progress, Request, SalesError, Summary,
    error::{About, about},
    request::Checked,
    summary::stages,
    tables,
};
use crate::{
    Stop,
    embedded::{Embedded, EmbeddedError},
    statistics::Statistics,
};

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What is asked.
    pub request: Request,
    /// Which operators run together.
    pub placement: Placement,
    /// How many threads read the data.
    pub threads: NonZeroUsize,
}

/// Answers the queries in this process. Ok promises that the files of all asked queries are in place, and those of the
/// others are gone; after an error no file has changed, unless it was in putting them in place.
///
/// # Errors
/// [`SalesError::is_before_work`] tells what was found before any work from what happened in it.
pub fn run(options: &RunOptions, progress: &Progress, stop: &Stop) -> Result<Summary, SalesError> {
    let start = Instant::now();
    let checked = Checked::new(&options.request, Some(&options.placement))?;
    let mut results = checked.results()?;
    progress.set_total(checked.bytes());
    let statistics = Statistics::default();
    let engine = Embedded::new()
        .statistics(statistics.clone())
        .threads(options.threads)
        .scratch(&options.request.out)
        .stop(stop.clone());
    let report = engine
        .progress(progress.read.clone())
        .run_with(&checked.job, &mut |piece| Ok(results.take(&piece)?))
        .map_err(|error| explain(error, &checked))?;
    Ok(Summary { stages: stages(&statistics.loops()), ..checked.finish(results, &report, start)? })
}

/// Says a rejection in a strict run by its file.
fn explain(error: EmbeddedError, checked: &Checked<'_>) -> SalesError {
    match about(error, &checked.request.out) {
        About::Other(error) => error,
        About::Rejected(operator, rejection) => {
            let table = checked.plan().looked_up_by(&operator).unwrap_or(&operator);
            let table = checked.tables.iter().find(|opened| opened.name() == table);
            let file = table.map(|table| tables::file_name(table, rejection.line.file)).unwrap_or_default();
            let what = if rejection.column.is_empty() {
                rejection.reason
            } else {
                format!("{}: {}", rejection.column, rejection.reason)
            };
            SalesError::Rejected { file, line: rejection.line.number, what }
        }
    }
}
