//! One shard of a stateful stage, with the state that it had before.

use std::{path::PathBuf, sync::Arc};

use coffee_core::{
    exec::Scratch,
    node::{Event, Node, NodeError, ShardNode},
    plan::Topology,
};

use super::{WorkerError, error::unless_stopped};
use crate::{
    FileScratch,
    cluster::{Keeps, Known, Membership, NodeJobs},
    runner::{self, Jobs, Transport},
    store::Journal,
};

/// Which shard, and what is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPlace {
    /// The stage, by its index in the topology.
    pub stage: u16,
    /// Which shard of it.
    pub shard: u16,
    /// Its name in reports.
    pub name: String,
    /// The folder for what does not fit into memory.
    pub scratch: PathBuf,
}

/// Restores a shard from its journal and runs it until its transport ends.
///
/// # Errors
/// As the runner's, but a stop is none; and where the journal can't be read.
pub fn run_shard(
    membership: &Arc<Membership>,
    topology: &Arc<Topology>,
    place: &ShardPlace,
    journal: &mut Journal,
    transport: &mut dyn Transport,
) -> Result<(), WorkerError> {
    let mut jobs = jobs_of(membership, place, journal);
    let scratch = place.scratch.clone();
    let make = Box::new(move || -> Box<dyn Scratch> { Box::new(FileScratch::new(&scratch)) });
    let mut node = ShardNode::new(topology.clone(), place.stage, place.shard, make);
    unless_stopped(restore(&mut node, journal, &mut jobs))?;
    unless_stopped(runner::run(&mut node, transport, journal, &mut jobs))
}

/// Deletes what the journal has of jobs that ended while the shard was away.
///
/// # Errors
/// Where the journal can't be changed, or it can't be known which jobs live.
pub(crate) fn forget_ended(
    membership: &Arc<Membership>,
    place: &ShardPlace,
    journal: &mut Journal,
) -> Result<(), WorkerError> {
    let mut jobs = jobs_of(membership, place, journal);
    for job in journal.jobs()? {
        if membership.live().knows(job) != Known::Lives {
            runner::Store::forget(journal, job)?;
            unless_stopped(jobs.forgotten(job))?;
        }
    }
    Ok(())
}

fn jobs_of(membership: &Arc<Membership>, place: &ShardPlace, journal: &Journal) -> NodeJobs {
    let keeps = Keeps { stage: place.stage, shard: place.shard, store: journal.identity() };
    membership.node(&place.name, Some(keeps))
}

/// Gives a node what its earlier life had committed. A job whose records it can't read fails.
fn restore(node: &mut ShardNode, journal: &mut Journal, jobs: &mut NodeJobs) -> Result<(), runner::RunnerError> {
    let mut failures = Vec::new();
    journal.restore(&mut |record| {
        let job = record.job();
        if failures.iter().all(|(failed, _)| *failed != job)
            && let Err(failure) = node.step(Event::Restored(record), &mut Vec::new())
        {
            failures.push((job, failure));
        }
        Ok(())
    })?;
    for (job, failure) in failures {
        if let NodeError::Topology = failure.error {
            return Err(failure.error.into()); // with its own topology the job goes on
        }
        jobs.fail(failure)?;
        node.step(Event::Forget(job), &mut Vec::new()).map_err(|failure| failure.error)?;
        runner::Store::forget(journal, job)?;
        jobs.forgotten(job)?;
    }
    Ok(())
}
