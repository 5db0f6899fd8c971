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
mod room;
mod session;
mod shown;
#[cfg(test)]
mod tests;
mod turns;
mod working;

pub(super) use ending::NODE;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use coffee_core::frame::JobId;

use self::{hearing::Hearing, held::HeldNodes, working::Course};
use super::{
    effects::{Change, Effects},
    record::{Ending, Minted, Progress, Shard},
    rules::{Rules, size},
};
use crate::{
    access::{Caller, Owner},
    cluster::{QueryError, QueryReply, QueryRequest},
    job::{ErrorReport, JobState},
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
    /// The jobs by their owners' requests.
    requests: HashMap<(Owner, u128), u64>,
    hearing: Hearing,
    held: HeldNodes,
}

impl Desk {
    /// Goes on with what was kept. Clients that are away have all their time again.
    pub fn new(rules: Arc<Rules>, kept: Kept, now: Now) -> Self {
        let hearing = Hearing::new(rules.client_timeout.min(rules.progress_timeout), now.instant);
        let requests = kept.jobs.iter().map(|(number, (minted, _))| (minted.key(), *number)).collect();
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
            QueryRequest::Begin { caller, request, spec } => {
                self.begin(caller, request, spec, now, fx).map(QueryReply::Begun)
            }
            QueryRequest::Attach { caller, job, session, spec } => self
                .attach(&caller, job, session, spec.as_ref(), now, fx)
                .map(|attached| QueryReply::Attached(Box::new(attached))),
            QueryRequest::Renew { job, epoch, marks } => self.renew(job, epoch, &marks, now, fx).map(QueryReply::State),
            QueryRequest::State { job } => self.state(job).map(QueryReply::State),
            QueryRequest::Cancel { caller, job } => self.cancel(&caller, job, now, fx).map(QueryReply::State),
            QueryRequest::List { caller } => Ok(QueryReply::Jobs(self.list(&caller))),
            QueryRequest::Describe { caller, job } => self.describe(&caller, job),
            QueryRequest::Errors => Ok(QueryReply::Errors(Vec::new())), // the log is its keeper's
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

    /// A job that is there for a caller: to a client another's is as one that never was.
    fn seen(&mut self, caller: &Caller, job: JobId) -> Result<&mut Entry, QueryError> {
        let seen = self.entry(job).ok().filter(|entry| caller.may_see(&entry.minted.caller.owner));
        seen.ok_or(QueryError::UnknownJob(job))
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

    fn cancel(&mut self, caller: &Caller, job: JobId, now: Now, effects: &mut Effects) -> Result<JobState, QueryError> {
        self.seen(caller, job)?;
        self.end(job, Ending::Cancelled, now, effects)
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
