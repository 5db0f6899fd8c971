//! What all server nodes do around their work: wait for signals, open the broker, say that they are ready, close.

mod closing;

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

use self::closing::{Closing, End};
use crate::{cluster::ClusterArgs, failure::Failure, output, signals};

/// How long a node waits for a broker that is not there yet, or has gone.
const BROKER: Duration = Duration::from_secs(120);

/// How long one attempt waits, before it is looked whether to stop.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The codes with which a broker refuses for a while: that it stops, lacks room, or is not up.
const PASSING: [&str; 3] = [": 320 ", ": 506 ", ": 541 "];

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
    /// Triggered by a signal, or by the work itself where it can't go on.
    pub stop: Stop,
    closing: Closing,
    ready_file: Option<PathBuf>,
}

impl Server {
    /// Says on stdout, and by its file, that the node works.
    pub fn ready(&self, about: &str) {
        self.closing.ready();
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

/// Opens the broker and lets `work` run until it ends, which it is asked to by a signal. From then on the process has less
/// than five seconds, which [`Closing`] sees to.
///
/// # Errors
/// Where the work fails, unless because its broker was closed after a signal.
pub fn serve(
    args: &ServeArgs,
    what: &str,
    work: impl FnOnce(&Server) -> Result<(), Box<dyn Error>>,
) -> Result<(), Failure> {
    let (names, topology) = (args.cluster.layout.names()?, args.cluster.layout.topology()?);
    let asked = signals::stop_on_signals()?;
    // One that an earlier life left, killed.
    not_ready(args);
    if args.leash {
        hold_leash(&asked)?;
    }
    let stop = Stop::new();
    let closing = Closing::start(&asked, &stop).map_err(no_thread)?;
    let Some(broker) = open_broker(&args.cluster.broker, &stop)? else { return Ok(()) };
    closing.keep(broker.clone());
    info!("{what} of {} at its broker", args.cluster.layout.name);
    let server = Server { broker, names, topology, stop, closing, ready_file: args.ready_file.clone() };
    let done = work(&server);
    not_ready(args);
    match (server.closing.end(), done) {
        (End::CutOff, Err(error)) => {
            info!("{what}: {error}, as it was stopped");
            Ok(())
        }
        (_, done) => done.map_err(|error| Failure::work(what, error)),
    }
}

fn no_thread(error: io::Error) -> Failure {
    Failure::work("a thread can't be started", error)
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
            Err(OpenError::Connect(error)) if passes(&error) && Instant::now() < until => {
                if !std::mem::replace(&mut told, true) {
                    warn!("{error}; it is waited for");
                }
            }
            Err(error @ OpenError::Connect(_)) => return Err(Failure::work("the broker", error)),
            Err(error) => return Err(Failure::usage("--broker", error)),
        }
    }
}

/// Whether it may be otherwise a little later.
fn passes(error: &ConnectError) -> bool {
    match error {
        ConnectError::Unreachable(_) => true,
        // Of a broker that is about to start, or to stop: 541, say, where its virtual host is not up yet.
        ConnectError::Refused(text) => PASSING.iter().any(|code| text.contains(code)),
        _ => false,
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
    thread::Builder::new().name("leash".into()).spawn(hold).map_err(no_thread)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_about_to_start_is_waited_for() {
        let refused = |text: &str| passes(&ConnectError::Refused(format!("the broker closed the connection: {text}")));
        assert!(refused("541 INTERNAL_ERROR - access to vhost '/' refused for user 'guest': vhost '/' is down"));
        assert!(refused("320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"));
        assert!(!refused("501 FRAME_ERROR - type 541, all octets = <<>>"));
        assert!(passes(&ConnectError::Unreachable("refused".into())) && !passes(&ConnectError::Credentials));
    }
}
