//! Which jobs a runner works on, and what becomes of those that can't go on.

use coffee_core::{
    frame::JobId,
    node::{Failure, Node},
};

use super::RunnerError;
use crate::store::Attempts;

/// What a runner asks about jobs.
pub trait Jobs {
    /// The node's name in reports.
    fn name(&self) -> &str;

    /// Whether deliveries of this job are to be answered; the others are acked and dropped (invariant 10). May wait until
    /// that is known.
    ///
    /// # Errors
    /// Where it can't be known any more: the runner ends, and the delivery comes again.
    fn lives(&mut self, job: JobId) -> Result<bool, RunnerError>;

    /// Called before the first commit of a job: whether there may be one. If not, the job has ended.
    ///
    /// # Errors
    /// Where the runner is to end without committing.
    fn register(&mut self, job: JobId) -> Result<bool, RunnerError>;

    /// A node can't go on with a job, or makes nothing of a delivery. Ok promises that the job does not live any more:
    /// the runner forgets it, and acks what it failed in.
    ///
    /// # Errors
    /// Where the runner is to end; what the node failed in comes again.
    fn fail(&mut self, failure: Failure) -> Result<(), RunnerError>;

    /// Nothing is left of an ended job, neither in the node nor in its store.
    ///
    /// # Errors
    /// Where the runner is to end.
    fn forgotten(&mut self, job: JobId) -> Result<(), RunnerError>;

    /// Where it is noted what the node works at, and in what its process has died; `None` where nobody counts that.
    fn attempts(&mut self) -> Option<&mut Attempts> {
        None
    }

    /// Called now and then, several times a second at least: the node may be asked how far it is.
    fn look_at(&mut self, node: &dyn Node) {
        let _ = node;
    }
}

/// For runs of one job: it lives as long as they do, and its failure is theirs.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneJob;

impl Jobs for OneJob {
    fn name(&self) -> &str {
        "this process"
    }

    fn lives(&mut self, _job: JobId) -> Result<bool, RunnerError> {
        Ok(true)
    }

    fn register(&mut self, _job: JobId) -> Result<bool, RunnerError> {
        Ok(true)
    }

    fn fail(&mut self, failure: Failure) -> Result<(), RunnerError> {
        Err(failure.error.into())
    }

    fn forgotten(&mut self, _job: JobId) -> Result<(), RunnerError> {
        Ok(())
    }
}
