//! The command `coffee`: the coffee shops' queries, as an application with commands of its own.

mod compose;
mod failure;
mod generate;
mod progress;
mod query_args;
mod report;
mod run;
mod submit;
mod summary;
mod tables;

use std::{env, process::ExitCode};

use clap::Subcommand;
use coffee_core::sales::{fused, sales_plan, staged};
use coffee_nodes::sales::{Summary, check_parameters};

use crate::{
    application::Application,
    command_line::{self, Commands, Context},
    commands::ClusterCommand,
    failure::Failure,
};

/// Does what this process's arguments ask `coffee` for. Exit codes and the like are as of [`Application::run`].
pub fn main() -> ExitCode {
    command_line::run::<Command>(&application(), env::args_os().collect())
}

fn application() -> Application {
    Application::new("coffee", || Ok(sales_plan()?.plan))
        .about("Answers the coffee-shop queries over folders of CSV files")
        .version(env!("CARGO_PKG_VERSION"))
        .placement("fused", "fast", fused)
        .placement("staged", "one operator a node", staged)
        .check(check_parameters)
}

/// The command line of `coffee`.
#[cfg(feature = "fuzzing")]
pub(crate) fn command() -> clap::Command {
    command_line::command::<Command>(&application())
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Submit(submit::SubmitArgs),
    Generate(generate::GenerateArgs),
    #[command(flatten)]
    Cluster(ClusterCommand),
    Compose(compose::ShopComposeArgs),
}

impl Commands for Command {
    const EXAMPLE: &'static str = "{program} generate data && {program} run data";
    const CLIENT: &'static str = "submit data";

    fn run(&self, context: &Context<'_>) -> Result<(), Failure> {
        match self {
            Command::Run(args) => run::run(args, context),
            Command::Submit(args) => submit::run(args),
            Command::Generate(args) => generate::run(args),
            Command::Cluster(command) => command.run(context),
            Command::Compose(args) => args.run(context),
        }
    }
}

/// Shows what the queries came to, unless that is to be quiet. A page that can't be written takes nothing of it away, and is said too.
fn conclude(done: Result<Summary, Failure>, reported: Result<(), Failure>, quiet: bool) -> Result<(), Failure> {
    let summary = done.inspect_err(|_| {
        if let Err(no_page) = &reported {
            log::error!("{}", no_page.line());
        }
    })?;
    if quiet {
        return reported;
    }
    let printed = tables::print(&summary.results);
    summary::print(&summary);
    printed.and(reported)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command_line::{command, tests::assert_consistent};

    #[test]
    fn every_flag_is_an_environment_variable_too() {
        assert_consistent(command::<Command>(&application()));
    }

    #[test]
    fn years_that_no_time_has_are_refused() {
        for years in ["10000", "-1", "", "2024,", "x"] {
            let words = ["coffee", "run", "data", &format!("--years={years}")];
            assert!(command::<Command>(&application()).try_get_matches_from(words).is_err(), "{years}");
        }
    }
}
