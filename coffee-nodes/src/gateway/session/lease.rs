//! What a session has to tell the query node, and when: it is alive, how far it is, and why its job can't go on.

use std::time::{Duration, Instant};

use super::{Phase, Session, State};
use crate::{
    gateway::refused::Refused,
    job::{ErrorReport, JobState, Mark},
    wire::Refusal,
};

/// How often a job that waits is asked for, and what could not be said is tried again.
const POLL: Duration = Duration::from_secs(1);

/// How long a change of the marks may wait.
const CHANGED: Duration = Duration::from_secs(2);

/// How long a session says nothing.
const LEASE: Duration = Duration::from_secs(5);

/// A call to the query node that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Duty {
    /// These marks have changed, or none.
    Renew { epoch: u64, marks: Vec<Mark> },
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
            (_, Phase::Ended(_)) => None,
            (Some(report), _) => Some(Duty::Fail(report.clone())),
            (_, Phase::Over(refused)) if refused.code == Refusal::Superseded => None,
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
            Err(refused) if refused.code == Refusal::UnknownJob => {
                state.follow(JobState::Failed { reason: refused.text })
            }
            Err(refused) if !state.phase.is_last() => state.phase = Phase::Over(refused),
            Err(_) => state.tables.iter_mut().for_each(|table| table.saved = table.progress.mark()),
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
        let nothing_to_say = matches!(state.phase, Phase::Ended(_)) || (!state.urgent && state.interval().is_none());
        state.left && state.tickets == 0 && nothing_to_say
    }
}

impl State {
    /// How long after the last call the next one is due; `None`: not before something happens.
    fn interval(&self) -> Option<Duration> {
        let superseded = matches!(&self.phase, Phase::Over(refused) if refused.code == Refusal::Superseded);
        match &self.phase {
            Phase::Ended(_) => None,
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
        let tables = self.tables.iter().filter(|table| table.saved != table.progress.mark());
        tables.map(|table| table.progress.mark()).collect()
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
            Duty::Fail(_) => self.failure = None,
        }
    }

    fn follow(&mut self, job: JobState) {
        match (&self.phase, job) {
            (Phase::Ended(_), _) => {}
            (_, ended) if ended.is_ended() => self.phase = Phase::Ended(ended),
            // One that a newer session took over, or that broke off, stays so.
            (Phase::Over(_), _) | (Phase::Running, JobState::Waiting { .. }) => {}
            (_, job) => self.phase = Phase::of(job),
        }
    }
}
