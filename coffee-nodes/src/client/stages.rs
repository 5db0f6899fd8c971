//! How far the stages of a job are: batches that came, of those that will.
//!
//! The gateway says what was done, and how many batches a chunk of each table makes where (`gateway/session/inputs.rs`); how many
//! chunks there are the client knows, who cuts them.

use std::time::Duration;

use crate::statistics::FedWork;

/// All of it, in thousandths.
const ALL: u16 = 1000;

/// How far a stage is with a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageProgress {
    /// The stage; `gateway` is where chunks come in, with the hosted stages.
    pub stage: String,
    /// Batches that came, as far as is known. What nodes do again after a death counts again.
    pub batches: u64,
    /// Batches that will come: about, until all data is sent. `None` where that is not known.
    pub expected: Option<u64>,
    /// The share that came, in thousandths; never falls. 1000 once the job is done, and not before; `None` where it is not known.
    pub share: Option<u16>,
    /// Time of threads at work on it.
    pub busy: Duration,
}

/// How far the stages are, as it was heard.
#[derive(Debug, Default)]
pub(super) struct Stages(Vec<StageProgress>);

impl Stages {
    /// So much was done by now; each table has so many chunks, as far as that is known.
    pub fn heard(&mut self, stages: Vec<FedWork>, chunks: &[Option<u64>]) {
        for FedWork { stage, work, chunks: made } in stages {
            let at = self.0.iter().position(|known| known.stage == stage).unwrap_or(self.0.len());
            if at == self.0.len() {
                self.0.push(StageProgress { stage, ..StageProgress::default() });
            }
            let Some(known) = self.0.get_mut(at) else { continue };
            // What is not heard of any more, or by another gateway, was done all the same.
            known.batches = known.batches.max(work.batches);
            known.busy = known.busy.max(work.busy());
            known.expected = expected(&made, chunks).or(known.expected);
            known.share = known.expected.map(|all| share(known.batches, all).max(known.share.unwrap_or(0)));
        }
    }

    /// The job is done, and all of it.
    pub fn done(&mut self) {
        self.0.iter_mut().for_each(|stage| stage.share = Some(ALL));
    }

    /// How far they are, in the order of the topology; none where nothing was heard.
    pub fn known(&self) -> &[StageProgress] {
        &self.0
    }
}

/// How many batches come, where so many are made by each chunk of a table.
fn expected(made: &[u64], chunks: &[Option<u64>]) -> Option<u64> {
    if made.is_empty() {
        return None;
    }
    let mut tables = made.iter().enumerate().filter(|(_, batches)| **batches > 0);
    tables.try_fold(0_u64, |sum, (table, batches)| {
        Some(sum.saturating_add(batches.saturating_mul(chunks.get(table).copied()??)))
    })
}

/// In thousandths, and never all: what came may have come before.
fn share(came: u64, all: u64) -> u16 {
    let share = u128::from(came) * u128::from(ALL) / u128::from(all.max(1));
    u16::try_from(share).unwrap_or(ALL).min(ALL - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Work;

    /// Two stages, of which chunks of two tables feed the first.
    fn work(batches: u64, busy_ns: u64) -> Vec<FedWork> {
        let work = Work { batches, busy_ns, ..Work::default() };
        let stage = |stage: &str, chunks| FedWork { stage: stage.into(), work, chunks };
        vec![stage("groups", vec![2, 0]), stage("tops", Vec::new())]
    }

    #[test]
    fn a_share_never_falls_and_is_no_whole_before_the_end() {
        let mut stages = Stages::default();
        let mut after = |batches, chunks| {
            stages.heard(work(batches, 7), &[chunks, None]);
            let groups = &stages.known()[0];
            (groups.batches, groups.expected, groups.share)
        };
        assert_eq!(after(1, None), (1, None, None));
        assert_eq!(after(5, Some(10)), (5, Some(20), Some(250)));
        assert_eq!(after(5, Some(20)), (5, Some(40), Some(250)), "there is more to come than was thought");
        assert_eq!(after(3, None), (5, Some(40), Some(250)), "a connection was lost, a node has not said all");
        assert_eq!(after(40, Some(20)).2, Some(999));
        assert_eq!(after(u64::MAX, Some(0)).2, Some(999), "came again");
        let tops = StageProgress {
            stage: "tops".into(),
            batches: u64::MAX,
            busy: Duration::from_nanos(7),
            ..Default::default()
        };
        assert_eq!(stages.known()[1], tops, "it is not known what comes");
        stages.done();
        assert!(stages.known().iter().all(|stage| stage.share == Some(1000)));
        let mut silent = Stages::default();
        silent.done();
        assert!(silent.known().is_empty());
    }

    #[test]
    fn what_comes_is_known_once_all_tables_that_feed_a_stage_are() {
        assert_eq!(expected(&[4, 2, 0], &[Some(10), Some(7), None]), Some(54));
        assert_eq!(expected(&[4, 2], &[Some(10), None]), None);
        assert_eq!(expected(&[4, 2], &[Some(10)]), None);
        assert_eq!(expected(&[], &[Some(10)]), None);
        assert_eq!(expected(&[u64::MAX], &[Some(10)]), Some(u64::MAX));
    }
}
