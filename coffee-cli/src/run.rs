//! `coffee run`: the queries in this one process.

use std::{fs, num::NonZeroUsize, path::PathBuf, process, thread};

use clap::{Args, builder::BoolishValueParser};
use coffee_core::{
    plan::Placement,
    sales::{fused, staged},
};
use coffee_nodes::{
    Stop,
    sales::{Progress, RunOptions, SalesError},
};
use log::info;

use crate::{
    args::QueryArgs,
    failure::{Failure, INTERRUPTED},
    progress::ProgressDisplay,
    summary, tables,
};

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
    /// Which operators run together: fused (fast), staged (one operator a node), or a TOML file
    #[arg(long, env = "COFFEE_PLACEMENT", value_name = "fused|staged|FILE", default_value = "fused")]
    placement: String,
    /// How many threads read the data, and how many replicas a stage has that can have some [default: the processors]
    #[arg(long, env = "COFFEE_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Fails at the first row that can't be read
    #[arg(long, env = "COFFEE_STRICT", value_parser = BoolishValueParser::new())]
    strict: bool,
    /// Shows no progress, tables or summary; errors all the same
    #[arg(long, env = "COFFEE_QUIET", value_parser = BoolishValueParser::new())]
    quiet: bool,
}

pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let options = options(args)?;
    let progress = Progress::default();
    let stop = stop_on_interrupt()?;
    info!("{} of {:?} into {:?}", options.queries, options.data, options.out);
    info!("placement {}, {} threads", args.placement, options.threads);
    let display = if args.quiet { None } else { ProgressDisplay::start(&progress) };
    let done = coffee_nodes::sales::run(&options, &progress, &stop);
    drop(display);
    let summary = done.map_err(|error| match error {
        SalesError::Placement(_) => Failure::from(error).about(&args.placement),
        error => error.into(),
    })?;
    if args.quiet {
        return Ok(());
    }
    let printed = tables::print(&summary.results);
    summary::print(&summary);
    printed
}

fn options(args: &RunArgs) -> Result<RunOptions, Failure> {
    let threads = match args.threads.and_then(|threads| NonZeroUsize::new(threads.into())) {
        Some(threads) => threads,
        None => thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    Ok(RunOptions {
        data: args.data.clone(),
        out: args.out.clone(),
        query: args.query.query(),
        queries: args.query.queries,
        placement: placement(&args.placement, threads, args.threads)?,
        threads,
        strict: args.strict,
    })
}

/// One of the placements that ship, with a replica for each thread; or a file's, whose replicas are its own unless the
/// number of threads was asked for.
fn placement(name: &str, threads: NonZeroUsize, asked: Option<u16>) -> Result<Placement, Failure> {
    let mut replicas = u16::try_from(threads.get()).ok().map(|threads| threads.min(1024));
    let parsed = match name {
        "fused" => fused(),
        "staged" => staged(),
        path => {
            replicas = asked;
            let text = fs::read_to_string(path).map_err(|error| {
                Failure::usage(path, format!("no placement can be read there: {error}; fused and staged are built in"))
            })?;
            Placement::parse(&text)
        }
    };
    let multiplied = parsed.and_then(|mut placement| {
        if let Some(replicas) = replicas {
            placement.set_replicas(None, replicas)?;
        }
        Ok(placement)
    });
    multiplied.map_err(|error| Failure::usage(name, error))
}

/// The first Ctrl-C lets the run end in order; the second ends the process at once.
fn stop_on_interrupt() -> Result<Stop, Failure> {
    let stop = Stop::new();
    let interrupted = stop.clone();
    let handler = move || {
        if interrupted.is_triggered() {
            process::exit(INTERRUPTED.into());
        }
        interrupted.trigger();
    };
    ctrlc::set_handler(handler).map_err(|error| Failure::usage("Ctrl-C can't be waited for", error))?;
    Ok(stop)
}
