//! How far the shards are with each job, and what becomes of a job that stands still (invariant 9).

use std::{collections::BTreeMap, time::Duration};

use coffee_core::frame::JobId;

use super::{Desk, Entry, Now, ending::own_report};
use crate::{
    cluster::Working,
    query::{
        effects::Effects,
        record::{Phase, Shard},
    },
};

/// A session that has not spoken for its client for so long waits for the client.
const SPOKEN: Duration = Duration::from_secs(15);

/// Shards that are named when a job is given up.
const MOST_NAMED: usize = 8;

/// What is known of a job's progress. A restart begins it anew.
pub(super) struct Course {
    /// When something last went on, by the clock of [`Hearing`](super::hearing::Hearing).
    moved: Duration,
    shards: BTreeMap<Shard, Seen>,
}

#[derive(Default)]
struct Seen {
    /// The most that it said; a shard that begins anew counts from less.
    steps: u64,
    lacks: String,
}

impl Course {
    pub fn new(heard: Duration) -> Self {
        Course { moved: heard, shards: BTreeMap::new() }
    }

    /// Something of the job went on.
    pub fn moved(&mut self, heard: Duration) {
        self.moved = heard;
    }
}

impl Desk {
    /// A shard says how far it is with its jobs.
    pub(super) fn work(&mut self, shard: Shard, jobs: Vec<Working>, now: Now) {
        let heard = self.hearing.so_far(now.instant);
        if !self.rules.shards.contains(&shard) {
            return;
        }
        for Working { job, steps, lacks } in jobs {
            let Ok(entry) = self.entry(job) else { continue };
            let seen = entry.course.shards.entry(shard).or_default();
            seen.lacks = lacks;
            if steps > seen.steps {
                seen.steps = steps;
                entry.course.moved(heard);
            }
        }
    }

    /// Fails jobs that wait neither for their clients nor for a disk, and on which nothing has gone on for too long.
    pub(super) fn fail_stuck(&mut self, now: Now, effects: &mut Effects) {
        let (limit, heard) = (self.rules.progress_timeout, self.hearing.so_far(now.instant));
        // Under another topology it waits for people: for the cluster that it was begun in, or to be cancelled (invariant 7).
        let (held, version) = (self.is_held(now), self.rules.version());
        let waits_for_client =
            |entry: &Entry| !entry.progress.is_uploaded() && heard.saturating_sub(entry.renewed) >= SPOKEN;
        let stuck = self.jobs.iter_mut().filter_map(|(number, entry)| {
            let ours = entry.minted.topology == version;
            if held || !ours || entry.progress.phase != Phase::Running || waits_for_client(entry) {
                entry.course.moved(heard);
            }
            (heard.saturating_sub(entry.course.moved) >= limit).then_some(*number)
        });
        let stuck: Vec<JobId> = stuck.collect::<Vec<_>>().into_iter().map(|number| self.id(number)).collect();
        for job in stuck {
            let text = format!("nothing went on for {} s: {}", limit.as_secs(), self.lacking(job));
            // It is known, so this can't be refused.
            let _ = self.fail(job, own_report(job, text, now), now, effects);
        }
    }

    /// Who waits for what.
    fn lacking(&self, job: JobId) -> String {
        let shards = self.jobs.get(&job.number).map(|entry| &entry.course.shards);
        let lacking = shards.into_iter().flatten().filter(|(_, seen)| !seen.lacks.is_empty());
        let named = lacking.map(|(shard, seen)| format!("{} lacks {}", self.rules.name_of(*shard), seen.lacks));
        let named: Vec<String> = named.take(MOST_NAMED).collect();
        if named.is_empty() { "no shard has said what it waits for".to_owned() } else { named.join("; ") }
    }
}
