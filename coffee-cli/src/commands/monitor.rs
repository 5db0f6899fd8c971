//! `monitor`: watches the nodes of a cluster.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use clap::{Args, builder::BoolishValueParser};
use coffee_nodes::{
    cluster::ClusterNode,
    monitor::{MonitorError, MonitorOptions, monitor},
    statistics::{Identity, NodeStatistics},
    up::READY,
};

use crate::{
    failure::Failure,
    metrics_args::MetricsArgs,
    monitors::{self, MonitorFlags, Peers},
    output,
    serve::{self, LifeArgs, ReadyFile, hold_leash},
    signals,
};

/// Runs a monitor: it hears whether the nodes live, and while it leads has dead ones started again
///
/// Nodes, monitors and `{program} up` talk by UDP; all of them need the same key in COFFEE_MONITOR_KEY, 32 hexadecimal digits. The
/// highest monitor that lives leads. It works until SIGTERM or SIGINT, and then stops in order.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  {program} monitor --index 0 --monitors a:9100,b:9100,c:9100")]
pub struct MonitorArgs {
    /// Which of the monitors it is, counted from 0
    #[arg(long, env = "COFFEE_INDEX", value_name = "N")]
    index: u16,
    /// All monitors, this one among them: it listens there, or at that port of all addresses where a host is named
    #[arg(long, env = "COFFEE_MONITORS", value_name = "HOST:PORT,...")]
    monitors: Peers,
    #[command(flatten)]
    flags: MonitorFlags,
    /// Restarts the containers of silent nodes, by Docker: for monitors in a container of the same Compose project
    #[arg(long, env = "COFFEE_DOCKER", value_parser = BoolishValueParser::new())]
    docker: bool,
    /// A TOML file with values for what is given neither as a flag nor by the environment; its keys are the flags' names
    #[arg(long, env = "COFFEE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    life: LifeArgs,
}

pub fn run(args: &MonitorArgs) -> Result<(), Failure> {
    let options = MonitorOptions {
        index: args.index,
        identity: Identity::of(&ClusterNode::Monitor { index: args.index }, serve::life()),
        monitors: args.monitors.0.clone(),
        key: monitors::key()?,
        silence: args.flags.silence,
        docker: args.docker,
        leads: Arc::default(),
    };
    let stop = signals::stop_on_signals()?;
    let ready_file = ReadyFile::new(args.life.ready_file.clone());
    if args.life.leash {
        hold_leash(&stop)?;
    }
    let _metrics = args.metrics.serve(sample(&options))?;
    let ready = || {
        ready_file.make();
        // Whoever started it may not listen.
        let _ = output::print(format!("{READY}\n").as_bytes());
    };
    let ran = monitor(&options, &stop, ready);
    ready_file.remove();
    ran.map_err(|error| match error {
        MonitorError::Index { .. } => Failure::usage("--index", error),
        error => Failure::work(format!("monitor {}", args.index), error),
    })
}

/// What its metrics are made of.
fn sample(options: &MonitorOptions) -> impl Fn() -> NodeStatistics + Send + Sync + 'static {
    let (identity, leads, begun) = (options.identity.clone(), options.leads.clone(), Instant::now());
    move || NodeStatistics { leads: leads.load(Relaxed), ..NodeStatistics::now(&identity, begun) }
}
