//! What is shown of jobs to those who ask; nothing is changed by it.

use coffee_core::frame::JobId;

use super::{Desk, Entry};
use crate::{
    access::{Caller, Role},
    cluster::{LiveSet, QueryError, QueryReply},
    job::{JobState, JobSummary},
    query::record::{Ending, Phase},
};

impl Desk {
    pub(super) fn state(&mut self, job: JobId) -> Result<JobState, QueryError> {
        let phase = self.entry(job)?.progress.phase.clone();
        Ok(self.state_of(job.number, &phase))
    }

    pub(super) fn state_of(&self, number: u64, phase: &Phase) -> JobState {
        match phase {
            Phase::Waiting => JobState::Waiting { before: self.before(number) },
            Phase::Running => JobState::Running,
            Phase::Ended { ending, .. } => match ending {
                Ending::Done { .. } => JobState::Done,
                Ending::Failed { reason } => JobState::Failed { reason: reason.clone() },
                Ending::Cancelled => JobState::Cancelled,
            },
        }
    }

    pub(super) fn list(&self, caller: &Caller) -> Vec<JobSummary> {
        let seen = self.jobs.iter().filter(|(_, entry)| caller.may_see(&entry.minted.caller.owner));
        seen.map(|(number, entry)| self.summary(caller, *number, entry)).collect()
    }

    fn summary(&self, caller: &Caller, number: u64, entry: &Entry) -> JobSummary {
        let Entry { minted, progress, .. } = entry;
        let ended_ms = match progress.phase {
            Phase::Ended { at_ms, .. } => Some(at_ms),
            Phase::Waiting | Phase::Running => None,
        };
        JobSummary {
            job: self.id(number),
            state: self.state_of(number, &progress.phase),
            minted_ms: minted.at_ms,
            ended_ms,
            bytes: minted.bytes(),
            chunks: progress.marks.iter().fold(0, |sum, mark| sum.saturating_add(mark.next)),
            // What is done had all of its data, though the last marks may have been lost with their gateway.
            uploaded: progress.is_uploaded() || progress.is_done(),
            without: progress.without().to_vec(),
            owner: (caller.role == Role::Operator).then(|| minted.caller.owner.clone()),
        }
    }

    pub(super) fn describe(&mut self, caller: &Caller, job: JobId) -> Result<QueryReply, QueryError> {
        self.seen(caller, job)?;
        let entry = self.jobs.get(&job.number).ok_or(QueryError::UnknownJob(job))?;
        let summary = self.summary(caller, job.number, entry);
        Ok(QueryReply::Job { summary, errors: entry.progress.reports.clone() })
    }

    pub(super) fn live(&self) -> LiveSet {
        let live = || self.jobs.iter().filter(|(_, entry)| !entry.progress.has_ended());
        // The last to come stays: the lowest number.
        let topologies = live().rev().map(|(number, entry)| (entry.minted.topology, *number)).collect();
        let live = live().map(|(number, _)| *number).collect();
        LiveSet { cluster: self.cluster, highest: self.highest, live, topologies }
    }
}
