//! The command line as a whole, and the flags that more than one subcommand has. A subcommand's own are in its file.

use clap::{Args, Parser, Subcommand};
use coffee_core::{
    sales::Query,
    value::{Money, TimeOfDay},
};
use coffee_nodes::sales::Queries;

use crate::{
    chaos::ChaosArgs,
    completions::CompletionsArgs,
    compose::ComposeArgs,
    gateway::GatewayArgs,
    generate::GenerateArgs,
    jobs::{CancelArgs, JobsArgs},
    monitor::MonitorArgs,
    node::NodeArgs,
    query_node::QueryNodeArgs,
    results_node::ResultsNodeArgs,
    run::RunArgs,
    submit::SubmitArgs,
    up::UpArgs,
};

/// Answers the coffee-shop queries over folders of CSV files
#[derive(Debug, Parser)]
#[command(name = "coffee", version, after_help = "Example:\n  coffee generate data && coffee run data")]
pub struct Cli {
    /// Says more: the chain of causes of an error, and logs; more still when repeated
    #[arg(short, long, global = true, env = "COFFEE_VERBOSE", action = clap::ArgAction::Count, display_order = 100)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(RunArgs),
    Up(UpArgs),
    Submit(SubmitArgs),
    Jobs(JobsArgs),
    Cancel(CancelArgs),
    Gateway(GatewayArgs),
    QueryNode(QueryNodeArgs),
    ResultsNode(ResultsNodeArgs),
    Node(NodeArgs),
    Monitor(MonitorArgs),
    Compose(ComposeArgs),
    Chaos(ChaosArgs),
    Generate(GenerateArgs),
    Completions(CompletionsArgs),
}

/// What is asked of the data.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Which queries to answer
    #[arg(long, env = "COFFEE_QUERIES", value_name = "LIST", default_value_t = Queries::ALL)]
    pub queries: Queries,
    /// The years that count
    #[arg(long, env = "COFFEE_YEARS", value_name = "LIST", value_delimiter = ',', default_value = "2024,2025")]
    #[arg(value_parser = clap::value_parser!(u16).range(..=9999))]
    years: Vec<u16>,
    /// The first time of day that counts, for q1 and q3
    #[arg(long, env = "COFFEE_FROM", value_name = "TIME", default_value = "06:00:00")]
    from: TimeOfDay,
    /// The last time of day that counts, for q1 and q3
    #[arg(long, env = "COFFEE_TO", value_name = "TIME", default_value = "23:00:00")]
    to: TimeOfDay,
    /// The least amount that q1 lists
    #[arg(long, env = "COFFEE_MIN_AMOUNT", value_name = "AMOUNT", default_value = "75", allow_hyphen_values = true)]
    min_amount: Money,
    /// How many users q4 lists for each store
    #[arg(long, env = "COFFEE_TOP", value_name = "N", default_value_t = 3)]
    top: u64,
}

impl QueryArgs {
    /// The parameters, not checked yet.
    pub fn query(&self) -> Query {
        Query { years: self.years.clone(), from: self.from, to: self.to, min_amount: self.min_amount, top: self.top }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_is_an_environment_variable_too() {
        for command in Cli::command().get_subcommands() {
            for flag in command.get_arguments().filter(|arg| !arg.is_positional()) {
                let name = flag.get_long().unwrap().to_uppercase().replace('-', "_");
                assert_eq!(flag.get_env().unwrap().to_str(), Some(format!("COFFEE_{name}").as_str()));
            }
        }
    }

    #[test]
    fn years_that_no_time_has_are_refused() {
        for years in ["10000", "-1", "", "2024,", "x"] {
            assert!(Cli::try_parse_from(["coffee", "run", "data", &format!("--years={years}")]).is_err(), "{years}");
        }
    }
}
