//! The `coffee` command: parses, calls, exits. What the subcommands do is in the libraries; how they are asked and what
//! they print is in a file each.

mod args;
mod chaos;
mod cluster;
mod completions;
mod compose;
mod config;
mod duration;
mod failure;
mod gateway;
mod generate;
mod jobs;
mod monitor;
mod monitors;
mod node;
mod output;
mod placement;
mod progress;
mod query_node;
mod results_node;
mod run;
mod serve;
mod signals;
mod store;
mod submit;
mod summary;
mod tables;
mod up;

use std::{env, process::ExitCode};

use args::Command;
use config::Unparsed;
use log::LevelFilter;

fn main() -> ExitCode {
    let cli = match config::parse(env::args_os()) {
        Ok(cli) => cli,
        Err(Unparsed::Usage(error)) => return failure::report_usage(&error),
        Err(Unparsed::File(failure)) => return failure.report(false),
    };
    start_logging(cli.verbose);
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Up(args) => up::run(&args, cli.verbose),
        Command::Submit(args) => submit::run(&args),
        Command::Jobs(args) => jobs::list(&args),
        Command::Cancel(args) => jobs::cancel(&args),
        Command::Gateway(args) => gateway::run(&args),
        Command::QueryNode(args) => query_node::run(&args),
        Command::ResultsNode(args) => results_node::run(&args),
        Command::Node(args) => node::run(&args),
        Command::Monitor(args) => monitor::run(&args),
        Command::Compose(args) => compose::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(cli.verbose > 0),
    }
}

/// Logs to stderr: nothing below a warning, unless asked for.
fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    env_logger::Builder::new().filter_level(level).init();
}
