//! Calls to the query node and the results node, each with a deadline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use coffee_core::frame::JobId;
use coffee_mom::{
    Broker,
    rpc::{CallError, Client, ClientOptions},
};

use super::{options::GatewayError, refused::Refused, session::Duty};
use crate::{
    cluster::{Names, QueryCallError, QueryClient, ResultsError, ResultsReply, ResultsRequest},
    job::JobState,
};

/// What a gateway calls; shared by its threads.
pub(super) struct Calls {
    query: QueryClient,
    results: Client<ResultsRequest, ResultsReply, ResultsError>,
    wait: Duration,
    /// A call has found that its client had ended.
    ended: AtomicBool,
}

impl Calls {
    pub fn new(broker: &Arc<dyn Broker>, names: &Names, wait: Duration) -> Result<Self, GatewayError> {
        let query = QueryClient::new(broker.clone(), names)?;
        let results = Client::new(broker.clone(), &names.results()?, ClientOptions::default())?;
        Ok(Calls { query, results, wait, ended: AtomicBool::new(false) })
    }

    /// Calls the query node.
    pub fn query<T>(
        &self,
        call: impl FnOnce(&QueryClient, Instant) -> Result<T, QueryCallError>,
    ) -> Result<T, Refused> {
        let answer = call(&self.query, Instant::now() + self.wait);
        self.note(answer.as_ref().is_err_and(QueryCallError::is_final));
        Ok(answer?)
    }

    /// Calls the results node.
    pub fn results(&self, request: &ResultsRequest) -> Result<ResultsReply, CallError<ResultsError>> {
        let answer = self.results.call(request, Instant::now() + self.wait);
        self.note(matches!(answer, Err(CallError::Closed)));
        answer
    }

    /// Whether calls are of no more use: some client has ended.
    pub fn have_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    fn note(&self, ended: bool) {
        self.ended.fetch_or(ended, Ordering::Relaxed);
    }

    /// Does what a session has to tell the query node.
    pub fn discharge(&self, job: JobId, duty: &Duty) -> Result<JobState, Refused> {
        self.query(|query, deadline| match duty {
            Duty::Renew { epoch, marks } => query.renew(job, *epoch, marks, deadline),
            Duty::Look => query.state(job, deadline),
            Duty::Fail(report) => query.fail(job, report, deadline),
        })
    }

    /// Ends all calls that wait, and later ones.
    pub fn close(&self, deadline: Instant) {
        // Late threads of theirs end by themselves.
        let _ = self.query.close(deadline);
        let _ = self.results.close(deadline);
    }
}
