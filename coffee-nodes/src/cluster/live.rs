//! Which jobs live, as far as this process knows: told by the control exchange, asked of the query node (invariant 10).

use std::collections::{BTreeSet, VecDeque};

use coffee_core::frame::JobId;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::{Control, LiveSet};

/// Jobs that have ended lately are remembered, this many: an answer that is older than their end must not revive them.
const RECENT: usize = 1024;

/// Ends that a node has not looked at yet. What does not fit is told again.
const ENDS: usize = 1024;

/// What is known of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It lives.
    Lives,
    /// It has ended, or is none of this cluster's.
    Ended,
    /// Not minted, as far as is known here: the query node is to be asked.
    Unknown,
}

/// The live jobs of a cluster. Shared by the threads of a process.
#[derive(Debug, Default)]
pub struct LiveJobs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Its id; `None` until the query node has answered.
    cluster: Option<u64>,
    highest: u64,
    live: BTreeSet<u64>,
    recent: VecDeque<JobId>,
    watchers: Vec<Sender<JobId>>,
}

impl LiveJobs {
    /// Nothing is known until the query node has [answered](Self::answered).
    pub fn new() -> Self {
        LiveJobs::default()
    }

    /// What is known of a job.
    pub fn knows(&self, job: JobId) -> Known {
        let state = self.0.lock();
        match job.number {
            _ if state.cluster.is_none() => Known::Unknown,
            _ if state.cluster != Some(job.cluster) => Known::Ended,
            number if number > state.highest => Known::Unknown,
            number if state.live.contains(&number) => Known::Lives,
            _ => Known::Ended,
        }
    }

    /// Takes in what was told to all.
    pub fn told(&self, told: &Control) {
        match told {
            Control::Minted(job) => self.minted(*job),
            Control::Ended(job) => self.ended(*job),
            Control::Admitted(_) | Control::Attached { .. } | Control::Result { .. } => {}
        }
    }

    /// Takes in an answer of the query node. What it no longer has has ended; so has everything, where it is another
    /// cluster's now.
    pub fn answered(&self, set: &LiveSet) {
        let mut state = self.0.lock();
        let same = state.cluster == Some(set.cluster);
        if same && set.highest < state.highest {
            return; // older than what is known
        }
        let id = |number| JobId { cluster: set.cluster, number };
        let live: BTreeSet<u64> =
            set.live.iter().copied().filter(|number| !state.recent.contains(&id(*number))).collect();
        let before = std::mem::take(&mut state.live);
        let ended = before.into_iter().filter(|number| !same || !live.contains(number));
        let cluster = state.cluster.replace(set.cluster).unwrap_or(set.cluster);
        let ended: Vec<JobId> = ended.map(|number| JobId { cluster, number }).collect();
        state.highest = set.highest;
        state.live = live;
        ended.into_iter().for_each(|job| state.tell(job));
    }

    /// A job has ended.
    pub fn ended(&self, job: JobId) {
        let mut state = self.0.lock();
        if state.cluster == Some(job.cluster) {
            state.live.remove(&job.number);
        }
        if !state.recent.contains(&job) {
            state.recent.push_back(job);
            if state.recent.len() > RECENT {
                state.recent.pop_front();
            }
        }
        state.tell(job);
    }

    /// Where a node hears of the ends of jobs, also of those that it has heard of: some may be missing, and will be told
    /// again until the query node knows that they were heard.
    pub fn watch(&self) -> Receiver<JobId> {
        let (sender, receiver) = bounded(ENDS);
        self.0.lock().watchers.push(sender);
        receiver
    }

    fn minted(&self, job: JobId) {
        let mut state = self.0.lock();
        // Beyond a gap nothing is known of the numbers between: then the query node is asked when it matters.
        if Some(job.cluster) == state.cluster && job.number == state.highest + 1 {
            state.highest = job.number;
            if !state.recent.contains(&job) {
                state.live.insert(job.number);
            }
        }
    }
}

impl State {
    fn tell(&mut self, job: JobId) {
        self.watchers
            .retain(|watcher| !matches!(watcher.try_send(job), Err(crossbeam_channel::TrySendError::Disconnected(_))));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn job(number: u64) -> JobId {
        JobId { cluster: 7, number }
    }

    fn live(highest: u64, live: &[u64]) -> LiveJobs {
        let jobs = LiveJobs::new();
        assert_eq!(jobs.knows(job(1)), Known::Unknown);
        jobs.answered(&set(highest, live));
        jobs
    }

    fn set(highest: u64, live: &[u64]) -> LiveSet {
        LiveSet { cluster: 7, highest, live: live.to_vec(), topologies: BTreeMap::new() }
    }

    #[test]
    fn what_is_told_is_known() {
        let jobs = live(4, &[2, 4]);
        assert_eq!(jobs.knows(job(2)), Known::Lives);
        assert_eq!(jobs.knows(job(3)), Known::Ended);
        assert_eq!(jobs.knows(job(5)), Known::Unknown);
        assert_eq!(jobs.knows(JobId { cluster: 8, number: 2 }), Known::Ended, "another cluster's");
        jobs.told(&Control::Minted(job(5)));
        assert_eq!(jobs.knows(job(5)), Known::Lives);
        jobs.told(&Control::Minted(job(7)));
        assert_eq!(jobs.knows(job(6)), Known::Unknown, "6 may live: it was not heard of");
        assert_eq!(jobs.knows(job(7)), Known::Unknown);
        jobs.told(&Control::Ended(job(5)));
        assert_eq!(jobs.knows(job(5)), Known::Ended);
    }

    #[test]
    fn an_old_answer_revives_nothing() {
        let jobs = live(3, &[1, 2, 3]);
        let ends = jobs.watch();
        jobs.ended(job(2));
        jobs.answered(&set(3, &[1, 2, 3]));
        assert_eq!(jobs.knows(job(2)), Known::Ended);
        jobs.answered(&set(2, &[1, 2]));
        assert_eq!(jobs.knows(job(3)), Known::Lives, "older than what is known");
        jobs.answered(&set(4, &[3, 4]));
        assert_eq!((jobs.knows(job(1)), jobs.knows(job(4))), (Known::Ended, Known::Lives));
        assert_eq!(ends.try_iter().collect::<Vec<_>>(), [job(2), job(1)]);
    }

    #[test]
    fn another_cluster_ends_all() {
        let jobs = live(3, &[1, 3]);
        let ends = jobs.watch();
        jobs.answered(&LiveSet { cluster: 8, ..set(1, &[1]) });
        assert_eq!(ends.try_iter().collect::<Vec<_>>(), [job(1), job(3)]);
        assert_eq!(jobs.knows(job(3)), Known::Ended);
        assert_eq!(jobs.knows(JobId { cluster: 8, number: 1 }), Known::Lives);
    }

    #[test]
    fn an_end_that_comes_before_the_minting_counts() {
        let jobs = live(0, &[]);
        jobs.ended(job(1));
        jobs.told(&Control::Minted(job(1)));
        assert_eq!(jobs.knows(job(1)), Known::Ended);
    }
}
