//! `up`: a whole cluster on this machine.

use std::{env, ffi::OsString, net::SocketAddr};

use clap::Args;
use coffee_nodes::{
    cluster::ClusterNode,
    monitor::{KEY_VARIABLE, Key, Peer},
    up::{self, NodeCommand, UpOptions, free_addresses},
};

use crate::{
    access_args::TOKEN_VARIABLE,
    cluster::ClusterArgs,
    command_line::Context,
    commands::{gateway::GatewayFlags, query_node::QueryFlags, results_node::ResultsFlags},
    failure::Failure,
    monitors::{MonitorFlags, Peers},
    output,
    serve::open_broker,
    signals,
    store::StoreFlags,
};

/// Runs a whole cluster on this machine, each node a process of its own
///
/// Prints `ready gateway=HOST:PORT` once every node works, and runs until SIGTERM or SIGINT, which stop all of it in order.
/// Monitors watch the nodes: what dies or hangs is killed for certain and started again. DIR/nodes.tsv lists the nodes and their
/// processes, DIR/logs has their logs.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  COFFEE_BROKER=amqp://me:secret@localhost/%2f {program} up --state state\n  {program} {client} --gateway 127.0.0.1:9000"
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
    #[command(flatten)]
    store: StoreFlags,
    /// How many monitors there are; one is enough to have dead nodes started again, more of them replace each other
    #[arg(long, env = "COFFEE_MONITORS", value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=16))]
    monitors: u16,
    #[command(flatten)]
    monitor: MonitorFlags,
    /// Where Prometheus fetches the first node's metrics, by HTTP at /metrics; the other nodes have the ports after it, in the order of nodes.tsv [default: nowhere]
    #[arg(long, env = "COFFEE_METRICS", value_name = "HOST:PORT")]
    metrics: Option<SocketAddr>,
}

/// What is said to one process alone, and not to those that it starts.
const OF_ONE_PROCESS: [&str; 8] = [
    "COFFEE_CONFIG",
    "COFFEE_DOCKER",
    "COFFEE_INDEX",
    "COFFEE_METRICS",
    "COFFEE_READY_FILE",
    "COFFEE_REPLICA",
    "COFFEE_SHARD",
    TOKEN_VARIABLE,
];

/// Runs it; the nodes log as much as this process.
pub fn run(args: &UpArgs, context: &Context<'_>) -> Result<(), Failure> {
    let nodes = args.cluster.layout.nodes(context.application, 1)?;
    args.cluster.layout.names()?;
    args.gateway.check()?;
    let watching = (0..args.monitors).map(|index| ClusterNode::Monitor { index });
    let nodes: Vec<ClusterNode> = watching.chain(nodes).collect();
    let nodes = nodes.iter().enumerate().map(|(at, node)| args.command(node, at)).collect::<Result<_, _>>()?;
    let stop = signals::stop_on_interrupt()?;
    // What is wrong with it is said once, and before any node is started.
    match open_broker(&args.cluster.broker, &stop)? {
        Some(broker) => drop(broker),
        None => return Ok(()),
    }
    let program = env::current_exe().map_err(|error| Failure::work("this program", error))?;
    let key = Key::random().map_err(|error| Failure::work("random bytes", error))?;
    let addresses = free_addresses(args.monitors).map_err(|error| Failure::work("the monitors' addresses", error))?;
    let monitors = Peers(addresses.into_iter().map(Peer::from).collect());
    let options = UpOptions {
        program,
        environment: args.environment(context.verbose, &monitors, key),
        unset: OF_ONE_PROCESS.map(OsString::from).into(),
        again: listen_again,
        nodes,
        monitors: monitors.0,
        key,
        state: args.cluster.state.clone(),
    };
    let ready = |said: &[String]| {
        let gateways: Vec<&str> = said.iter().filter_map(|said| gateway_of(said)).collect();
        // Whoever started it may not listen.
        let _ = output::print(format!("ready gateway={}\n", gateways.join(",")).as_bytes());
    };
    up::up(&options, &stop, ready).map_err(|error| Failure::work(format!("{} up", context.application.name()), error))
}

/// The address in what a gateway says once it is ready.
fn gateway_of(said: &str) -> Option<&str> {
    said.strip_prefix("gateway=")
}

/// A gateway that is started again listens where its clients know it, also where it was free to choose at first.
fn listen_again(said: &str) -> Vec<(OsString, OsString)> {
    gateway_of(said).map(|address| ("COFFEE_LISTEN".into(), address.into())).into_iter().collect()
}

impl UpArgs {
    /// What all nodes are told alike.
    fn environment(&self, verbose: u8, monitors: &Peers, key: Key) -> Vec<(OsString, OsString)> {
        let ClusterArgs { broker, layout, .. } = &self.cluster;
        let pairs = [
            ("COFFEE_BROKER", broker.clone()),
            ("COFFEE_NAME", layout.name.clone()),
            ("COFFEE_PLACEMENT", layout.placement.clone()),
            ("COFFEE_LEASH", "true".to_owned()),
            ("COFFEE_VERBOSE", verbose.to_string()),
            ("COFFEE_MONITORS", monitors.to_string()),
            (KEY_VARIABLE, key.secret()),
        ];
        let own = pairs
            .into_iter()
            .chain(layout.environment())
            .chain(self.query.environment())
            .chain(self.results.environment())
            .chain(self.store.environment())
            .chain(self.gateway.environment())
            .chain(self.monitor.environment());
        own.map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// The node as a child process, with a state folder below the cluster's. So many are listed before it.
    fn command(&self, node: &ClusterNode, at: usize) -> Result<NodeCommand, Failure> {
        let name = node.name();
        let mut arguments: Vec<OsString> = node.arguments().into_iter().map(OsString::from).collect();
        let monitor = if let ClusterNode::Monitor { index } = node { Some(*index) } else { None };
        if monitor.is_none() {
            arguments.extend(["--state".into(), self.cluster.state.join(&name).into()]);
        }
        if let Some(metrics) = self.metrics_of(at)? {
            arguments.extend(["--metrics".into(), metrics.to_string().into()]);
        }
        Ok(NodeCommand { name, arguments, monitor })
    }

    /// Where a node's metrics are.
    fn metrics_of(&self, at: usize) -> Result<Option<SocketAddr>, Failure> {
        let Some(first) = self.metrics else { return Ok(None) };
        let wrong = |why: &str| Failure::usage(format!("--metrics {first}"), why);
        if first.port() == 0 {
            return Err(wrong("the first node's port has to be given, as the others' follow it"));
        }
        let port = u16::try_from(at).ok().and_then(|at| first.port().checked_add(at));
        let port = port.ok_or_else(|| wrong("the last nodes would have ports above 65535"))?;
        Ok(Some(SocketAddr::new(first.ip(), port)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::FromArgMatches;

    use super::*;
    use crate::{application::tests::visits, command_line::command, commands::PlainCommand};

    #[test]
    fn nodes_inherit_no_setting_unresolved() {
        let command = command::<PlainCommand>(&visits());
        // What has no default is given.
        let tls = ["--tls-certificate", "c", "--tls-key", "k", "--tls-client-authority", "a"];
        let access = ["--tokens", "t", "--upload-rate", "1M", "--job-bytes", "1G"];
        let words = ["visits", "up", "--broker", "memory:", "--entries", "1"].into_iter().chain(tls).chain(access);
        let matches = command.clone().try_get_matches_from(words).unwrap();
        let args = UpArgs::from_arg_matches(matches.subcommand_matches("up").unwrap()).unwrap();
        let set: BTreeSet<OsString> =
            args.environment(0, &Peers::default(), Key::random().unwrap()).into_iter().map(|(name, _)| name).collect();
        let unset: BTreeSet<OsString> = OF_ONE_PROCESS.map(OsString::from).into();
        assert!(set.is_disjoint(&unset));
        let nodes = ["gateway", "query-node", "results-node", "node", "monitor"];
        let flags = nodes.iter().flat_map(|node| command.find_subcommand(node).unwrap().get_arguments());
        for name in flags.filter_map(|flag| flag.get_env()).filter(|name| *name != "COFFEE_STATE") {
            assert!(set.contains(name) || unset.contains(name), "{name:?} reaches the nodes as this process got it");
        }
    }

    fn parsed(metrics: &str) -> UpArgs {
        let words = ["visits", "up", "--broker", "memory:", "--metrics", metrics];
        let matches = command::<PlainCommand>(&visits()).try_get_matches_from(words).unwrap();
        UpArgs::from_arg_matches(matches.subcommand_matches("up").unwrap()).unwrap()
    }

    #[test]
    fn each_node_has_a_port_for_its_metrics() {
        let arguments = |at| parsed("[::1]:65530").command(&ClusterNode::Query, at).map(|node| node.arguments);
        assert!(arguments(5).unwrap().ends_with(&["--metrics".into(), "[::1]:65535".into()]));
        assert!(arguments(6).unwrap_err().line().contains("65535"));
        assert!(parsed("127.0.0.1:0").metrics_of(0).unwrap_err().line().starts_with("--metrics 127.0.0.1:0: "));
    }

    #[test]
    fn a_gateway_listens_again_where_it_did() {
        assert_eq!(listen_again("gateway=[::1]:4711"), [("COFFEE_LISTEN".into(), "[::1]:4711".into())]);
        assert!(listen_again("").is_empty(), "no other node listens");
    }
}
