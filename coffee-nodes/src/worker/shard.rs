//! One shard of a stateful stage, with the state that it had before.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use coffee_core::{
    exec::Scratch,
    frame::JobId,
    node::{Event, Failure, Node, NodeError, Record, ShardNode},
    plan::Topology,
};

use super::{WorkerError, error::unless_stopped};
use crate::{
    FileScratch, Pulse,
    cluster::{Keeps, Known, Membership, NodeJobs},
    runner::{self, Jobs, MOST_DEATHS, Transport},
    statistics::{Counted, CountedStore, Counters},
    store::{Journal, Work},
    trail::Trail,
};

/// Which shard, and what is its own.
#[derive(Clone, Debug)]
pub struct ShardPlace {
    /// The stage, by its index in the topology.
    pub stage: u16,
    /// Which shard of it.
    pub shard: u16,
    /// Its name in reports.
    pub name: String,
    /// The folder for what does not fit into memory.
    pub scratch: PathBuf,
    /// Beats while it works; the same as its transport's.
    pub pulse: Pulse,
    /// Where its work is counted.
    pub counters: Arc<Counters>,
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
    let mut jobs = jobs_of(membership, place, journal).counting_deaths(&place.scratch.join("attempts"));
    let scratch = place.scratch.clone();
    let make = Box::new(move || -> Box<dyn Scratch> { Box::new(FileScratch::new(&scratch)) });
    let mut node = ShardNode::new(topology.clone(), place.stage, place.shard, make).giving_up();
    unless_stopped(jobs.returned())?;
    unless_stopped(restore(&mut node, journal, &mut jobs, &place.pulse))?;
    let mut transport = Counted::new(transport, &place.counters);
    let mut store = CountedStore { store: journal, counters: &place.counters };
    unless_stopped(runner::run(&mut node, &mut transport, &mut store, &mut jobs))
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
    membership.node(&place.name, Some(keeps)).pulse(place.pulse.clone())
}

fn restore_record(node: &mut ShardNode, record: Record, jobs: &mut NodeJobs) -> Result<(), Failure> {
    let Record::Frame { job, ref body } = record else { return node.step(Event::Restored(record), &mut Vec::new()) };
    let work = Work::frame(job, body);
    if runner::is_deadly(jobs, work) {
        return Err(Failure { job: Some(job), tag: None, error: NodeError::Deadly(MOST_DEATHS) });
    }
    runner::attempt(jobs, work, || node.step(Event::Restored(record), &mut Vec::new()))
}

/// Gives a node what its earlier life had committed. A job whose records it can't read fails.
fn restore(
    node: &mut ShardNode,
    journal: &mut Journal,
    jobs: &mut NodeJobs,
    pulse: &Pulse,
) -> Result<(), runner::RunnerError> {
    let (mut failures, mut restored) = (Vec::new(), BTreeMap::<JobId, u64>::new());
    journal.restore(&mut |record| {
        pulse.beat();
        let job = record.job();
        *restored.entry(job).or_default() += 1;
        if failures.iter().any(|(failed, _)| *failed == job) {
            return Ok(());
        }
        if let Err(failure) = restore_record(node, record, jobs) {
            failures.push((job, failure));
        }
        Ok(())
    })?;
    for (job, records) in restored {
        log::info!("{} goes on with {records} records of an earlier life", Trail::node(job, jobs.name()));
    }
    for (job, failure) in failures {
        if runner::is_of_the_node(&failure.error) {
            return Err(failure.error.into()); // with its own topology, or with room, the job goes on
        }
        jobs.fail(failure)?;
        node.step(Event::Forget(job), &mut Vec::new()).map_err(|failure| failure.error)?;
        runner::Store::forget(journal, job)?;
        jobs.forgotten(job)?;
    }
    Ok(())
}
