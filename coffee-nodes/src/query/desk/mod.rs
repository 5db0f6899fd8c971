//! All jobs of a cluster, and what becomes of them: a state machine without I/O (invariant 10).
//!
//! ```text
//! Begin -> Waiting -> Running -> Ended (done, failed, cancelled) -> forgotten by all shards -> dropped
//!             `--------------------^
//! ```
//! A call or a tick goes in with the time; an answer comes out, and [`Effects`] to be kept and told in that order. What
//! is kept is all that a later life needs: it answers as if there had been no restart.

mod ending;
mod hearing;
mod held;
mod session;
#[cfg(test)]
mod tests;
mod working;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use coffee_core::frame::JobId;

use self::{hearing::Hearing, held::HeldNodes, working::Course};
use super::{
    effects::{Change, Effects},
    record::{Ending, Minted, Phase, Progress, Shard},
    rules::{Rules, size},
};
use crate::{
    cluster::{LiveSet, QueryError, QueryReply, QueryRequest},
    job::{ErrorReport, JobState, JobSummary},
};

/// The time, by both clocks: spans are measured by the first, the second is for people and lasts over restarts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub instant: Instant,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

impl Now {
    /// What the clocks say.
    pub fn read() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { instant: Instant::now(), unix_ms: since.as_millis() as u64 }
    }
}

/// What an earlier life kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The cluster's id.
    pub cluster: u64,
    /// The highest number that was minted.
    pub highest: u64,
    /// By number.
    pub jobs: BTreeMap<u64, (Minted, Progress)>,
}

impl Kept {
    /// Keeps what has changed.
    pub fn apply(&mut self, desk: &Desk, changes: &BTreeMap<u64, Change>) {
        self.highest = desk.highest();
        for number in changes.keys() {
            match desk.record(*number) {
                Some((minted, progress)) => drop(self.jobs.insert(*number, (minted.clone(), progress.clone()))),
                None => drop(self.jobs.remove(number)),
            }
        }
    }
}

/// One job, with what a restart begins anew.
struct Entry {
    minted: Minted,
    progress: Progress,
    /// Bytes that describe it.
    size: usize,
    /// When its client last went on, by the clock of [`Hearing`].
    renewed: Duration,
    /// When its end is to be told again.
    tell_at: Instant,
    course: Course,
}

impl Entry {
    fn new(minted: Minted, progress: Progress, now: Now, renewed: Duration) -> Self {
        let course = Course::new(renewed);
        Entry { size: size(&minted), minted, progress, renewed, tell_at: now.instant, course }
    }
}

/// Decides about the jobs of one cluster.
pub(super) struct Desk {
    rules: Arc<Rules>,
    cluster: u64,
    highest: u64,
    jobs: BTreeMap<u64, Entry>,
    /// The jobs by their requests.
    requests: HashMap<u128, u64>,
    hearing: Hearing,
    held: HeldNodes,
}

impl Desk {
    /// Goes on with what was kept. Clients that are away have all their time again.
    pub fn new(rules: Arc<Rules>, kept: Kept, now: Now) -> Self {
        let hearing = Hearing::new(rules.client_timeout.min(rules.progress_timeout), now.instant);
        let requests = kept.jobs.iter().map(|(number, (minted, _))| (minted.request, *number)).collect();
        let entries = kept.jobs.into_iter().map(|(number, (minted, progress))| {
            let progress = ending::under(&rules, progress);
            (number, Entry::new(minted, progress, now, hearing.so_far(now.instant)))
        });
        let (jobs, held) = (entries.collect(), HeldNodes::default());
        Desk { jobs, rules, cluster: kept.cluster, highest: kept.highest, requests, hearing, held }
    }

    /// The highest number that was minted.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// What is to be kept of a job.
    pub fn record(&self, number: u64) -> Option<(&Minted, &Progress)> {
        self.jobs.get(&number).map(|entry| (&entry.minted, &entry.progress))
    }

    /// Answers a call. Calls that come again get the same answer and change nothing more.
    pub fn decide(&mut self, request: QueryRequest, now: Now) -> (Result<QueryReply, QueryError>, Effects) {
        self.hearing.heard(now.instant);
        let mut effects = Effects::default();
        let fx = &mut effects;
        let answer = match request {
            QueryRequest::Begin { request, spec } => self.begin(request, spec, now, fx).map(QueryReply::Begun),
            QueryRequest::Attach { job, session, spec } => self
                .attach(job, session, spec.as_ref(), now, fx)
                .map(|attached| QueryReply::Attached(Box::new(attached))),
            QueryRequest::Renew { job, epoch, marks } => self.renew(job, epoch, &marks, now, fx).map(QueryReply::State),
            QueryRequest::State { job } => self.state(job).map(QueryReply::State),
            QueryRequest::Cancel { job } => self.end(job, Ending::Cancelled, now, fx).map(QueryReply::State),
            QueryRequest::List => Ok(QueryReply::Jobs(self.list())),
            QueryRequest::Describe { job } => self.describe(job),
            QueryRequest::Live => Ok(QueryReply::Live(self.live())),
            QueryRequest::Fail { job, report } => self.fail(job, report, now, fx).map(QueryReply::State),
            QueryRequest::Held { node, reason } => {
                self.hold(&node, reason, now, fx);
                Ok(QueryReply::Noted)
            }
            QueryRequest::Returned { stage, shard, store } => {
                self.returned(stage, shard, store, now, fx);
                Ok(QueryReply::Noted)
            }
            QueryRequest::Report(report) => {
                self.note(report, fx);
                Ok(QueryReply::Noted)
            }
            QueryRequest::Complete { job, without } => self.complete(job, without, now, fx).map(QueryReply::State),
            QueryRequest::Working { stage, shard, jobs } => {
                self.work(Shard { stage, shard }, jobs, now);
                Ok(QueryReply::Noted)
            }
            QueryRequest::Forgotten { job, stage, shard } => {
                self.forgotten(job, stage, shard, fx).map(|()| QueryReply::Noted)
            }
            QueryRequest::Register { job, stage, shard, store } => {
                self.register(job, stage, shard, store, now, fx).map(|()| QueryReply::Noted)
            }
        };
        (answer, effects)
    }

    /// Does what time alone calls for: to be called a few times a second.
    pub fn tick(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        self.cancel_abandoned(now, &mut effects);
        self.fail_stuck(now, &mut effects);
        self.admit(&mut effects);
        self.tell_ends(now, &mut effects);
        self.drop_old(now, &mut effects);
        effects
    }

    fn id(&self, number: u64) -> JobId {
        JobId { cluster: self.cluster, number }
    }

    fn entry(&mut self, job: JobId) -> Result<&mut Entry, QueryError> {
        let known = self.jobs.get_mut(&job.number).filter(|_| job.cluster == self.cluster);
        known.ok_or(QueryError::UnknownJob(job))
    }

    /// A job that this cluster's nodes can work for.
    fn served(&mut self, job: JobId) -> Result<&mut Entry, QueryError> {
        let version = self.rules.version();
        let entry = self.entry(job)?;
        if entry.minted.topology == version {
            return Ok(entry);
        }
        let text = format!("job {job} was begun under another plan or placement than the cluster has now");
        Err(QueryError::Invalid(text))
    }

    /// Where a job stands among those that wait to be served.
    fn before(&self, number: u64) -> u32 {
        self.jobs.range(..number).filter(|(_, entry)| self.waits(entry)).count() as u32
    }

    fn waits(&self, entry: &Entry) -> bool {
        entry.progress.phase == Phase::Waiting && entry.minted.topology == self.rules.version()
    }

    fn state(&mut self, job: JobId) -> Result<JobState, QueryError> {
        let phase = self.entry(job)?.progress.phase.clone();
        Ok(self.state_of(job.number, &phase))
    }

    fn state_of(&self, number: u64, phase: &Phase) -> JobState {
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

    fn list(&self) -> Vec<JobSummary> {
        self.jobs.iter().map(|(number, entry)| self.summary(*number, entry)).collect()
    }

    fn summary(&self, number: u64, entry: &Entry) -> JobSummary {
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
        }
    }

    fn describe(&mut self, job: JobId) -> Result<QueryReply, QueryError> {
        self.entry(job)?;
        let entry = self.jobs.get(&job.number).ok_or(QueryError::UnknownJob(job))?;
        Ok(QueryReply::Job { summary: self.summary(job.number, entry), errors: entry.progress.reports.clone() })
    }

    fn live(&self) -> LiveSet {
        let live = || self.jobs.iter().filter(|(_, entry)| !entry.progress.has_ended());
        // The last to come stays: the lowest number.
        let topologies = live().rev().map(|(number, entry)| (entry.minted.topology, *number)).collect();
        let live = live().map(|(number, _)| *number).collect();
        LiveSet { cluster: self.cluster, highest: self.highest, live, topologies }
    }

    /// Puts a report into the log, and to the job that it is about.
    fn note(&mut self, report: ErrorReport, effects: &mut Effects) {
        let report = shortened(report);
        if let Some(job) = report.job
            && let Ok(entry) = self.entry(job)
            && entry.progress.note(&report)
        {
            effects.moved(job.number);
        }
        effects.notes.push(report);
    }
}

/// The most bytes of a report's text.
const MAX_TEXT: usize = 1024;

/// The most bytes of a node's name in a report.
const MAX_NODE: usize = 128;

/// A report of bounded size.
fn shortened(mut report: ErrorReport) -> ErrorReport {
    for (text, most) in [(&mut report.text, MAX_TEXT), (&mut report.node, MAX_NODE)] {
        text.truncate(text.floor_char_boundary(most));
    }
    report
}
