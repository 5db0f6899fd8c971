//! Starts the nodes, keeps them alive, and stops them.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use rustix::process::Signal;

use super::{
    child::{Heard, Process},
    log::Log,
    table::{self, NodeState},
};
use crate::Stop;

/// How long all nodes together have to stop in order; then they are killed.
const STOPPING: Duration = Duration::from_secs(8);

/// The pauses before a node that ended is started again: doubled each time that it ends soon after its start.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A node that has lived so long was started well.
const SETTLED: Duration = Duration::from_secs(150);

/// A node that ends by itself so often in a row before it is ready will not get ready. Signals don't count.
const MOST_FAILURES: u32 = 5;

/// Nodes that are not ready so long after the start are named: whoever waits for them can look why.
const LATE: Duration = Duration::from_secs(10);

/// The file in the folder that is locked for as long as the cluster runs.
const LOCK: &str = "lock";

/// One node to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCommand {
    /// Its name, which its log is called by.
    pub name: String,
    /// The arguments of its process.
    pub arguments: Vec<OsString>,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The program that each node is.
    pub program: PathBuf,
    /// What all of them have in their environment beside this process's own: secrets go here, as arguments can be seen by all.
    pub environment: Vec<(OsString, OsString)>,
    /// What none of them gets of this process's own environment.
    pub unset: Vec<OsString>,
    /// What a node that was ready has in its environment besides when it is started again, by what it first said about itself.
    pub again: fn(&str) -> Vec<(OsString, OsString)>,
    /// The nodes; those before are started first, but not waited for.
    pub nodes: Vec<NodeCommand>,
    /// The folder for logs and `nodes.tsv`; made if it is not there.
    pub state: PathBuf,
}

/// A cluster could not be started, or kept alive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpError {
    /// The folder can't be used.
    #[error("the folder {path:?} can't be used")]
    State {
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another cluster runs in the folder.
    #[error("the folder {0:?} is in use by another cluster on this machine")]
    InUse(PathBuf),
    /// A process can't be started.
    #[error("node {name} can't be started")]
    Start {
        /// The node.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A node ends again and again before it is ready.
    #[error("node {name} does not get ready: {last}")]
    Failing {
        /// The node.
        name: String,
        /// The last that it said.
        last: String,
    },
    /// Some nodes had to be killed, or ended with an error, at the stop.
    #[error("{0} did not stop in order")]
    Stopping(String),
}

/// Starts all nodes and keeps them alive until `stop`, then stops them in order. `ready` is called once, when all of them
/// work, with what each said about itself, by the order of the nodes.
///
/// # Errors
/// Where a node does not get ready, or does not stop in order. No process is left behind in any case.
pub fn up(options: &UpOptions, stop: &Stop, ready: impl FnOnce(&[String])) -> Result<(), UpError> {
    let logs = options.state.join("logs");
    let unusable = |source| UpError::State { path: options.state.clone(), source };
    fs::create_dir_all(&logs).map_err(unusable)?;
    // Held until the end: another cluster's nodes and table must not get among these.
    let lock = File::create(options.state.join(LOCK)).map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(UpError::InUse(options.state.clone())),
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
    }
    let (sender, heard) = bounded(options.nodes.len().max(1) * 2);
    let mut supervisor = Supervisor { options, logs, sender, seats: Vec::new(), lives: 0 };
    let started = supervisor.start_all().and_then(|()| supervisor.watch(&heard, stop, ready));
    let stopped = supervisor.stop_all(&heard);
    started.and(stopped)
}

/// Whether a cluster runs in the folder at this instant: the processes in its table are its own only then.
pub(crate) fn is_running(state: &Path) -> io::Result<bool> {
    match File::open(state.join(LOCK))?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A node's place: its process, if it has one.
struct Seat {
    name: String,
    process: Option<Process>,
    /// Tells its process from those before.
    life: u64,
    state: NodeState,
    /// What it said about itself when it first was ready.
    said: Option<String>,
    /// When its process was started.
    since: Instant,
    /// Ends in a row soon after the start.
    failures: u32,
    /// When it is to be started again.
    again: Option<Instant>,
}

struct Supervisor<'a> {
    options: &'a UpOptions,
    logs: PathBuf,
    sender: Sender<(usize, u64, Heard)>,
    seats: Vec<Seat>,
    lives: u64,
}

impl Supervisor<'_> {
    fn start_all(&mut self) -> Result<(), UpError> {
        for (index, node) in self.options.nodes.iter().enumerate() {
            let (name, state) = (node.name.clone(), NodeState::Starting);
            self.seats.push(Seat {
                name,
                process: None,
                life: 0,
                state,
                said: None,
                since: Instant::now(),
                failures: 0,
                again: None,
            });
            self.start(index)?;
        }
        self.write_table();
        Ok(())
    }

    fn start(&mut self, index: usize) -> Result<(), UpError> {
        let (Some(node), Some(seat)) = (self.options.nodes.get(index), self.seats.get_mut(index)) else {
            return Ok(());
        };
        self.lives += 1;
        let mut command = Command::new(&self.options.program);
        command.args(&node.arguments);
        self.options.unset.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(self.options.environment.iter().cloned());
        command.envs(seat.said.as_deref().map(self.options.again).unwrap_or_default());
        let started = Log::open(&self.logs, &node.name)
            .and_then(|log| Process::start(&mut command, log, (&node.name, index, self.lives), self.sender.clone()));
        let process = started.map_err(|source| UpError::Start { name: node.name.clone(), source })?;
        (seat.process, seat.life, seat.state, seat.again) = (Some(process), self.lives, NodeState::Starting, None);
        seat.since = Instant::now();
        Ok(())
    }

    fn watch(
        &mut self,
        heard: &Receiver<(usize, u64, Heard)>,
        stop: &Stop,
        ready: impl FnOnce(&[String]),
    ) -> Result<(), UpError> {
        let mut ready = Some(ready);
        let late = after(LATE);
        loop {
            let next = self.seats.iter().filter_map(|seat| seat.again).min();
            let due = next.map_or_else(never, |again| after(again.saturating_duration_since(Instant::now())));
            select! {
                recv(heard) -> heard => if let Ok((index, life, what)) = heard {
                    self.hear(index, life, what)?;
                },
                recv(due) -> _ => self.start_due()?,
                recv(late) -> _ => self.name_late(),
                recv(stop.receiver()) -> _ => return Ok(()),
            }
            self.write_table();
            let said: Option<Vec<String>> = self.seats.iter().map(|seat| seat.said.clone()).collect();
            if let Some(said) = said
                && let Some(ready) = ready.take()
            {
                ready(&said);
            }
        }
    }

    fn hear(&mut self, index: usize, life: u64, what: Heard) -> Result<(), UpError> {
        let Some(seat) = self.seats.get_mut(index).filter(|seat| seat.life == life) else { return Ok(()) };
        match what {
            Heard::Ready(said) => {
                seat.state = NodeState::Ready;
                seat.said.get_or_insert(said);
            }
            Heard::Silent(last) => {
                let Some(process) = seat.process.take() else { return Ok(()) };
                let status = process.end();
                let by_itself = status.as_ref().is_ok_and(|status| status.code().is_some());
                let early = seat.since.elapsed() < SETTLED && by_itself;
                seat.failures = if early { seat.failures + 1 } else { 0 };
                if seat.failures >= MOST_FAILURES && seat.state == NodeState::Starting {
                    return Err(UpError::Failing { name: seat.name.clone(), last });
                }
                let pause = FIRST_PAUSE.saturating_mul(1 << seat.failures.min(16)).min(LONGEST_PAUSE);
                ::log::warn!("node {} ended ({}): started again in {pause:?}", seat.name, describe(&status));
                (seat.state, seat.again) = (NodeState::Dead, Some(Instant::now() + pause));
            }
        }
        Ok(())
    }

    /// Names the nodes that never were ready, if any.
    fn name_late(&self) {
        let late = self.seats.iter().filter(|seat| seat.said.is_none()).map(|seat| seat.name.as_str());
        let late: Vec<&str> = late.collect();
        if !late.is_empty() {
            ::log::warn!("not ready yet: {}: see {}", late.join(", "), self.logs.display());
        }
    }

    fn start_due(&mut self) -> Result<(), UpError> {
        let now = Instant::now();
        let due = |seat: &Seat| seat.again.is_some_and(|again| again <= now);
        let due: Vec<usize> = (0..).zip(&self.seats).filter(|(_, seat)| due(seat)).map(|(index, _)| index).collect();
        due.into_iter().try_for_each(|index| self.start(index))
    }

    fn stop_all(&mut self, heard: &Receiver<(usize, u64, Heard)>) -> Result<(), UpError> {
        let deadline = Instant::now() + STOPPING;
        // One that has just died is not started again.
        let dead = self.seats.iter_mut().filter(|seat| seat.process.is_none());
        dead.for_each(|seat| (seat.state, seat.again) = (NodeState::Stopped, None));
        self.seats.iter_mut().filter_map(|seat| seat.process.as_mut()).for_each(Process::ask_to_stop);
        let mut unclean = Vec::new();
        while self.seats.iter().any(|seat| seat.process.is_some()) {
            match heard.recv_deadline(deadline) {
                Ok((index, life, Heard::Silent(_))) => {
                    let seat = self.seats.get_mut(index).filter(|seat| seat.life == life);
                    let Some((process, seat)) = seat.and_then(|seat| Some((seat.process.take()?, seat))) else {
                        continue;
                    };
                    let status = process.end();
                    // One that was just started may be asked before it knows how to answer; it has nothing in hand yet.
                    let started = std::mem::replace(&mut seat.state, NodeState::Stopped) != NodeState::Starting;
                    let in_order = |status: &ExitStatus| {
                        status.success() || !started && status.signal() == Some(Signal::TERM.as_raw())
                    };
                    if !status.as_ref().is_ok_and(in_order) {
                        unclean.push(format!("{} ({})", seat.name, describe(&status)));
                    }
                    self.write_table();
                }
                Ok((_, _, Heard::Ready(_))) => {}
                Err(_) => break,
            }
        }
        for seat in &mut self.seats {
            if let Some(mut process) = seat.process.take() {
                process.kill();
                // Whoever listens to it must not wait for room.
                while heard.try_recv().is_ok() {}
                let _ = process.end();
                seat.state = NodeState::Stopped;
                unclean.push(format!("{} (killed)", seat.name));
            }
        }
        self.write_table();
        if unclean.is_empty() { Ok(()) } else { Err(UpError::Stopping(unclean.join(", "))) }
    }

    /// For people and tools that look at it: the nodes don't depend on it.
    fn write_table(&self) {
        let lines = self.seats.iter().map(|seat| {
            let pid = seat.process.as_ref().map_or(0, Process::pid);
            (seat.name.as_str(), pid, seat.state)
        });
        if let Err(error) = table::write(&self.options.state, lines) {
            ::log::warn!("the table of nodes can't be written: {error}");
        }
    }
}

fn describe(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
