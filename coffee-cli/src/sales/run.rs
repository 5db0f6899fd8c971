//! `coffee run`: the queries in this one process.

use std::{num::NonZeroUsize, path::PathBuf, thread};

use clap::{Args, builder::BoolishValueParser};
use coffee_core::plan::Placement;
use coffee_nodes::sales::{Progress, Request, RunOptions, SalesError};
use log::info;

use super::{conclude, progress::ProgressDisplay, query_args::QueryArgs, report::ReportArgs};
use crate::{application::Application, command_line::Context, failure::Failure, signals};

/// Answers the queries in one process
///
/// DATA is a folder with a sub-folder for each table: transactions, transaction_items, stores, menu_items, users; only
/// those that the asked queries need. Each holds one or more .csv or .csv.gz files. Rows that can't be read are left out
/// and listed in rejected.csv.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coffee run data --out results --queries q1,q3 --min-amount 80.5")]
pub struct RunArgs {
    /// The folder with the tables
    data: PathBuf,
    /// The folder for the results; made if it is not there
    #[arg(long, env = "COFFEE_OUT", value_name = "DIR", default_value = "results")]
    out: PathBuf,
    #[command(flatten)]
    query: QueryArgs,
    /// Which operators run together: {placements}
    #[arg(long, env = "COFFEE_PLACEMENT")]
    placement: String,
    /// How many threads read the data, and how many replicas a stage has that can have some [default: the processors]
    #[arg(long, env = "COFFEE_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Fails at the first row that can't be read
    #[arg(long, env = "COFFEE_STRICT", value_parser = BoolishValueParser::new())]
    strict: bool,
    #[command(flatten)]
    report: ReportArgs,
    /// Shows no progress, tables or summary; errors all the same
    #[arg(long, env = "COFFEE_QUIET", value_parser = BoolishValueParser::new())]
    quiet: bool,
}

pub fn run(args: &RunArgs, context: &Context<'_>) -> Result<(), Failure> {
    let options = options(args, context.application)?;
    let report = args.report.create()?;
    let progress = Progress::default();
    let stop = signals::stop_on_interrupt()?;
    let Request { queries, data, out, .. } = &options.request;
    info!("{queries} of {data:?} into {out:?}");
    info!("placement {}, {} threads", args.placement, options.threads);
    let display = if args.quiet { None } else { ProgressDisplay::start(&progress) };
    let done = coffee_nodes::sales::run(&options, &progress, &stop);
    drop(display);
    let reported = report.write(&options.request, &done);
    let done = done.map_err(|error| match error {
        SalesError::Placement(_) => Failure::from(error).about(&args.placement),
        error => error.into(),
    });
    conclude(done, reported, args.quiet)
}

fn options(args: &RunArgs, application: &Application) -> Result<RunOptions, Failure> {
    let threads = match args.threads.and_then(|threads| NonZeroUsize::new(threads.into())) {
        Some(threads) => threads,
        None => thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    Ok(RunOptions {
        request: Request {
            data: args.data.clone(),
            out: args.out.clone(),
            query: args.query.query(),
            queries: args.query.queries,
            strict: args.strict,
        },
        placement: placement(application, args, threads)?,
        threads,
    })
}

/// One of the placements that ship, with a replica for each thread; or a file's, whose replicas are its own unless the
/// number of threads was asked for.
fn placement(application: &Application, args: &RunArgs, threads: NonZeroUsize) -> Result<Placement, Failure> {
    let name = args.placement.as_str();
    let mut placement = application.placement_named(name, &*application.plan()?)?;
    let all = u16::try_from(threads.get()).ok().map(|threads| threads.min(1024));
    if let Some(replicas) = if application.has_placement(name) { all } else { args.threads } {
        placement.set_replicas(None, replicas).map_err(|error| Failure::usage(name, error))?;
    }
    Ok(placement)
}
