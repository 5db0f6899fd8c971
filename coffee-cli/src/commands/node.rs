//! `node`: one worker.

use clap::Args;
use coffee_nodes::{
    cluster::ClusterNode,
    worker::{self, WorkerOptions},
};

use crate::{
    command_line::Context,
    failure::Failure,
    serve::{ServeArgs, serve},
    store::StoreFlags,
};

/// Runs one worker node: a replica of a stateless stage, or a shard of a stateful one
///
/// STAGE is one of the placement's. The node works until SIGTERM or SIGINT, and then stops in order.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  {program} node {stage} --shard {shard} --state state/{stage}.{shard}")]
pub struct NodeArgs {
    /// The stage
    stage: String,
    /// Which shard of a stateful stage, counted from 0
    #[arg(long, env = "COFFEE_SHARD", value_name = "N", conflicts_with = "replica")]
    shard: Option<u16>,
    /// Which replica of a stateless stage, counted from 0: its name in reports
    #[arg(long, env = "COFFEE_REPLICA", value_name = "N")]
    replica: Option<u16>,
    #[command(flatten)]
    store: StoreFlags,
    #[command(flatten)]
    serve: ServeArgs,
}

pub fn run(args: &NodeArgs, context: &Context<'_>) -> Result<(), Failure> {
    let (stage, index) = (args.stage.clone(), args.shard.or(args.replica).unwrap_or(0));
    let node = match args.shard {
        Some(index) => ClusterNode::Shard { stage: stage.clone(), index },
        None => ClusterNode::Replica { stage: stage.clone(), index },
    };
    serve(&args.serve, context.application, &node, &format!("node {}", args.stage), |server| {
        let options = WorkerOptions {
            stage: stage.clone(),
            index,
            state: args.serve.cluster.state.clone(),
            volatile: args.store.volatile,
            pause: args.store.retry_pause,
            pulses: server.pulses.clone(),
            statistics: server.statistics.clone(),
        };
        let ready = || server.ready("");
        Ok(worker::run(&server.broker, &server.names, &server.topology, &options, &server.stop, ready)?)
    })
}
