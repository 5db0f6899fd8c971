//! The query node of a simulation: the real one's decisions, without threads and calls over a broker.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use coffee_core::{frame::JobId, node::Failure, plan::Topology};
use crossbeam_channel::Receiver;

use super::shared::Shared;
use crate::{
    cluster::{Control, Known, LiveJobs, QueryError, QueryReply, QueryRequest},
    job::{ErrorReport, JobState},
    query::{Keeper, MemoryStore},
    runner::{Jobs, RunnerError, StoreError},
};

/// What goes by between two ticks.
const MOMENT: Duration = Duration::from_millis(250);

/// The cluster's id: any.
const CLUSTER: u64 = 7;

/// The query node: asked by all processes. It may die behind any decision; then it goes on with what it has kept, and
/// whoever asked asks again.
pub(super) struct QueryDesk {
    shared: Rc<Shared>,
    topology: Arc<Topology>,
    store: MemoryStore,
    keeper: RefCell<Keeper>,
    /// What it has told to all.
    pub told: RefCell<Receiver<Control>>,
}

impl QueryDesk {
    pub fn new(shared: &Rc<Shared>, topology: &Arc<Topology>) -> Result<Self, StoreError> {
        let store = MemoryStore::new(CLUSTER);
        let (keeper, told) = store.keeper(topology)?;
        let (shared, topology) = (shared.clone(), topology.clone());
        Ok(QueryDesk { shared, topology, store, keeper: keeper.into(), told: told.into() })
    }

    /// Lets a moment go by, and does what time calls for.
    pub fn tick(&self) {
        self.store.pass(MOMENT);
        self.keeper.borrow_mut().tick();
    }

    /// Answers a call, which comes once or more often.
    pub fn call(&self, request: QueryRequest) -> Result<QueryReply, QueryError> {
        let mut answer = self.keeper.borrow_mut().call(request.clone());
        if self.shared.once_in(30) {
            answer = self.keeper.borrow_mut().call(request.clone());
        }
        if self.shared.dies_now() {
            self.shared.note(|| "the query node dies".to_owned());
            self.restart()?;
            answer = self.keeper.borrow_mut().call(request);
        }
        answer
    }

    fn restart(&self) -> Result<(), QueryError> {
        // What it has not told yet is lost.
        let (keeper, told) = self.store.keeper(&self.topology).map_err(|error| QueryError::Store(error.to_string()))?;
        self.keeper.replace(keeper);
        self.told.replace(told);
        Ok(())
    }

    /// How far a job is.
    pub fn state(&self, job: JobId) -> Result<JobState, String> {
        match self.call(QueryRequest::State { job }) {
            Ok(QueryReply::State(state)) => Ok(state),
            other => Err(format!("asked how far job {job} is, the query node answered {other:?}")),
        }
    }

    /// Tells a process which jobs live.
    pub fn refresh(&self, live: &LiveJobs) -> Result<(), RunnerError> {
        match self.call(QueryRequest::Live) {
            Ok(QueryReply::Live(set)) => live.answered(&set),
            other => return Err(refused(&other)),
        }
        Ok(())
    }

    /// Whether all jobs have ended, and nobody holds anything of them any more, as far as it knows.
    pub fn is_closed(&self) -> bool {
        self.store.is_closed()
    }
}

fn refused(answer: &Result<QueryReply, QueryError>) -> RunnerError {
    let what = format!("the query node answered {answer:?}");
    RunnerError::Jobs { what, source: "not what was asked".into() }
}

/// The jobs of one process: what it knows of them, and the query node.
pub(super) struct ProcessJobs {
    pub query: Rc<QueryDesk>,
    pub live: Arc<LiveJobs>,
    /// Stage, shard and identity of its store.
    pub keeps: Option<(u16, u16, u64)>,
}

impl ProcessJobs {
    /// Tells with which store a life begins.
    pub fn returned(&self) -> Result<(), RunnerError> {
        let Some((stage, shard, store)) = self.keeps else { return Ok(()) };
        self.ask(QueryRequest::Returned { stage, shard, store }).map(drop)
    }

    fn ask(&self, request: QueryRequest) -> Result<bool, RunnerError> {
        match self.query.call(request) {
            Ok(_) => Ok(true),
            Err(QueryError::UnknownJob(_) | QueryError::Ended(_)) => Ok(false),
            refusal => Err(refused(&refusal)),
        }
    }
}

impl Jobs for ProcessJobs {
    fn name(&self) -> &str {
        ""
    }

    fn lives(&mut self, job: JobId) -> Result<bool, RunnerError> {
        if self.live.knows(job) == Known::Unknown {
            self.query.refresh(&self.live)?;
        }
        Ok(self.live.knows(job) == Known::Lives)
    }

    fn register(&mut self, job: JobId) -> Result<bool, RunnerError> {
        let Some((stage, shard, store)) = self.keeps else { return Ok(true) };
        let registered = self.ask(QueryRequest::Register { job, stage, shard, store })?;
        if !registered {
            self.live.ended(job);
        }
        Ok(registered)
    }

    fn fail(&mut self, failure: Failure) -> Result<(), RunnerError> {
        let Some(job) = failure.job else { return Err(failure.error.into()) };
        let report = ErrorReport::now("a node", Some(job), failure.error.to_string());
        self.ask(QueryRequest::Fail { job, report })?;
        self.live.ended(job);
        Ok(())
    }

    fn forgotten(&mut self, job: JobId) -> Result<(), RunnerError> {
        let Some((stage, shard, _)) = self.keeps else { return Ok(()) };
        self.ask(QueryRequest::Forgotten { job, stage, shard }).map(drop)
    }
}
