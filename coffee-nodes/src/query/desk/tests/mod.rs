//! A desk with what was kept of it: single stories, and the laws that hold over all of them.

mod laws;
mod owners;
mod stories;

use super::*;
use crate::{
    access::Role,
    cluster::{Attached, Control, LiveSet},
    job::{JobSpec, JobSummary},
    query::{
        record::Phase,
        testing::{keep, rules, spec},
    },
};

const CLUSTER: u64 = 77;

/// How often somebody calls.
const CALLS: Duration = Duration::from_secs(2);

/// A desk, what was kept of it, and its clock.
struct Office {
    shards: u16,
    desk: Desk,
    kept: Kept,
    now: Now,
    told: Vec<Control>,
}

impl Office {
    fn new() -> Self {
        let now = Now { instant: Instant::now(), unix_ms: 1_000_000 };
        let kept = Kept { cluster: CLUSTER, ..Kept::default() };
        Office { shards: 2, desk: Desk::new(Arc::new(rules(2)), kept.clone(), now), kept, now, told: Vec::new() }
    }

    fn call(&mut self, request: QueryRequest) -> Result<QueryReply, QueryError> {
        let (answer, effects) = self.desk.decide(request, self.now);
        self.done(effects);
        answer
    }

    /// Time passes, in which the others call now and then.
    fn pass(&mut self, span: Duration) {
        let mut left = span;
        while left > CALLS {
            self.deaf(CALLS);
            self.call(QueryRequest::Live).unwrap();
            left -= CALLS;
        }
        self.deaf(left);
    }

    /// Time passes, in which no call comes.
    fn deaf(&mut self, span: Duration) {
        self.now.instant += span;
        self.now.unix_ms += span.as_millis() as u64;
        let effects = self.desk.tick(self.now);
        self.done(effects);
    }

    fn restart(&mut self, shards: u16) {
        self.shards = shards;
        self.desk = Desk::new(Arc::new(rules(shards)), self.kept.clone(), self.now);
    }

    fn done(&mut self, effects: Effects) {
        keep(&mut self.kept, &self.desk, &effects);
        self.told.extend(effects.tell);
    }

    fn begin(&mut self, request: u128) -> Result<JobId, QueryError> {
        match self.call(QueryRequest::Begin { caller: Caller::local(), request, spec: spec(5) })? {
            QueryReply::Begun(job) => Ok(job),
            other => panic!("{other:?}"),
        }
    }

    fn attach(&mut self, job: JobId, session: u128, spec: Option<JobSpec>) -> Result<Attached, QueryError> {
        match self.call(QueryRequest::Attach { caller: Caller::local(), job, session, spec })? {
            QueryReply::Attached(attached) => Ok(*attached),
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self, request: QueryRequest) -> Result<JobState, QueryError> {
        match self.call(request)? {
            QueryReply::State(state) => Ok(state),
            other => panic!("{other:?}"),
        }
    }

    fn is(&mut self, job: JobId) -> JobState {
        self.state(QueryRequest::State { job }).unwrap()
    }

    fn list(&mut self) -> Vec<JobSummary> {
        match self.call(QueryRequest::List { caller: Caller::local() }) {
            Ok(QueryReply::Jobs(jobs)) => jobs,
            other => panic!("{other:?}"),
        }
    }

    /// All shards forget a job, and some that are not there.
    fn all_forget(&mut self, job: JobId) {
        for stage in 0..8 {
            for shard in 0..self.shards {
                self.call(QueryRequest::Forgotten { job, stage, shard }).unwrap();
            }
        }
    }

    fn told(&mut self) -> Vec<Control> {
        std::mem::take(&mut self.told)
    }
}

fn report(text: &str) -> ErrorReport {
    ErrorReport { at_ms: 1, node: "worker".into(), job: None, text: text.into() }
}
