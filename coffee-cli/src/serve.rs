//! What all server nodes do around their work: wait for signals, open the broker, say that they are ready, close.

use std::{
    error::Error,
    fs,
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::{Args, builder::BoolishValueParser};
use coffee_core::plan::Topology;
use coffee_mom::{Broker, ConnectError, OpenError};
use coffee_nodes::{Stop, cluster::Names, up::READY};
use log::{info, warn};

use crate::{cluster::ClusterArgs, failure::Failure, output, signals};

/// How long a node waits for a broker that is not there yet, or has gone.
const BROKER: Duration = Duration::from_secs(120);

/// How long one attempt waits, before it is looked whether to stop.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How long a node may take to finish what it has in hand: with the broker's closing, below the five seconds that its
/// process has.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long the broker may take to close.
const CLOSING: Duration = Duration::from_secs(1);

/// How often a node that only waits looks whether it still works.
pub const LOOK_AROUND: Duration = Duration::from_secs(1);

/// What all server nodes are asked.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Stops when stdin is closed: for whoever starts it and may die
    #[arg(long, env = "COFFEE_LEASH", value_parser = BoolishValueParser::new(), hide = true)]
    leash: bool,
    /// A file that is there while the node works: for health checks
    #[arg(long, env = "COFFEE_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// What a server node works with.
pub struct Server {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// The cluster's names there.
    pub names: Names,
    /// The plan under its placement.
    pub topology: Arc<Topology>,
    /// Triggered by a signal.
    pub stop: Stop,
    ready_file: Option<PathBuf>,
}

impl Server {
    /// Waits so long at most; true once asked to stop.
    pub fn wait_for(&self, time: Duration) -> bool {
        let _ = self.stop.receiver().recv_timeout(time); // either way it is looked
        self.stop.is_triggered()
    }

    /// Says on stdout, and by its file, that the node works.
    pub fn ready(&self, about: &str) {
        if let Some(path) = &self.ready_file
            && let Err(error) = fs::write(path, READY)
        {
            warn!("{}: can't be made to say that the node works: {error}", path.display());
        }
        // Whoever started it may not listen.
        let _ = output::print(format!("{READY} {about}").trim_end().as_bytes());
        let _ = output::print(b"\n");
    }
}

/// Opens the broker and lets `work` run until it ends, which it is asked to by a signal.
pub fn serve(
    args: &ServeArgs,
    what: &str,
    work: impl FnOnce(&Server) -> Result<(), Box<dyn Error>>,
) -> Result<(), Failure> {
    let (names, topology) = (args.cluster.layout.names()?, args.cluster.layout.topology()?);
    let stop = signals::stop_on_signals()?;
    // One that an earlier life left, killed.
    not_ready(args);
    if args.leash {
        hold_leash(&stop)?;
    }
    let Some(broker) = open_broker(&args.cluster.broker, &stop)? else { return Ok(()) };
    info!("{what} of {} at its broker", args.cluster.layout.name);
    let server = Server { broker, names, topology, stop, ready_file: args.ready_file.clone() };
    let done = work(&server);
    not_ready(args);
    if let Err(error) = server.broker.close(Instant::now() + CLOSING) {
        warn!("the broker was not closed in order: {error}");
    }
    done.map_err(|error| Failure::work(what, error))
}

fn not_ready(args: &ServeArgs) {
    if let Some(path) = &args.ready_file {
        // Mostly there is none.
        let _ = fs::remove_file(path);
    }
}

/// The broker, tried again until it is there; `None` where asked to stop meanwhile.
pub fn open_broker(url: &str, stop: &Stop) -> Result<Option<Arc<dyn Broker>>, Failure> {
    let until = Instant::now() + BROKER;
    let mut told = false;
    loop {
        match coffee_mom::open(url, Instant::now() + ATTEMPT) {
            Ok(broker) => return Ok(Some(broker)),
            Err(_) if stop.is_triggered() => return Ok(None),
            Err(OpenError::Connect(error @ ConnectError::Unreachable(_))) if Instant::now() < until => {
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
fn hold_leash(stop: &Stop) -> Result<(), Failure> {
    let stop = stop.clone();
    let hold = move || {
        let mut buffer = [0; 64];
        while matches!(io::stdin().lock().read(&mut buffer), Ok(read) if read > 0) {}
        stop.trigger();
    };
    thread::Builder::new()
        .name("leash".into())
        .spawn(hold)
        .map_err(|error| Failure::work("a thread can't be started", error))?;
    Ok(())
}
