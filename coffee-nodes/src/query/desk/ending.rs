//! How a job ends, and how all who hold something of it come to forget it.

use std::{collections::BTreeSet, time::Duration};

use coffee_core::frame::JobId;

use super::{Desk, Now, shortened};
use crate::{
    cluster::{Control, QueryError},
    job::{ErrorReport, JobState},
    query::{
        effects::Effects,
        record::{Cleanup, Ending, Outdated, Phase, Progress, Shard},
        rules::Rules,
    },
};

/// After so long an end is told again for the first time: to those who were about to make their first commit.
const FIRST_REPEAT: Duration = Duration::from_millis(500);

/// After so long it is told again, as often as it takes.
const REPEAT: Duration = Duration::from_secs(2);

/// What the query node calls itself in reports.
pub(in crate::query) const NODE: &str = "query";

impl Desk {
    /// Ends a job, for good; returns what it is now, which another end may have decided before.
    pub(super) fn end(
        &mut self,
        job: JobId,
        ending: Ending,
        now: Now,
        effects: &mut Effects,
    ) -> Result<JobState, QueryError> {
        let cleanup = open(&self.rules);
        let what = match &ending {
            Ending::Done { without } if without.is_empty() => "is done".to_owned(),
            Ending::Done { without } => format!("is done, without {}", without.join(", ")),
            Ending::Failed { reason } => format!("has failed: {reason}"),
            Ending::Cancelled => "is cancelled".to_owned(),
        };
        let entry = self.entry(job)?;
        if !entry.progress.has_ended() {
            entry.progress.phase = Phase::Ended { ending, at_ms: now.unix_ms, cleanup };
            entry.tell_at = now.instant + FIRST_REPEAT;
            effects.moved(job.number);
            effects.tell.push(Control::Ended(job));
            effects.happened.push((job, what));
            self.admit(effects);
        }
        self.state(job)
    }

    /// A node can't go on with a job.
    pub(super) fn fail(
        &mut self,
        job: JobId,
        mut report: ErrorReport,
        now: Now,
        effects: &mut Effects,
    ) -> Result<JobState, QueryError> {
        report.job = Some(job);
        let report = shortened(report);
        let reason = format!("{}: {}", report.node, report.text);
        self.note(report, effects);
        self.end(job, Ending::Failed { reason }, now, effects)
    }

    /// The results of a job are there, but for some that can't be had.
    pub(super) fn complete(
        &mut self,
        job: JobId,
        without: Vec<String>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<JobState, QueryError> {
        self.served(job)?;
        self.end(job, Ending::Done { without }, now, effects)
    }

    /// A shard holds nothing of a job any more.
    pub(super) fn forgotten(
        &mut self,
        job: JobId,
        stage: u16,
        shard: u16,
        effects: &mut Effects,
    ) -> Result<(), QueryError> {
        let rules = self.rules.clone();
        // A job that is not known is forgotten by all.
        let Ok(entry) = self.entry(job) else { return Ok(()) };
        let Phase::Ended { cleanup: cleanup @ Cleanup::Open { .. }, .. } = &mut entry.progress.phase else {
            return Ok(());
        };
        if cleanup.strike(Shard { stage, shard }, &rules) {
            effects.moved(job.number);
        }
        Ok(())
    }

    /// A shard is about to keep something of a job in a store.
    pub(super) fn register(
        &mut self,
        job: JobId,
        stage: u16,
        shard: u16,
        store: u64,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), QueryError> {
        let at = Shard { stage, shard };
        if !self.rules.shards.contains(&at) {
            return Err(QueryError::Invalid(format!("stage {stage} has no shard {shard} that keeps state")));
        }
        let entry = self.served(job)?;
        if entry.progress.has_ended() {
            return Err(QueryError::Ended(job));
        }
        match entry.progress.register(at, store) {
            Ok(new) => {
                if new {
                    effects.moved(job.number);
                }
                Ok(())
            }
            Err(Outdated) => {
                self.lost(job, at, now, effects)?;
                Err(QueryError::Ended(job))
            }
        }
    }

    /// A shard begins a life with a store: jobs that it had kept something of in another one fail.
    pub(super) fn returned(&mut self, stage: u16, shard: u16, store: u64, now: Now, effects: &mut Effects) {
        let at = Shard { stage, shard };
        let lost = self.jobs.iter().filter(|(_, entry)| {
            !entry.progress.has_ended() && entry.progress.store(at).is_some_and(|known| known != store)
        });
        let lost: Vec<JobId> = lost.map(|(number, _)| self.id(*number)).collect();
        for job in lost {
            // It is known, so this can't be refused.
            let _ = self.lost(job, at, now, effects);
        }
    }

    /// What a shard had of a job is lost.
    fn lost(&mut self, job: JobId, at: Shard, now: Now, effects: &mut Effects) -> Result<JobState, QueryError> {
        let text = format!("shard {} of stage {} has lost the store with its part of the job", at.shard, at.stage);
        self.fail(job, own_report(job, text, now), now, effects)
    }

    /// Cancels jobs whose data is not complete and whose clients are gone, or there and don't go on.
    pub(super) fn cancel_abandoned(&mut self, now: Now, effects: &mut Effects) {
        let (limit, heard) = (self.rules.client_timeout, self.hearing.so_far(now.instant));
        let abandoned = self.jobs.iter().filter(|(_, entry)| {
            let away = heard.saturating_sub(entry.renewed) >= limit;
            away && !entry.progress.has_ended() && !entry.progress.is_uploaded()
        });
        let abandoned: Vec<JobId> = abandoned.map(|(number, _)| self.id(*number)).collect();
        for job in abandoned {
            let text = format!("cancelled, as its client was away or sent nothing for {} s", limit.as_secs());
            self.note(own_report(job, text, now), effects);
            // It is known, so this can't be refused.
            let _ = self.end(job, Ending::Cancelled, now, effects);
        }
    }

    /// Tells the ends that have not reached everybody, when it is time.
    pub(super) fn tell_ends(&mut self, now: Now, effects: &mut Effects) {
        let cluster = self.cluster;
        for (number, entry) in &mut self.jobs {
            if entry.progress.has_ended() && !entry.progress.is_closed() && entry.tell_at <= now.instant {
                entry.tell_at = now.instant + REPEAT;
                effects.tell.push(Control::Ended(JobId { cluster, number: *number }));
            }
        }
    }

    /// Drops jobs that have ended long ago.
    pub(super) fn drop_old(&mut self, now: Now, effects: &mut Effects) {
        let keep = self.rules.keep.as_millis();
        let old = self.jobs.iter().filter(|(_, entry)| match &entry.progress.phase {
            Phase::Ended { at_ms, cleanup: Cleanup::Closed, .. } => {
                u128::from(now.unix_ms.saturating_sub(*at_ms)) >= keep
            }
            _ => false,
        });
        let old: Vec<u64> = old.map(|(number, _)| *number).collect();
        old.into_iter().for_each(|number| self.forget(number, effects));
    }

    /// Drops a job's record. Its number stays used.
    pub(super) fn forget(&mut self, number: u64, effects: &mut Effects) {
        if let Some(entry) = self.jobs.remove(&number) {
            self.requests.remove(&entry.minted.key());
            effects.dropped(number);
        }
    }
}

impl Progress {
    /// Whether the job has ended and nobody holds anything of it.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Ended { cleanup: Cleanup::Closed, .. })
    }
}

impl Cleanup {
    /// Strikes a shard off the list; returns whether it was on it.
    fn strike(&mut self, shard: Shard, rules: &Rules) -> bool {
        let Cleanup::Open { clean, .. } = self else { return false };
        let struck = rules.shards.contains(&shard) && clean.insert(shard);
        if clean.len() == rules.shards.len() {
            *self = Cleanup::Closed;
        }
        struck
    }
}

/// Nobody has forgotten anything yet.
fn open(rules: &Rules) -> Cleanup {
    if rules.shards.is_empty() {
        return Cleanup::Closed;
    }
    Cleanup::Open { topology: rules.version(), clean: BTreeSet::new() }
}

/// What was kept under whichever topology: shards of another one have to be asked anew.
pub(super) fn under(rules: &Rules, mut progress: Progress) -> Progress {
    if let Phase::Ended { cleanup, .. } = &mut progress.phase
        && matches!(cleanup, Cleanup::Open { topology, .. } if *topology != rules.version())
    {
        *cleanup = open(rules);
    }
    progress
}

pub(super) fn own_report(job: JobId, text: String, now: Now) -> ErrorReport {
    ErrorReport { at_ms: now.unix_ms, node: NODE.into(), job: Some(job), text }
}
