//! `coffee submit`: the queries, by a cluster.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    process,
    time::Duration,
};

use clap::{Args, builder::BoolishValueParser};
use coffee_core::frame::JobId;
use coffee_nodes::{
    Stop,
    client::{Client, ClientOptions},
    job::{JobState, JobSummary},
    sales::{self, Progress, Request, SalesError, SubmitOptions},
};

use super::{conclude, progress::ProgressDisplay, query_args::QueryArgs, report::ReportArgs};
use crate::{
    commands::jobs::{GatewaysArgs, advice},
    failure::{Failure, INTERRUPTED},
    output, signals,
};

/// Has the queries answered by a cluster
///
/// DATA is a folder as of `coffee run`. The job's id goes to stderr first. When it is interrupted, the job is left to be
/// gone on with by --job; on a terminal, a second Ctrl-C within 3 seconds cancels it.
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
    /// Ends once the cluster has all data, without results or report; prints the job's id on stdout. `coffee submit --job ID` fetches the results
    #[arg(long, env = "COFFEE_DETACH", value_parser = BoolishValueParser::new())]
    detach: bool,
    /// Fails at the first row that can't be read
    #[arg(long, env = "COFFEE_STRICT", value_parser = BoolishValueParser::new())]
    strict: bool,
    #[command(flatten)]
    report: ReportArgs,
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
    let options = SubmitOptions { request, client: args.gateways.options()?, job: args.job };
    let interrupts = Interrupts::listen()?;
    let mut begun = args.job;
    let progress = Progress::default();
    let display = if args.quiet { None } else { ProgressDisplay::start(&progress) };
    let mut on_job = |job: JobId| {
        if begun.replace(job) != Some(job) && !args.detach {
            let line = format!("job {job}\n");
            display.as_ref().map_or_else(|| output::print_error(&line), |display| display.say(&line));
        }
    };
    if args.detach {
        let uploaded = sales::upload(&options, &progress, &interrupts.stop, &mut on_job);
        drop(display);
        let job = uploaded.map_err(|error| interrupts.failure(error, begun, &options.client))?;
        return output::print(format!("{job}\n").as_bytes());
    }
    let report = args.report.create()?;
    let done = sales::submit(&options, &progress, &interrupts.stop, &mut on_job);
    drop(display);
    let reported = report.write(&options.request, &done);
    let done = done.map_err(|error| interrupts.failure(error, begun, &options.client));
    conclude(done, reported, args.quiet)
}

/// How long a second Ctrl-C is waited for.
const AGAIN: Duration = Duration::from_secs(3);

/// How long it is tried to cancel a job, once somebody waits for it at the keyboard.
const CANCEL: Duration = Duration::from_secs(10);

/// Ctrl-C: the first leaves the job, on a terminal the second cancels it, the third ends the process at once.
struct Interrupts {
    stop: Stop,
    cancel: Stop,
}

impl Interrupts {
    fn listen() -> Result<Self, Failure> {
        let cancel = Stop::new();
        let pressed = cancel.clone();
        let stop = signals::on_signals(move |stop| match (stop.is_triggered(), pressed.is_triggered()) {
            (false, _) => stop.trigger(),
            (true, false) => pressed.trigger(),
            (true, true) => process::exit(INTERRUPTED.into()),
        })?;
        Ok(Interrupts { stop, cancel })
    }

    /// What to say of a submission that has failed, and of its job. Where it was interrupted on a terminal, the second Ctrl-C
    /// is waited for.
    fn failure(&self, error: SalesError, job: Option<JobId>, client: &ClientOptions) -> Failure {
        let (interrupted, unreachable) = match &error {
            SalesError::Interrupted => (true, None),
            SalesError::Client(error) => (false, advice(error)),
            _ => (false, None),
        };
        let failure = Failure::from(error);
        match job {
            Some(job) if interrupted => failure.advise(self.leave_or_cancel(job, client)),
            Some(job) if unreachable.is_some() => {
                failure.advise(format!("the job may go on: so can you, with --job {job}"))
            }
            Some(_) => failure,
            None => failure.advised(unreachable),
        }
    }

    /// Returns what has become of the job.
    fn leave_or_cancel(&self, job: JobId, client: &ClientOptions) -> String {
        let how = format!("go on with --job {job}, or `coffee cancel {job}`");
        if !has_keyboard() {
            return how;
        }
        let seconds = AGAIN.as_secs();
        output::print_error(&format!("job {job} goes on; Ctrl-C again within {seconds} s cancels it\n"));
        if !self.cancel.wait(AGAIN) || !has_keyboard() {
            return how;
        }
        // Half of it for a gateway that has gone silent, and half for another.
        let options = ClientOptions { limit: CANCEL, patience: CANCEL / 2, ..client.clone() };
        match Client::new(options).cancel(job, &Stop::new()) {
            Ok((JobSummary { state: JobState::Cancelled, .. }, _)) => format!("job {job} is cancelled"),
            Ok(_) => format!("job {job} had ended before it could be cancelled"),
            Err(error) => format!("job {job} can't be cancelled: {error}: {how}"),
        }
    }
}

/// Whether signals are somebody's Ctrl-C. What stops a service sends more than one too, and so does a terminal that goes away,
/// which is none any more by then.
fn has_keyboard() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
