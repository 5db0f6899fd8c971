//! One client's upload of one job: what is in hand, what is confirmed, and how it ends. Shared by the connection's
//! threads, the entry threads and the control thread, none of which waits for another in here.

mod expected;
mod inputs;
mod lease;
mod news;
mod progress;
mod ticket;

pub(super) use lease::Duty;
pub(super) use ticket::Ticket;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use coffee_core::{
    frame::{JobHead, JobId},
    plan::{Job, SourceInfo, Topology},
};
use crossbeam_channel::{Receiver, Sender, bounded, select};

use self::{inputs::Inputs, progress::Progress};
use super::refused::Refused;
use crate::{
    Stop,
    cluster::Attached,
    job::{ErrorReport, JobState, Manifest, Mark, Place},
    statistics::{FedWork, StageWork},
    wire::{Refusal, WINDOW},
};

/// A session of a job.
pub(super) struct Session {
    head: JobHead,
    own: bool,
    epoch: u64,
    manifest: Manifest,
    /// By table: the source that it feeds.
    sources: Vec<SourceInfo>,
    inputs: Inputs,
    state: Mutex<State>,
    /// Wakes the thread that writes to the client.
    news: Sender<()>,
    /// Wakes the thread that reads from the client, where it waits for room.
    room: (Sender<()>, Receiver<()>),
}

struct State {
    phase: Phase,
    tables: Vec<Table>,
    /// What the client was told of the phase.
    told: Told,
    /// What was done for the job, and whether its client is to be told.
    work: (Vec<FedWork>, bool),
    /// Whether the job's results are asked for on the same connection, which then tells how the job ended.
    results_asked: bool,
    /// Why the job can't go on: the query node has to be told.
    failure: Option<ErrorReport>,
    /// Whether the client has left.
    left: bool,
    /// Chunks and ends that the entry threads have.
    tickets: usize,
    /// When the query node was last called.
    called: Instant,
    /// Whether it is to be called at once.
    urgent: bool,
}

enum Phase {
    Waiting { before: u32 },
    Running,
    Ended(JobState),
    Over(Refused),
}

struct Table {
    progress: Progress,
    /// The most bytes that its chunks have, by the manifest.
    most_bytes: u64,
    /// The mark that the client knows; `None` where it is to be told again.
    told: Option<Mark>,
    /// The mark that the query node knows.
    saved: Mark,
}

#[derive(PartialEq)]
enum Told {
    Nothing,
    Waiting(u32),
    Started,
    End,
}

impl Session {
    /// A session as the query node gave it; a token in `news` says that there is something for the client.
    ///
    /// # Errors
    /// Where this gateway's topology is not the job's.
    pub fn new(attached: Attached, topology: &Topology, news: Sender<()>) -> Result<Self, Refused> {
        let Attached { head, spec, own, epoch, marks, state } = attached;
        if head.topology != topology.version() {
            return Err(Refused::unavailable("the job is of another topology than this gateway's"));
        }
        let known = topology.sources();
        let source = |name: &str| known.iter().find(|source| source.name == name).cloned();
        let sources: Option<Vec<SourceInfo>> = spec.manifest.tables.iter().map(|table| source(&table.name)).collect();
        let Some(sources) = sources else {
            return Err(Refused::new(Refusal::Invalid, "the manifest has a table that is no source of the plan"));
        };
        let job = Job::new(topology, &head).map_err(|error| Refused::new(Refusal::Invalid, error.to_string()))?;
        let inputs = Inputs::new(topology, &job, &sources);
        let tables = spec.manifest.tables.iter().enumerate().map(|(at, table)| {
            let known = marks.iter().find(|mark| usize::from(mark.table) == at).copied();
            let mark = known.unwrap_or(Mark { table: at as u16, ..Mark::default() });
            let most_bytes = table.most_bytes();
            Table { progress: Progress::new(mark), most_bytes, told: Some(mark), saved: mark }
        });
        let ended = state.is_ended();
        let mut state = State {
            phase: Phase::of(state),
            tables: tables.collect(),
            told: Told::Nothing,
            work: (Vec::new(), false),
            results_asked: false,
            failure: None,
            left: false,
            tickets: 0,
            called: Instant::now(),
            urgent: false,
        };
        if ended {
            state.give_marks_up(); // an earlier session knows them better
        }
        let (manifest, state) = (spec.manifest, Mutex::new(state));
        let session = Session { head, own, epoch, manifest, sources, inputs, state, news, room: bounded(1) };
        session.wake();
        Ok(session)
    }

    pub fn job(&self) -> JobId {
        self.head.job
    }

    /// Whether the job is the client's own: of one that has ended, an operator has a session as well.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// What the job's frames say of it.
    pub fn head(&self) -> &JobHead {
        &self.head
    }

    /// Waits until fewer than a window's chunks are in hand, or none of them is needed: that is how a slow cluster slows
    /// a client down. False where `stop` came first.
    pub fn wait_for_room(&self, stop: &Stop) -> bool {
        while self.state().is_full() {
            select! {
                recv(self.room.1) -> _ => {}
                recv(stop.receiver()) -> _ => return false,
            }
        }
        true
    }

    /// Takes the next chunk of a table in hand, of so many bytes, or with `None` its end.
    pub fn take(self: &Arc<Self>, table: u16, next: Option<Place>, bytes: u64) -> Option<Ticket> {
        let mut state = self.state();
        let found = state.tables.get_mut(usize::from(table))?;
        if next.is_none() && found.progress.mark().finished {
            found.told = None; // asked again, told again
        }
        let number = found.progress.take(next, bytes);
        state.tickets += 1;
        Some(Ticket::new(self.clone(), table, number))
    }

    /// Whether nothing of the job is needed any more.
    pub fn is_dead(&self) -> bool {
        let state = self.state();
        state.failure.is_some() || state.phase.is_last()
    }

    /// Whether the client has nothing more to hear of it.
    pub fn is_over(&self) -> bool {
        self.state().phase.is_last()
    }

    /// The job can't go on, and the query node is to be told why.
    pub fn fail(&self, report: ErrorReport) {
        let mut state = self.state();
        if !matches!(state.phase, Phase::Ended(_)) {
            state.failure.get_or_insert(report);
            state.urgent = true;
        }
    }

    /// The session ends before the job: the client is to come again.
    pub fn break_off(&self, why: Refused) {
        let mut state = self.state();
        if !state.phase.is_last() {
            state.phase = Phase::Over(why);
            state.urgent = true;
            drop(state);
            self.wake();
        }
    }

    /// A newer session has begun.
    pub fn supersede(&self, epoch: u64) {
        if self.epoch < epoch {
            self.break_off(Refused::new(Refusal::Superseded, "another session of the job has taken over"));
        }
    }

    /// The client has left. What is in hand is finished, and its marks are kept.
    pub fn leave(&self) {
        let mut state = self.state();
        state.left = true;
        state.urgent = true;
    }

    /// What to tell of this work.
    pub fn fed(&self, work: &[StageWork]) -> Vec<FedWork> {
        let mut fed = self.inputs.with(work);
        let next = |table: &Table| table.progress.mark().next;
        let confirmed = self.state().tables.iter().map(next).fold(0, u64::saturating_add);
        // The first is the gateway: what went through it in another life is not counted any more.
        if let Some(gateway) = fed.first_mut() {
            gateway.work.batches = gateway.work.batches.max(confirmed);
        }
        fed
    }

    /// So much is known to be done for the job by now.
    pub fn worked(&self, work: &[StageWork]) {
        let work = self.fed(work);
        let mut state = self.state();
        if matches!(state.phase, Phase::Running) && state.work.0 != work {
            state.work = (work, true);
            drop(state);
            self.wake();
        }
    }

    /// The job's results are asked for on the same connection, which then tells how the job ended.
    pub fn leave_end_to_results(&self) {
        self.state().results_asked = true;
    }

    fn confirm(&self, table: u16, number: u64) {
        let mut state = self.state();
        // What the entry threads let go of a job that ended was not confirmed.
        if state.failure.is_some() || matches!(state.phase, Phase::Ended(_)) {
            return;
        }
        if state.tables.get_mut(usize::from(table)).is_some_and(|table| table.progress.confirm(number)) {
            drop(state);
            self.wake();
        }
    }

    fn let_go(&self) {
        let mut state = self.state();
        state.tickets = state.tickets.saturating_sub(1);
    }

    /// Makes the connection's threads look around.
    fn wake(&self) {
        for token in [&self.news, &self.room.0] {
            let _ = token.try_send(()); // full: it will look anyway
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Ended(JobState::Done))
    }

    fn is_full(&self) -> bool {
        let in_hand: usize = self.tables.iter().map(|table| table.progress.in_hand()).sum();
        in_hand >= WINDOW as usize && !self.phase.is_last()
    }
}

impl Phase {
    fn of(state: JobState) -> Self {
        match state {
            JobState::Waiting { before } => Phase::Waiting { before },
            JobState::Running => Phase::Running,
            ended => Phase::Ended(ended),
        }
    }

    /// Whether nothing follows it.
    fn is_last(&self) -> bool {
        matches!(self, Phase::Ended(_) | Phase::Over(_))
    }
}

#[cfg(test)]
mod tests;
