//! The commands that every application has, one a file: the arguments, and what is done. What several of them share is beside
//! this folder.

pub mod chaos;
pub mod completions;
pub mod compose;
pub mod gateway;
pub mod jobs;
pub mod monitor;
pub mod node;
pub mod query_node;
pub mod results_node;
pub mod top;
pub mod up;

use clap::Subcommand;

use crate::{
    command_line::{Commands, Context},
    failure::Failure,
};

/// The commands of all applications, but for [`compose`], whose containers may be an application's own.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    Up(up::UpArgs),
    Jobs(jobs::JobsArgs),
    Cancel(jobs::CancelArgs),
    Top(top::TopArgs),
    Gateway(gateway::GatewayArgs),
    QueryNode(query_node::QueryNodeArgs),
    ResultsNode(results_node::ResultsNodeArgs),
    Node(node::NodeArgs),
    Monitor(monitor::MonitorArgs),
    Chaos(chaos::ChaosArgs),
    Completions(completions::CompletionsArgs),
}

impl ClusterCommand {
    /// Does what is asked for.
    pub fn run(&self, context: &Context<'_>) -> Result<(), Failure> {
        match self {
            ClusterCommand::Up(args) => up::run(args, context),
            ClusterCommand::Jobs(args) => jobs::list(args),
            ClusterCommand::Cancel(args) => jobs::cancel(args),
            ClusterCommand::Top(args) => top::run(args),
            ClusterCommand::Gateway(args) => gateway::run(args, context),
            ClusterCommand::QueryNode(args) => query_node::run(args, context),
            ClusterCommand::ResultsNode(args) => results_node::run(args, context),
            ClusterCommand::Node(args) => node::run(args, context),
            ClusterCommand::Monitor(args) => monitor::run(args),
            ClusterCommand::Chaos(args) => chaos::run(args, context),
            ClusterCommand::Completions(args) => completions::run(args, context),
        }
    }
}

/// The commands of an application that has none of its own.
#[derive(Debug, Subcommand)]
pub enum PlainCommand {
    #[command(flatten)]
    Cluster(ClusterCommand),
    Compose(compose::ComposeArgs),
}

impl Commands for PlainCommand {
    const EXAMPLE: &'static str = "{program} up --broker amqp://me:secret@localhost/%2f --state state";
    const CLIENT: &'static str = "jobs";

    fn run(&self, context: &Context<'_>) -> Result<(), Failure> {
        match self {
            PlainCommand::Cluster(command) => command.run(context),
            PlainCommand::Compose(args) => args.run(context, 0),
        }
    }
}
