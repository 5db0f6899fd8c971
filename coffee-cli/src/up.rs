//! `coffee up`: a whole cluster on this machine.

use std::{env, ffi::OsString};

use clap::Args;
use coffee_nodes::{
    cluster::ClusterNode,
    up::{self, NodeCommand, UpOptions},
};

use crate::{
    cluster::ClusterArgs, failure::Failure, gateway::GatewayFlags, output, query_node::QueryFlags,
    results_node::ResultsFlags, serve::open_broker, signals,
};

/// Runs a whole cluster on this machine, each node a process of its own
///
/// Prints `ready gateway=HOST:PORT` once every node works, and runs until SIGTERM or SIGINT, which stop all of it in order.
/// DIR/nodes.tsv lists the nodes and their processes, DIR/logs has their logs.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  COFFEE_BROKER=amqp://me:secret@localhost/%2f coffee up --state state\n  coffee submit data --gateway 127.0.0.1:9000"
)]
pub struct UpArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    gateway: GatewayFlags,
    #[command(flatten)]
    query: QueryFlags,
    #[command(flatten)]
    results: ResultsFlags,
}

pub fn run(args: &UpArgs) -> Result<(), Failure> {
    let nodes = args.cluster.layout.nodes(1)?;
    args.cluster.layout.names()?;
    let stop = signals::stop_on_interrupt()?;
    // What is wrong with it is said once, and before any node is started.
    match open_broker(&args.cluster.broker, &stop)? {
        Some(broker) => drop(broker),
        None => return Ok(()),
    }
    let program = env::current_exe().map_err(|error| Failure::work("this program", error))?;
    let options = UpOptions {
        program,
        environment: args.environment(),
        nodes: nodes.iter().map(|node| args.command(node)).collect(),
        state: args.cluster.state.clone(),
    };
    let ready = |said: &[String]| {
        let gateways: Vec<&str> = said.iter().filter_map(|said| said.strip_prefix("gateway=")).collect();
        // Whoever started it may not listen.
        let _ = output::print(format!("ready gateway={}\n", gateways.join(",")).as_bytes());
    };
    up::up(&options, &stop, ready).map_err(|error| Failure::work("coffee up", error))
}

impl UpArgs {
    /// What all nodes are told alike.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        let ClusterArgs { broker, layout, .. } = &self.cluster;
        let pairs = [
            ("COFFEE_BROKER", broker.clone()),
            ("COFFEE_PLACEMENT", layout.placement.clone()),
            ("COFFEE_LEASH", "true".to_owned()),
        ];
        let own = pairs
            .into_iter()
            .chain(layout.environment())
            .chain(self.query.environment())
            .chain(self.results.environment())
            .chain(self.gateway.environment());
        own.map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// The node as a child process, with a state folder below the cluster's.
    fn command(&self, node: &ClusterNode) -> NodeCommand {
        let name = node.name();
        let mut arguments: Vec<OsString> = node.arguments().into_iter().map(OsString::from).collect();
        arguments.extend(["--state".into(), self.cluster.state.join(&name).into()]);
        NodeCommand { name, arguments }
    }
}
