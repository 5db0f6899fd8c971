//! One entry thread: an entry node, driven by the one runner.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::Duration,
};

use coffee_core::{
    frame::JobId,
    node::{EntryNode, Failure},
};
use crossbeam_channel::{Receiver, Sender};

use super::{Chunk, EndedJobs, Entry, chunks::Chunks};
use crate::{
    Pulse,
    gateway::registry::Registry,
    job::ErrorReport,
    runner::{self, Jobs, RunnerError, TransportError, Volatile},
    statistics::Counted,
    store::Attempts,
};

/// Before a thread goes on after the broker failed it, or an operator panicked.
const PAUSE: Duration = Duration::from_secs(1);

/// What one thread works with.
pub(in crate::gateway) struct EntryThread {
    pub(super) entry: Entry,
    pub(super) chunks: Receiver<Chunk>,
    pub(super) spare: Sender<Vec<u8>>,
    pub(super) ended: EndedJobs,
    /// Where deaths are counted.
    pub(super) attempts: Option<PathBuf>,
}

/// Why a thread has to begin anew.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("an operator panicked")]
    Panicked,
    #[error(transparent)]
    Runner(#[from] RunnerError),
}

impl EntryThread {
    /// Works until asked to stop. What fails the broker, or panics, costs the sessions in hand their connection: their
    /// clients come again and go on at their marks.
    pub fn run(self) {
        let mut attempts = self.attempts.as_deref().map_or_else(Attempts::none, Attempts::open);
        while let Err(broken) = self.live(&mut attempts) {
            log::warn!("{}: the entry begins anew: {broken}", self.entry.name);
            // Ends early where it is to stop.
            let _ = self.entry.stop.receiver().recv_timeout(PAUSE);
        }
    }

    fn live(&self, attempts: &mut Attempts) -> Result<(), Broken> {
        let Entry { name, topology, registry, pulses, counters, stop, .. } = &self.entry;
        if stop.is_triggered() {
            return Ok(());
        }
        let pulse = Pulse::default();
        let mut transport = Chunks::new(self, pulse.clone()).map_err(RunnerError::from)?;
        pulses.watch("gateway entry", &pulse);
        let mut node = EntryNode::new(topology.clone()).giving_up();
        let mut jobs = ClientsJobs { name, registry, attempts };
        // What a panicking operator leaves behind is not used again.
        let run = || runner::run(&mut node, &mut Counted::new(&mut transport, counters), &mut Volatile, &mut jobs);
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(()) | Err(RunnerError::Transport(TransportError::Stopped))) => Ok(()),
            Ok(Err(error)) => {
                transport.break_off(None);
                Err(Broken::Runner(error))
            }
            Err(_) => {
                transport.break_off(Some(&ErrorReport::now(name, None, Broken::Panicked.to_string())));
                Err(Broken::Panicked)
            }
        }
    }
}

/// The jobs of all clients: each fails alone. A job lives as long as its session takes chunks.
struct ClientsJobs<'a> {
    name: &'a str,
    registry: &'a Registry,
    attempts: &'a mut Attempts,
}

impl Jobs for ClientsJobs<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn lives(&mut self, _job: JobId) -> Result<bool, RunnerError> {
        Ok(true)
    }

    fn attempts(&mut self) -> Option<&mut Attempts> {
        Some(self.attempts)
    }

    fn register(&mut self, _job: JobId) -> Result<bool, RunnerError> {
        Ok(true) // nothing is committed here
    }

    fn fail(&mut self, failure: Failure) -> Result<(), RunnerError> {
        let Failure { job: Some(job), error, .. } = failure else { return Err(failure.error.into()) };
        let report = ErrorReport::now(self.name, Some(job), error.to_string());
        self.registry.of(job).iter().for_each(|session| session.fail(report.clone()));
        self.registry.wake();
        Ok(())
    }

    fn forgotten(&mut self, job: JobId) -> Result<(), RunnerError> {
        self.attempts.forget(job);
        Ok(())
    }
}
