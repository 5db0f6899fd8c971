//! Starts the nodes, keeps them alive, and stops them.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select, tick};

use super::{
    agent::{Agent, Led},
    child::{Heard, Process},
    log::Log,
    options::{UpError, UpOptions},
    seat::{Seat, describe},
    table::{self, NodeLine, NodeState},
};
use crate::{
    Stop,
    monitor::{LIFE_VARIABLE, MonitorId, Next, Order, new_life},
    statistics::RESTARTS_VARIABLE,
};

/// How long all nodes together have to stop in order; then they are killed.
const STOPPING: Duration = Duration::from_secs(8);

/// How often the monitors are told all.
const REPORT: Duration = Duration::from_secs(1);

/// So many reports without a leader, though there are monitors that were ready, are enough to know that all of them hang.
const UNLED: u32 = 10;

/// Nodes that are not ready so long after the start are named: whoever waits for them can look why.
const LATE: Duration = Duration::from_secs(10);

/// The file in the folder that is locked for as long as the cluster runs.
const LOCK: &str = "lock";

/// Starts all nodes and keeps them alive until `stop`, then stops them in order: monitors by itself, the others when the monitors'
/// leader orders it. `ready` is called once, when all of them work, with what each said about itself, by the order of the nodes.
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
    let agent = Agent::start(&options.monitors, options.key).map_err(UpError::Monitors)?;
    let (sender, heard) = bounded(options.nodes.len().max(1) * 2);
    let seats = options.nodes.iter().map(Seat::new).collect();
    let mut supervisor = Supervisor { options, logs, sender, agent, seats, leader: None, unled: 0, table: Vec::new() };
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

struct Supervisor<'a> {
    options: &'a UpOptions,
    logs: PathBuf,
    sender: Sender<(usize, u64, Heard)>,
    agent: Agent,
    seats: Vec<Seat>,
    /// The monitor that was last heard to lead.
    leader: Option<MonitorId>,
    /// Reports since then.
    unled: u32,
    /// As it was written last.
    table: Vec<NodeLine>,
}

impl Supervisor<'_> {
    fn start_all(&mut self) -> Result<(), UpError> {
        let started = (0..self.seats.len()).try_for_each(|index| self.start(index));
        self.write_table();
        started
    }

    fn start(&mut self, index: usize) -> Result<(), UpError> {
        let (Some(node), Some(seat)) = (self.options.nodes.get(index), self.seats.get_mut(index)) else {
            return Ok(());
        };
        let life = new_life();
        let mut command = Command::new(&self.options.program);
        command.args(&node.arguments);
        self.options.unset.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(self.options.environment.iter().cloned());
        command.envs(seat.said.as_deref().map(self.options.again).unwrap_or_default());
        command.env(LIFE_VARIABLE, life.to_string()).env(RESTARTS_VARIABLE, seat.starts.to_string());
        let started = Log::open(&self.logs, &node.name)
            .and_then(|log| Process::start(&mut command, log, (&node.name, index, life), self.sender.clone()));
        let process = started.map_err(|source| UpError::Start { name: node.name.clone(), source })?;
        seat.started(process, life);
        self.report(index);
        Ok(())
    }

    fn watch(
        &mut self,
        heard: &Receiver<(usize, u64, Heard)>,
        stop: &Stop,
        ready: impl FnOnce(&[String]),
    ) -> Result<(), UpError> {
        let mut ready = Some(ready);
        let (late, report, led) = (after(LATE), tick(REPORT), self.agent.led().clone());
        loop {
            let next = self.seats.iter().filter_map(|seat| seat.again).min();
            let due = next.map_or_else(never, |again| after(again.saturating_duration_since(Instant::now())));
            select! {
                recv(heard) -> heard => if let Ok((index, life, what)) = heard {
                    self.hear(index, life, what)?;
                },
                recv(led) -> led => match led {
                    Ok(Led::By(leader)) => (self.leader, self.unled) = (Some(leader), 0),
                    Ok(Led::To(order)) => self.obey(&order)?,
                    Err(_) => return Err(UpError::Monitors(io::ErrorKind::BrokenPipe.into())),
                },
                recv(due) -> _ => self.start_due()?,
                recv(report) -> _ => {
                    self.report_all();
                    self.look_for_leader();
                }
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
            Heard::Ready(said) => seat.is_ready(said),
            Heard::Silent(last) => {
                let Some(process) = seat.process.take() else { return Ok(()) };
                let status = process.end();
                let (name, how) = (seat.name.clone(), describe(&status));
                match seat.ended(&status) {
                    Next::Start(pause) => ::log::warn!("node {name} ended ({how}): started again in {pause:?}"),
                    Next::Loops(pause) => ::log::warn!(
                        "node {name} ended ({how}), {} times in a row soon after its start: started again every {pause:?}; it \
                         last said: {last}",
                        seat.end.early
                    ),
                    Next::GiveUp => return Err(UpError::Failing { name, last }),
                }
                self.report(index);
            }
        }
        Ok(())
    }

    /// Does what the leader orders, where it is about the node's present life.
    fn obey(&mut self, order: &Order) -> Result<(), UpError> {
        let (Order::Kill { name, life } | Order::Start { name, life }) = order;
        let of = |seat: &Seat| seat.name == *name && seat.life == *life;
        let Some((index, seat)) = self.seats.iter_mut().enumerate().find(|(_, seat)| of(seat)) else { return Ok(()) };
        match (order, &mut seat.process) {
            (Order::Kill { .. }, Some(process)) => {
                // That it has ended is heard as of any other.
                if process.kill() {
                    ::log::warn!("node {name} is silent: killed");
                }
                Ok(())
            }
            // Only once the life before was waited for: two of a node never run at a time. Monitors come back without an order.
            (Order::Start { .. }, None) if seat.monitor.is_none() => self.start(index),
            _ => Ok(()),
        }
    }

    fn report(&self, index: usize) {
        let seat = self.seats.get(index);
        self.agent.report(&seat.map(Seat::report).into_iter().collect::<Vec<_>>());
    }

    fn report_all(&self) {
        self.agent.report(&self.seats.iter().map(Seat::report).collect::<Vec<_>>());
    }

    /// Kills the monitors where none of them leads though some are there: they come back, and the others have nobody else.
    fn look_for_leader(&mut self) {
        let ready = |seat: &Seat| seat.monitor.is_some() && seat.state == NodeState::Ready;
        self.unled = if self.seats.iter().any(ready) { self.unled + 1 } else { 0 };
        if self.unled >= UNLED {
            ::log::warn!("no monitor leads: all of them are killed");
            let monitors = self.seats.iter_mut().filter(|seat| seat.monitor.is_some());
            monitors.filter_map(|seat| seat.process.as_mut()).for_each(|process| {
                process.kill();
            });
            self.unled = 0;
        }
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
                    if !seat.stopped(&status) {
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
    fn write_table(&mut self) {
        let lines: Vec<NodeLine> = self.seats.iter().map(|seat| seat.line(self.leader)).collect();
        if lines == self.table {
            return;
        }
        match table::write(&self.options.state, &lines) {
            Ok(()) => self.table = lines,
            Err(error) => ::log::warn!("the table of nodes can't be written: {error}"),
        }
    }
}
