//! One client's upload of one job: what is in hand, what is confirmed, and how it ends. Shared by the connection's
//! threads, the entry threads and the control thread, none of which waits for another in here.

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
    frame::{ChunkMeta, JobHead, JobId},
    plan::{SourceInfo, Topology},
};
use crossbeam_channel::{Receiver, Sender, bounded, select};

use self::progress::Progress;
use super::refused::Refused;
use crate::{
    Stop,
    cluster::Attached,
    job::{ErrorReport, JobState, Manifest, Mark, Place},
    wire::{Refusal, WINDOW},
};

/// No file has more lines or bytes: so nothing that counts on from there overflows.
const MAX_LINE: u64 = 1 << 53;

/// A session of a job.
pub(super) struct Session {
    head: JobHead,
    epoch: u64,
    manifest: Manifest,
    /// By table: the source that it feeds.
    sources: Vec<SourceInfo>,
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
        let Attached { head, spec, epoch, marks, state } = attached;
        if head.topology != topology.version() {
            return Err(Refused::unavailable("the job is of another topology than this gateway's"));
        }
        let known = topology.sources();
        let source = |name: &str| known.iter().find(|source| source.name == name).cloned();
        let sources: Option<Vec<SourceInfo>> = spec.manifest.tables.iter().map(|table| source(&table.name)).collect();
        let Some(sources) = sources else {
            return Err(Refused::new(Refusal::Invalid, "the manifest has a table that is no source of the plan"));
        };
        let tables = (0..sources.len()).map(|at| {
            let known = marks.iter().find(|mark| usize::from(mark.table) == at).copied();
            let mark = known.unwrap_or(Mark { table: at as u16, ..Mark::default() });
            Table { progress: Progress::new(mark), told: Some(mark), saved: mark }
        });
        let ended = state.is_ended();
        let mut state = State {
            phase: Phase::of(state),
            tables: tables.collect(),
            told: Told::Nothing,
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
        let session =
            Session { head, epoch, manifest: spec.manifest, sources, state: Mutex::new(state), news, room: bounded(1) };
        session.wake();
        Ok(session)
    }

    pub fn job(&self) -> JobId {
        self.head.job
    }

    /// What the job's frames say of it.
    pub fn head(&self) -> &JobHead {
        &self.head
    }

    /// Checks that a chunk is the next of its table. `None`: the job has ended, and nothing of it is needed any more.
    ///
    /// # Errors
    /// Where the protocol does not allow it.
    pub fn expect_chunk(
        &self,
        table: u16,
        seq: u64,
        at: Place,
        bytes: u32,
    ) -> Result<Option<(&SourceInfo, ChunkMeta<'_>)>, Refused> {
        let place = usize::from(table);
        let file = self.manifest.tables.get(place).and_then(|table| table.files.get(at.file as usize));
        let (Some(source), Some(file)) = (self.sources.get(place), file) else {
            return Err(Refused::protocol("a chunk of a table or file that the manifest does not have"));
        };
        if bytes > self.manifest.chunk_bytes || at.line > MAX_LINE || at.offset > MAX_LINE {
            return Err(Refused::protocol("a chunk that is no part of any file that the manifest may have"));
        }
        let meta = ChunkMeta { file: at.file, first_line: at.line, header: &file.header };
        let next = self.expect(table, Progress::expects_chunk)?;
        match next {
            Next::NotNeeded => Ok(None),
            Next::Number(number) if number == seq && at.line > 0 => Ok(Some((source, meta))),
            _ => Err(Refused::protocol("a chunk that is not the next of its table")),
        }
    }

    /// Checks that a table has as many chunks as its client says. `None`: as for [`expect_chunk`](Self::expect_chunk).
    ///
    /// # Errors
    /// Where the protocol does not allow it.
    pub fn expect_end(&self, table: u16, chunks: u64) -> Result<Option<&SourceInfo>, Refused> {
        let next = self.expect(table, Progress::expects_end)?;
        match (next, self.sources.get(usize::from(table))) {
            (Next::NotNeeded, _) => Ok(None),
            (Next::Number(number), Some(source)) if number == chunks => Ok(Some(source)),
            _ => Err(Refused::protocol("a table's end that is not behind its last chunk")),
        }
    }

    fn expect(&self, table: u16, number: impl FnOnce(&Progress) -> Option<u64>) -> Result<Next, Refused> {
        let state = self.state();
        match (&state.phase, state.tables.get(usize::from(table))) {
            (Phase::Waiting { .. }, _) => Err(Refused::protocol("data of a job that waits")),
            (Phase::Ended(_) | Phase::Over(_), _) => Ok(Next::NotNeeded),
            (Phase::Running, Some(table)) => Ok(number(&table.progress).map_or(Next::None, Next::Number)),
            (Phase::Running, None) => Err(Refused::protocol("a table that the manifest does not have")),
        }
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

    /// Takes the next chunk of a table in hand, or with `None` its end.
    pub fn take(self: &Arc<Self>, table: u16, next: Option<Place>) -> Option<Ticket> {
        let mut state = self.state();
        let found = state.tables.get_mut(usize::from(table))?;
        if next.is_none() && found.progress.mark().finished {
            found.told = None; // asked again, told again
        }
        let number = found.progress.take(next);
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

/// What a table waits for.
enum Next {
    Number(u64),
    None,
    NotNeeded,
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
