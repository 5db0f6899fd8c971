//! What a session has to tell the query node, and when: its client goes on, how far it is, and why its job can't go on.
//!
//! A client that is connected and sends nothing is as good as away: the session speaks for it only while the job waits,
//! something of it is in hand, its marks have moved, or all of it is uploaded. Pings don't count; a client that is held
//! back by the cluster has a full window in hand. Otherwise the session only looks how far the job is; of a newer session it
//! then hears by what is told to all, or when it speaks again.

use std::time::{Duration, Instant};

use super::{Phase, Session, State, Table};
use crate::{
    gateway::refused::Refused,
    job::{ErrorReport, JobState, Mark},
    wire::Refusal,
};

/// How often a job that waits is asked for, and what could not be said is tried again.
const POLL: Duration = Duration::from_secs(1);

/// How long a change of the marks may wait.
const CHANGED: Duration = Duration::from_secs(2);

/// How long a session says nothing: much less than the shortest time that anybody lets clients be away.
const LEASE: Duration = Duration::from_secs(2);

/// A call to the query node that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Duty {
    /// The client goes on; these marks have changed, or none.
    Renew { epoch: u64, marks: Vec<Mark> },
    /// It is the client's turn: how far the job is by now.
    Look,
    /// The job can't go on.
    Fail(ErrorReport),
}

impl Session {
    /// The call that is due by now, if any; its answer goes to [`answered`](Self::answered).
    pub fn duty(&self, now: Instant) -> Option<Duty> {
        let mut state = self.state();
        if !state.urgent && now < state.called + state.interval()? {
            return None;
        }
        let duty = match (&state.failure, &state.phase) {
            (_, Phase::Ended(_)) if state.unsaved().is_empty() => None,
            (Some(report), Phase::Waiting { .. } | Phase::Running | Phase::Over(_)) => Some(Duty::Fail(report.clone())),
            (_, Phase::Over(refused)) if refused.code == Refusal::Superseded => None,
            (_, Phase::Running) if !state.left && state.is_clients_turn() => Some(Duty::Look),
            _ => Some(Duty::Renew { epoch: self.epoch, marks: state.unsaved() }),
        };
        state.urgent = false;
        state.called = now;
        duty
    }

    /// What the query node answered to a call. True where the job has ended by that.
    pub fn answered(&self, duty: Duty, answer: Result<JobState, Refused>) -> bool {
        let mut state = self.state();
        match answer {
            Ok(job) => {
                state.called_well(duty);
                state.follow(job);
            }
            Err(refused) if refused.code == Refusal::Unavailable => return false, // and is tried again
            Err(refused) => {
                state.give_marks_up();
                if refused.code == Refusal::UnknownJob {
                    state.follow(JobState::Failed { reason: refused.text });
                } else if !state.phase.is_last() {
                    state.phase = Phase::Over(refused);
                }
            }
        }
        let ended = matches!(state.phase, Phase::Ended(_));
        drop(state);
        self.wake();
        ended
    }

    /// Asks for a call soon: something happened to the job.
    pub fn hurry(&self) {
        self.state().urgent = true;
    }

    /// Whether nobody needs it any more.
    pub fn is_gone(&self) -> bool {
        let state = self.state();
        let urgent = state.urgent && !matches!(state.phase, Phase::Ended(_));
        state.left && state.tickets == 0 && !urgent && state.interval().is_none()
    }
}

impl State {
    /// How long after the last call the next one is due; `None`: not before something happens.
    fn interval(&self) -> Option<Duration> {
        let superseded = matches!(&self.phase, Phase::Over(refused) if refused.code == Refusal::Superseded);
        match &self.phase {
            Phase::Ended(_) => (!self.unsaved().is_empty()).then_some(POLL),
            _ if self.failure.is_some() => Some(POLL),
            _ if superseded => None,
            _ if !self.unsaved().is_empty() => Some(CHANGED),
            _ if self.left => None,
            Phase::Waiting { .. } => Some(POLL),
            Phase::Running => Some(LEASE),
            Phase::Over(_) => None,
        }
    }

    fn unsaved(&self) -> Vec<Mark> {
        let done = self.is_done();
        let marks = self.tables.iter().map(|table| (table.saved, table.progress.mark_of(done)));
        marks.filter(|(saved, mark)| saved != mark).map(|(_, mark)| mark).collect()
    }

    /// Nobody wants to know them.
    pub(super) fn give_marks_up(&mut self) {
        let done = self.is_done();
        self.tables.iter_mut().for_each(|table| table.saved = table.progress.mark_of(done));
    }

    /// Whether nothing happens before the client sends something.
    fn is_clients_turn(&self) -> bool {
        let idle = |table: &Table| table.progress.in_hand() == 0 && table.saved == table.progress.mark();
        let uploaded = self.tables.iter().all(|table| table.progress.mark().finished);
        !uploaded && self.tables.iter().all(idle)
    }

    fn called_well(&mut self, duty: Duty) {
        match duty {
            Duty::Renew { marks, .. } => {
                for mark in marks {
                    if let Some(table) = self.tables.get_mut(usize::from(mark.table)) {
                        table.saved = mark;
                    }
                }
            }
            Duty::Look => {}
            Duty::Fail(_) => self.failure = None,
        }
    }

    fn follow(&mut self, job: JobState) {
        match (&self.phase, job) {
            (Phase::Ended(_), _) => {}
            (_, ended) if ended.is_ended() => {
                self.phase = Phase::Ended(ended);
                self.urgent = true; // the last marks
            }
            // One that a newer session took over, or that broke off, stays so.
            (Phase::Over(_), _) | (Phase::Running, JobState::Waiting { .. }) => {}
            (_, job) => self.phase = Phase::of(job),
        }
    }
}
