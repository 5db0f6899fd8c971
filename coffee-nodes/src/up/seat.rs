//! A node's place in the cluster, and what has become of its processes.

use std::{
    io,
    num::NonZeroU32,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    child::Process,
    options::NodeCommand,
    table::{NodeLine, NodeRole, NodeState},
};
use crate::{
    monitor::{self, End, MonitorId, SeatState},
    orders::RESTARTED,
};

/// A node that has worked so long was started well.
const SETTLED: Duration = Duration::from_secs(60);

/// A node's place: its process, if it has one.
pub(super) struct Seat {
    pub name: String,
    /// Which monitor it is.
    pub monitor: Option<MonitorId>,
    pub process: Option<Process>,
    /// Tells its process from those before, and from any other in the cluster.
    pub life: u64,
    /// How many processes it has had.
    pub starts: u32,
    pub state: NodeState,
    /// What it said about itself when it first was ready.
    pub said: Option<String>,
    /// When its process was started, or ended.
    pub since: Instant,
    /// How its processes have ended so far.
    pub end: End,
    /// When a monitor is to be started again; nodes are when the leader says so.
    pub again: Option<Instant>,
}

impl Seat {
    pub fn new(node: &NodeCommand) -> Self {
        Seat {
            name: node.name.clone(),
            monitor: node.monitor,
            process: None,
            life: 0,
            starts: 0,
            state: NodeState::Starting,
            said: None,
            since: Instant::now(),
            end: End::default(),
            again: None,
        }
    }

    /// It has this process now.
    pub fn started(&mut self, process: Process, life: u64) {
        (self.process, self.life, self.again) = (Some(process), life, None);
        self.starts = self.starts.saturating_add(1);
        (self.state, self.since) = (NodeState::Starting, Instant::now());
    }

    pub fn is_ready(&mut self, said: String) {
        self.state = NodeState::Ready;
        self.said.get_or_insert(said);
        self.end.was_ready = true;
    }

    /// Its process has ended, and was waited for: what follows.
    pub fn ended(&mut self, status: &io::Result<ExitStatus>) -> monitor::Next {
        // Who restarts it on purpose is no sign that it fails.
        let failed = |status: &ExitStatus| status.code().is_some_and(|code| code != i32::from(RESTARTED));
        let by_itself = status.as_ref().is_ok_and(failed);
        let early = by_itself && (self.state == NodeState::Starting || self.since.elapsed() < SETTLED);
        self.end.early = if early { self.end.early.saturating_add(1) } else { 0 };
        (self.state, self.since) = (NodeState::Dead, Instant::now());
        let next = monitor::after(&self.end);
        self.again = self.monitor.and_then(|_| Some(self.since + next.pause()?));
        next
    }

    /// Its process has ended behind a stop: whether in order.
    pub fn stopped(&mut self, status: &io::Result<ExitStatus>) -> bool {
        // One that was just started may be asked before it knows how to answer; it has nothing in hand yet.
        let started = std::mem::replace(&mut self.state, NodeState::Stopped) != NodeState::Starting;
        let in_order =
            |status: &ExitStatus| status.success() || !started && status.signal() == Some(Signal::TERM.as_raw());
        status.as_ref().is_ok_and(in_order)
    }

    /// As the monitors know it.
    pub fn report(&self) -> monitor::Seat {
        let state = match self.process {
            Some(_) => SeatState::Running { ready: self.state == NodeState::Ready },
            None => SeatState::Ended(self.end),
        };
        let since_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        monitor::Seat { name: self.name.clone(), life: self.life, state, since_ms }
    }

    /// As the table shows it.
    pub fn line(&self, leader: Option<MonitorId>) -> NodeLine {
        let role = match self.monitor {
            None => NodeRole::Node,
            Some(_) if self.process.is_some() && self.monitor == leader => NodeRole::Leader,
            Some(_) => NodeRole::Monitor,
        };
        let pid = self.process.as_ref().and_then(|process| NonZeroU32::new(process.pid()));
        NodeLine { name: self.name.clone(), pid, state: self.state, role }
    }
}

/// How a process has ended, in words.
pub(super) fn describe(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(monitor: Option<MonitorId>) -> Seat {
        Seat::new(&NodeCommand { name: "groups.0".into(), arguments: Vec::new(), monitor })
    }

    fn status(raw: i32) -> io::Result<ExitStatus> {
        Ok(ExitStatus::from_raw(raw))
    }

    #[test]
    fn only_ends_of_its_own_accord_before_it_was_ready_lead_to_giving_up() {
        let (failed, killed) = (|| status(1 << 8), || status(9));
        let mut seat = seat(None);
        let pauses: Vec<_> = (0..4).map(|_| seat.ended(&failed()).pause().unwrap().as_millis()).collect();
        assert_eq!((pauses, seat.again), (vec![200, 400, 800, 1600], None), "the leader starts it");
        assert_eq!(seat.ended(&killed()), monitor::Next::Start(Duration::from_millis(100)));
        let ends: Vec<_> = (0..5)
            .map(|_| {
                seat.state = NodeState::Starting;
                seat.ended(&failed())
            })
            .collect();
        assert_eq!(ends.last(), Some(&monitor::Next::GiveUp));
        seat.is_ready(String::new());
        assert_eq!(seat.ended(&failed()), monitor::Next::Loops(Duration::from_secs(30)));
        assert_eq!(seat.report().state, SeatState::Ended(End { early: 6, was_ready: true }));
    }

    #[test]
    fn a_monitor_is_started_again_without_an_order() {
        let mut seat = seat(Some(1));
        assert_eq!(seat.line(Some(1)).role, NodeRole::Monitor, "it has no process");
        seat.ended(&status(9));
        assert_eq!(seat.again, Some(seat.since + Duration::from_millis(100)));
    }
}
