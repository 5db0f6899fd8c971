//! The command line as a whole: parses, calls, reports. A subcommand's own part is in its file.

use std::{ffi::OsString, process::ExitCode};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use log::LevelFilter;

use crate::{
    application::Application,
    config::{self, Unparsed},
    failure::{self, Failure},
    help,
};

// Its name, and what it says about itself, are the application's.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  {example}")]
struct Cli<C: Subcommand> {
    /// Says more: the chain of causes of an error, and logs; more still when repeated
    #[arg(short, long, global = true, env = "COFFEE_VERBOSE", action = clap::ArgAction::Count, display_order = 100)]
    verbose: u8,
    #[command(subcommand)]
    command: C,
}

/// The subcommands of an application.
pub trait Commands: Subcommand {
    /// How the program is used, for its help.
    const EXAMPLE: &'static str;
    /// What a client asks of a cluster, for the help of what starts one.
    const CLIENT: &'static str;

    /// Does what is asked for.
    fn run(&self, context: &Context<'_>) -> Result<(), Failure>;
}

/// What a subcommand may know beside its own arguments.
pub struct Context<'a> {
    /// Whose command it is.
    pub application: &'a Application,
    /// How often it was asked to say more.
    pub verbose: u8,
    /// The whole command line.
    pub command: clap::Command,
}

/// Does what the arguments ask for.
pub fn run<C: Commands>(application: &Application, arguments: Vec<OsString>) -> ExitCode {
    let command = command::<C>(application);
    let name = application.name();
    let cli = match parse::<C>(&command, &arguments) {
        Ok(cli) => cli,
        Err(Unparsed::Usage(error)) => return failure::report_usage(&error, name),
        Err(Unparsed::File(failure)) => return failure.report(name, false),
    };
    start_logging(cli.verbose);
    match cli.command.run(&Context { application, verbose: cli.verbose, command }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(name, cli.verbose > 0),
    }
}

/// The command line that an application has.
pub fn command<C: Commands>(application: &Application) -> clap::Command {
    help::fit::<C>(Cli::<C>::command(), application)
}

fn parse<C: Commands>(command: &clap::Command, arguments: &[OsString]) -> Result<Cli<C>, Unparsed> {
    Ok(Cli::from_arg_matches(&config::matches(command, arguments)?)?)
}

/// Logs to stderr: nothing below a warning, unless asked for; `RUST_LOG` says otherwise, as of any program with `env_logger`. A
/// program that has set a logger of its own keeps it.
fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    // So that lines of several nodes, sorted, are in the order in which things happened.
    let _ = env_logger::Builder::new().filter_level(level).format_timestamp_millis().parse_default_env().try_init();
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::{application::tests::visits, commands::PlainCommand};

    /// Asserts what holds for the flags of any application.
    pub fn assert_consistent(mut command: clap::Command) {
        command.build();
        command.clone().debug_assert();
        for command in command.get_subcommands() {
            for flag in command.get_arguments().filter(|arg| !arg.is_positional()) {
                let name = flag.get_long().unwrap().to_uppercase().replace('-', "_");
                let is_ours = flag.get_env().is_none_or(|env| env.to_str() == Some(&format!("COFFEE_{name}")));
                assert!(is_ours && (flag.get_env().is_some() || name == "HELP"), "{name} of {}", command.get_name());
            }
        }
    }

    #[test]
    fn every_flag_is_an_environment_variable_too() {
        assert_consistent(command::<PlainCommand>(&visits()));
    }
}
