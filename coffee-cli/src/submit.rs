//! `coffee submit`: the queries, by a cluster.

use std::{path::PathBuf, process, thread};

use clap::{Args, builder::BoolishValueParser};
use coffee_core::frame::JobId;
use coffee_nodes::{
    Stop,
    client::{Client, ClientOptions},
    sales::{self, Progress, Request, SalesError, SubmitOptions},
};
use parking_lot::Mutex;

use crate::{
    args::QueryArgs,
    failure::{Failure, INTERRUPTED},
    jobs::GatewaysArgs,
    output,
    progress::ProgressDisplay,
    signals, summary, tables,
};

/// Has the queries answered by a cluster
///
/// DATA is a folder as of `coffee run`. The job's id goes to stderr first. When it is interrupted, the job is left to be
/// gone on with by --job; a second Ctrl-C cancels it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coffee submit data --gateway 127.0.0.1:9000 --out results --queries q1,q3")]
pub struct SubmitArgs {
    /// The folder with the tables
    data: PathBuf,
    #[command(flatten)]
    gateways: GatewaysArgs,
    /// The folder for the results; made if it is not there
    #[arg(long, env = "COFFEE_OUT", value_name = "DIR", default_value = "results")]
    out: PathBuf,
    #[command(flatten)]
    query: QueryArgs,
    /// A job that was begun before with the same data and flags: to go on with it, or to fetch its results again
    #[arg(long, env = "COFFEE_JOB", value_name = "ID")]
    job: Option<JobId>,
    /// Ends once the cluster has all data; prints the job's id on stdout. `coffee submit --job ID` fetches the results
    #[arg(long, env = "COFFEE_DETACH", value_parser = BoolishValueParser::new())]
    detach: bool,
    /// Fails at the first row that can't be read
    #[arg(long, env = "COFFEE_STRICT", value_parser = BoolishValueParser::new())]
    strict: bool,
    /// Shows no progress, tables or summary; errors all the same
    #[arg(long, env = "COFFEE_QUIET", value_parser = BoolishValueParser::new())]
    quiet: bool,
}

pub fn run(args: &SubmitArgs) -> Result<(), Failure> {
    let request = Request {
        data: args.data.clone(),
        out: args.out.clone(),
        query: args.query.query(),
        queries: args.query.queries,
        strict: args.strict,
    };
    let options = SubmitOptions { request, client: args.gateways.options(), job: args.job };
    let begun = std::sync::Arc::new(Mutex::new(args.job));
    let stop = stop_or_cancel(options.client.clone(), begun.clone())?;
    let mut on_job = |job: JobId| {
        if begun.lock().replace(job) != Some(job) && !args.detach {
            output::print_error(&format!("job {job}\n"));
        }
    };
    let progress = Progress::default();
    let display = if args.quiet { None } else { ProgressDisplay::start(&progress) };
    if args.detach {
        let uploaded = sales::upload(&options, &progress, &stop, &mut on_job);
        drop(display);
        let job = uploaded.map_err(|error| failure(error, *begun.lock()))?;
        return output::print(format!("{job}\n").as_bytes());
    }
    let done = sales::submit(&options, &progress, &stop, &mut on_job);
    drop(display);
    let summary = done.map_err(|error| failure(error, *begun.lock()))?;
    if args.quiet {
        return Ok(());
    }
    let printed = tables::print(&summary.results);
    summary::print(&summary);
    printed
}

fn failure(error: SalesError, job: Option<JobId>) -> Failure {
    let interrupted = matches!(error, SalesError::Interrupted);
    let failure = Failure::from(error);
    match job {
        Some(job) if interrupted => {
            failure.advise(format!("the job goes on: fetch it with --job {job}, or `coffee cancel {job}`"))
        }
        _ => failure,
    }
}

/// The first Ctrl-C leaves the job; the second, while that still takes, cancels it.
fn stop_or_cancel(client: ClientOptions, job: std::sync::Arc<Mutex<Option<JobId>>>) -> Result<Stop, Failure> {
    signals::on_signals(move |stop| {
        if !stop.is_triggered() {
            return stop.trigger();
        }
        let (client, job) = (client.clone(), *job.lock());
        // Not by the thread that waits for signals: a third one ends the process at once.
        let cancel = move || {
            if let Some(job) = job {
                match Client::new(client).cancel(job, &Stop::new()) {
                    Ok(_) => output::print_error(&format!("job {job} is cancelled\n")),
                    Err(error) => output::print_error(&format!("coffee: job {job} can't be cancelled: {error}\n")),
                }
            }
            process::exit(INTERRUPTED.into());
        };
        if thread::Builder::new().name("cancel".into()).spawn(cancel).is_err() {
            process::exit(INTERRUPTED.into());
        }
    })
}
