//! `results-node`: puts results together and keeps them.

use std::time::Duration;

use clap::Args;
use coffee_nodes::{
    cluster::ClusterNode,
    results::{self, ResultsOptions},
};

use crate::{
    command_line::Context,
    duration,
    failure::Failure,
    serve::{ServeArgs, serve},
    store::StoreFlags,
};

/// Runs the results node: it puts results together and keeps them until they are fetched
///
/// A cluster has one. It works until SIGTERM or SIGINT, and then stops in order.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  {program} results-node --state state/results-node --keep 2h")]
pub struct ResultsNodeArgs {
    #[command(flatten)]
    flags: ResultsFlags,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What only the results node is told.
#[derive(Clone, Debug, Args)]
pub struct ResultsFlags {
    /// How long results are kept for a client that does not fetch them
    #[arg(long, env = "COFFEE_KEEP", value_name = "TIME", default_value = "24h", value_parser = duration::parse)]
    keep: Duration,
}

impl ResultsFlags {
    /// The same for another process.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("COFFEE_KEEP", duration::show(self.keep))]
    }
}

pub fn run(args: &ResultsNodeArgs, context: &Context<'_>) -> Result<(), Failure> {
    serve(&args.serve, context.application, &ClusterNode::Results, "results node", |server| {
        let options = ResultsOptions {
            state: args.serve.cluster.state.clone(),
            keep: args.flags.keep,
            volatile: args.store.volatile,
            pause: args.store.retry_pause,
            pulses: server.pulses.clone(),
            statistics: server.statistics.clone(),
        };
        let ready = || server.ready("");
        Ok(results::run(&server.broker, &server.names, &server.topology, &options, &server.stop, ready)?)
    })
}
