//! The counters of a process: one set a loop, shared by whoever counts and whoever shows.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use coffee_core::{
    frame::JobId,
    plan::{OperatorKind, Role, Topology},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::{LoopStatistics, Work, histogram::Histogram};
use crate::trail::Trail;

/// What gateways count the work of their entry threads as, which is no stage's name.
pub(crate) const GATEWAY: &str = "gateway";

/// The most jobs that a loop counts by; of more, the oldest is dropped.
const JOBS: usize = 64;

/// So long what was done for a job is still told after the job's end: whoever sums up hears the last of it.
const TOLD: Duration = Duration::from_secs(10);

/// The counters of a process, which clones share. Where nothing shows them they are counted all the same.
#[derive(Clone, Debug, Default)]
pub struct Statistics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    loops: Mutex<Vec<Arc<Counters>>>,
    /// A token when there is something that should not wait.
    hurry: (Sender<()>, Receiver<()>),
}

impl Default for Shared {
    fn default() -> Self {
        Shared { loops: Mutex::default(), hurry: bounded(1) }
    }
}

impl Statistics {
    /// The counters of the loop that works for that shard of a stage; the same each time.
    pub fn stage(&self, topology: &Topology, stage: u16, shard: u16) -> Arc<Counters> {
        let name = topology.stage_name(stage);
        let place = match topology.stages().get(usize::from(stage)).map(|stage| stage.role) {
            Some(Role::Stateful { .. }) => format!("{name}.{shard}"),
            _ => name.to_owned(),
        };
        self.counters((name, shard), place, sources(topology, |of| of == stage))
    }

    /// The counters of all loops that take clients' chunks. `stage` is no stage's name.
    pub fn entry(&self, topology: &Topology, stage: &str) -> Arc<Counters> {
        let hosted = |of: u16| topology.stages().get(usize::from(of)).is_some_and(|stage| stage.hosted);
        self.counters((stage, 0), stage.to_owned(), sources(topology, hosted))
    }

    /// What all loops have counted so far.
    pub fn loops(&self) -> Vec<LoopStatistics> {
        self.0.loops.lock().iter().map(|counters| counters.now()).collect()
    }

    /// A token comes when a loop has sent the end of a stream: what it did for that is to be told soon.
    pub(super) fn hurried(&self) -> &Receiver<()> {
        &self.0.hurry.1
    }

    fn counters(&self, (stage, shard): (&str, u16), place: String, sources: Vec<u16>) -> Arc<Counters> {
        let mut all = self.0.loops.lock();
        if let Some(known) = all.iter().find(|known| known.stage == stage && known.shard == shard) {
            return known.clone();
        }
        let counters = Arc::new(Counters {
            stage: stage.to_owned(),
            shard,
            place,
            sources,
            hurry: Some(self.0.hurry.0.clone()),
            ..Counters::default()
        });
        all.push(counters.clone());
        counters
    }
}

/// The sources of some stages, by their indices in the plan.
fn sources(topology: &Topology, of: impl Fn(u16) -> bool) -> Vec<u16> {
    let read: Vec<String> = topology.sources().into_iter().filter(|at| of(at.stage)).map(|at| at.name).collect();
    let plan = topology.plan();
    let is_source = |name: &str| plan.kind_of(name) == Some(OperatorKind::Source) && read.iter().any(|at| at == name);
    (0..).zip(plan.operators()).filter(|(_, name)| is_source(name)).map(|(index, _)| index).collect()
}

/// What a loop has done, or several that do the same. Counted by any number of threads at once.
#[derive(Debug, Default)]
pub struct Counters {
    stage: String,
    shard: u16,
    /// Its name in the log.
    place: String,
    /// The operators whose counts are rows that came.
    sources: Vec<u16>,
    frames_in: AtomicU64,
    bytes_in: AtomicU64,
    frames_out: AtomicU64,
    bytes_out: AtomicU64,
    in_hand: AtomicU64,
    step: Histogram,
    confirm: Histogram,
    commit: Histogram,
    dead_letters: AtomicU64,
    work: Mutex<ByJob>,
    hurry: Option<Sender<()>>,
}

#[derive(Debug, Default)]
struct ByJob {
    all: Work,
    jobs: BTreeMap<JobId, Worked>,
}

/// What was done for a job, and when it was heard to have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Worked {
    work: Work,
    over: Option<Instant>,
}

impl Counters {
    /// What was counted so far.
    pub fn now(&self) -> LoopStatistics {
        let mut work = self.work.lock();
        work.jobs.retain(|_, job| job.over.is_none_or(|over| over.elapsed() < TOLD));
        LoopStatistics {
            stage: self.stage.clone(),
            shard: self.shard,
            frames_in: self.frames_in.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            frames_out: self.frames_out.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            in_hand: self.in_hand.load(Relaxed),
            step: self.step.now(),
            confirm: self.confirm.now(),
            commit: self.commit.now(),
            dead_letters: self.dead_letters.load(Relaxed),
            work: work.all,
            jobs: work.jobs.iter().map(|(job, worked)| (*job, worked.work)).collect(),
        }
    }

    /// What was done for a job.
    pub(crate) fn of(&self, job: JobId) -> Work {
        self.work.lock().jobs.get(&job).map(|worked| worked.work).unwrap_or_default()
    }

    /// The job has ended: it is shown for a few seconds more.
    pub(super) fn forget(&self, job: JobId) {
        if let Some(worked) = self.work.lock().jobs.get_mut(&job) {
            worked.over.get_or_insert_with(Instant::now);
        }
    }

    /// What was counted of late should be told soon.
    pub(super) fn hurry(&self) {
        let _ = self.hurry.as_ref().map(|hurry| hurry.try_send(())); // full: it will be, anyway
    }

    /// The beginning of a line of the log about a job here.
    pub(super) fn trail(&self, job: JobId) -> Trail<'_> {
        Trail::stage(job, &self.place)
    }

    pub(super) fn sources(&self) -> &[u16] {
        &self.sources
    }

    pub(super) fn came(&self, bytes: usize) {
        self.frames_in.fetch_add(1, Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
        self.in_hand.fetch_add(1, Relaxed);
    }

    pub(super) fn went(&self, bytes: usize) {
        self.frames_out.fetch_add(1, Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn let_go(&self, frames: u64) {
        self.in_hand.fetch_sub(frames, Relaxed);
    }

    pub(super) fn gave_up(&self) {
        self.dead_letters.fetch_add(1, Relaxed);
    }

    pub(super) fn stepped(&self, took: Duration) {
        self.step.count(took);
    }

    pub(super) fn confirmed(&self, took: Duration) {
        self.confirm.count(took);
    }

    pub(super) fn committed(&self, took: Duration) {
        self.commit.count(took);
    }

    /// So much more was done; true where it is the first that is known of the job.
    pub(super) fn worked(&self, job: JobId, more: Work) -> bool {
        let mut work = self.work.lock();
        work.all += more;
        let known = work.jobs.len();
        work.jobs.entry(job).or_default().work += more;
        let first = work.jobs.len() > known;
        if work.jobs.len() > JOBS {
            let over = work.jobs.iter().find(|(_, worked)| worked.over.is_some());
            let oldest = over.or_else(|| work.jobs.first_key_value()).map(|(job, _)| *job);
            oldest.map(|job| work.jobs.remove(&job));
        }
        first
    }

    /// So long a thread was at work on the job.
    pub(super) fn busy(&self, job: JobId, took: Duration) {
        let more = Work { busy_ns: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), ..Work::default() };
        let mut work = self.work.lock();
        work.all += more;
        if let Some(worked) = work.jobs.get_mut(&job) {
            worked.work += more;
        }
    }
}
