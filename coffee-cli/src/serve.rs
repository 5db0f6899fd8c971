//! What all server nodes do around their work: wait for signals, open the broker, say that they are ready, close.

mod cause;
mod closing;
mod ready_file;

use std::{
    env,
    error::Error,
    io::{self, Read},
    path::PathBuf,
    process,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::{Args, builder::BoolishValueParser};
use coffee_core::plan::Topology;
use coffee_mom::{Broker, OpenError};
use coffee_nodes::{
    Pulses, Stop,
    cluster::{ClusterNode, Names},
    metrics::MetricsServer,
    monitor::{Heart, HeartOptions, Hung, LIFE_VARIABLE, new_life},
    orders::{Orders, RESTARTED},
    statistics::{Identity, NodeKind, NodeStatistics, Reporter, Sampler, Statistics},
    up::READY,
};
use crossbeam_channel::{Receiver, bounded};
use log::{info, warn};

use self::{
    cause::{Cause, cause_of},
    closing::{Closing, End},
};
use crate::{
    application::Application,
    cluster::ClusterArgs,
    failure::{Failure, HUNG},
    metrics_args::MetricsArgs,
    monitors::{self, Peers},
    output, signals,
};

pub use ready_file::ReadyFile;

/// How long a node waits for a broker that is not there yet, or has gone.
const BROKER: Duration = Duration::from_secs(120);

/// How long one attempt waits, before it is looked whether to stop.
const ATTEMPT: Duration = Duration::from_secs(5);

/// What monitors have said and nobody has looked at yet: more than all of them say in a second.
const MONITORS: usize = 256;

/// How often a node that only waits looks whether it still works.
pub const LOOK_AROUND: Duration = Duration::from_secs(1);

/// What all server nodes are asked.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The monitors, which hear once a second that the node lives; their key is in COFFEE_MONITOR_KEY [default: none]
    #[arg(long, env = "COFFEE_MONITORS", value_name = "HOST:PORT,...", default_value = "", hide_default_value = true)]
    monitors: Peers,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    life: LifeArgs,
}

/// What whoever starts a process of a cluster asks of its life.
#[derive(Clone, Debug, Args)]
pub struct LifeArgs {
    /// Stops when stdin is closed: for whoever starts it and may die
    #[arg(long, env = "COFFEE_LEASH", value_parser = BoolishValueParser::new(), hide = true)]
    pub leash: bool,
    /// A file that is there while the node works: for health checks
    #[arg(long, env = "COFFEE_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// What a server node works with.
pub struct Server {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The cluster's names there.
    pub names: Names,
    /// The plan under its placement.
    pub topology: Arc<Topology>,
    /// Triggered by a signal, or by the work itself where it can't go on.
    pub stop: Stop,
    /// Where loops that have to make progress are watched.
    pub pulses: Pulses,
    /// Where the node's work is counted, which is told once a second.
    pub statistics: Statistics,
    /// What monitors say of themselves, to a gateway.
    pub monitors: Option<Receiver<NodeStatistics>>,
    heart: Heart,
    closing: Closing,
    ready_file: Arc<ReadyFile>,
    _reporter: Reporter,
    _metrics: Option<MetricsServer>,
    _orders: Orders,
}

impl Server {
    /// Says on stdout, and by its file, that the node works.
    pub fn ready(&self, about: &str) {
        self.closing.ready();
        self.heart.ready();
        self.ready_file.make();
        // Whoever started it may not listen.
        let _ = output::print(format!("{READY} {about}").trim_end().as_bytes());
        let _ = output::print(b"\n");
    }
}

/// Opens the broker and lets `work` run until it ends, which it is asked to by a signal. From then on the process has less
/// than five seconds, which [`Closing`] sees to. All the while its [`Heart`] beats, and ends the process where a loop hangs.
///
/// # Errors
/// Where the work fails; but what fails once its broker was closed after a signal is only logged, unless it is plain that the
/// broker has nothing to do with it.
pub fn serve(
    args: &ServeArgs,
    application: &Application,
    node: &ClusterNode,
    what: &str,
    work: impl FnOnce(&Server) -> Result<(), Box<dyn Error>>,
) -> Result<(), Failure> {
    let (names, topology) = (args.cluster.layout.names()?, args.cluster.layout.topology(application)?);
    let asked = signals::stop_on_signals()?;
    let ready_file = Arc::new(ReadyFile::new(args.life.ready_file.clone()));
    if args.life.leash {
        hold_leash(&asked)?;
    }
    let (stop, restart) = (Stop::new(), Stop::new());
    let closing = Closing::start(&asked, &restart, &stop, &ready_file).map_err(no_thread)?;
    let (pulses, statistics) = (Pulses::default(), Statistics::default());
    let identity = Identity::of(node, life());
    let (heart, monitors) = start_heart(args, application, &identity, &pulses, &stop)?;
    let Some(broker) = open_broker(&args.cluster.broker, &stop)? else { return Ok(()) };
    closing.keep(broker.clone());
    info!("{what} of {} at its broker", args.cluster.layout.name);
    let sampler = Sampler::new(broker.clone(), identity, statistics.clone());
    let sample = sampler.clone();
    let metrics = args.metrics.serve(move || sample.sample())?;
    let reporter = Reporter::start(&broker, &names, sampler.clone()).map_err(no_thread)?;
    let (restarting, ends) = (restart.clone(), stop.clone());
    let restarts = move || {
        restarting.trigger();
        ends.trigger();
    };
    let orders = Orders::start(&broker, &names, sampler, restarts).map_err(no_thread)?;
    let server = Server {
        broker,
        names,
        topology,
        stop,
        pulses,
        statistics,
        monitors,
        heart,
        closing,
        ready_file,
        _reporter: reporter,
        _metrics: metrics,
        _orders: orders,
    };
    let done = work(&server);
    match (server.closing.end(), done) {
        (End::CutOff, Err(error)) => unless_of_closing(what, error)?,
        (_, done) => done.map_err(|error| Failure::work(what, error))?,
    }
    if restart.is_triggered() && !asked.is_triggered() {
        return Err(Failure::new(RESTARTED, "ordered to restart: started again by whoever runs it"));
    }
    Ok(())
}

fn start_heart(
    args: &ServeArgs,
    application: &Application,
    identity: &Identity,
    pulses: &Pulses,
    stop: &Stop,
) -> Result<(Heart, Option<Receiver<NodeStatistics>>), Failure> {
    let Peers(monitors) = &args.monitors;
    let monitors = if monitors.is_empty() { None } else { Some((monitors.clone(), monitors::key()?)) };
    let (said, heard) = bounded(MONITORS);
    // Only they show it to anybody.
    let is_gateway = identity.kind == NodeKind::Gateway && monitors.is_some();
    let (said, heard) = is_gateway.then_some((said, heard)).unzip();
    let options = HeartOptions {
        name: identity.name.clone(),
        life: identity.life,
        monitors,
        pulses: pulses.clone(),
        stop: stop.clone(),
        heard: said,
    };
    let program = application.name().to_owned();
    let heart = Heart::start(options, move |hung| end_hung(&program, &hung));
    Ok((heart.map_err(|error| Failure::work("heartbeats", error))?, heard))
}

/// The number of this process's life: whoever started it has drawn it, and knows it by that.
pub fn life() -> u64 {
    env::var(LIFE_VARIABLE).ok().and_then(|life| life.parse().ok()).unwrap_or_else(new_life)
}

/// There is no way to end a loop that hangs but with its process.
fn end_hung(program: &str, hung: &Hung) {
    output::print_error(&format!("{program}: {hung}: the process ends, to be started again\n"));
    process::exit(HUNG.into());
}

/// What became of work whose broker was closed under it.
fn unless_of_closing(what: &str, error: Box<dyn Error>) -> Result<(), Failure> {
    match cause_of(&*error) {
        Cause::Closing => info!("{what}: {error}, as it was stopped"),
        Cause::Unknown => warn!("{what}: {error}; perhaps as it was stopped"),
        Cause::Machine => return Err(Failure::work(what, error)),
    }
    Ok(())
}

fn no_thread(error: io::Error) -> Failure {
    Failure::work("a thread can't be started", error)
}

/// The broker, tried again until it is there; `None` where asked to stop meanwhile.
pub fn open_broker(url: &str, stop: &Stop) -> Result<Option<Arc<dyn Broker>>, Failure> {
    let until = Instant::now() + BROKER;
    let mut told = false;
    loop {
        match coffee_mom::open(url, Instant::now() + ATTEMPT) {
            Ok(broker) => return Ok(Some(broker)),
            Err(_) if stop.is_triggered() => return Ok(None),
            Err(OpenError::Connect(error)) if error.is_temporary() && Instant::now() < until => {
                if !std::mem::replace(&mut told, true) {
                    warn!("{error}; it is waited for");
                }
            }
            Err(error @ OpenError::Connect(_)) => return Err(Failure::work("the broker", error)),
            Err(error) => return Err(Failure::usage("--broker", error)),
        }
    }
}

/// A thread that is not joined: a read of stdin can't be interrupted, and the process's end ends it.
pub fn hold_leash(stop: &Stop) -> Result<(), Failure> {
    let stop = stop.clone();
    let hold = move || {
        let mut buffer = [0; 64];
        while matches!(io::stdin().lock().read(&mut buffer), Ok(read) if read > 0) {}
        stop.trigger();
    };
    thread::Builder::new().name("leash".into()).spawn(hold).map_err(no_thread)?;
    Ok(())
}
