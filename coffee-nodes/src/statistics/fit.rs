//! Makes an overview fit one message, however large its cluster is: what has no room is left out, and counted.

use serde::Serialize;

use super::{
    JobView, Overview,
    overview::{MOST_ERRORS, MOST_JOBS, MOST_NODES, MOST_STAGES},
};

/// The most encoded bytes of each part of an overview.
const NODES: usize = 320 << 10;
const QUEUES: usize = 256 << 10;
const STAGES: usize = 192 << 10;
const JOBS: usize = 128 << 10;
const ERRORS: usize = 96 << 10;
const STALE: usize = 4 << 10;

/// The most bytes of one: its parts, and the little that is in none of them.
pub(crate) const MOST_BYTES: usize = NODES + QUEUES + STAGES + JOBS + ERRORS + STALE + (4 << 10);

impl Overview {
    /// Leaves out what has no room: the last nodes and queues, the oldest jobs and errors, and of each job the last stages.
    #[must_use]
    pub(crate) fn fit(mut self) -> Self {
        let left_out = [
            keep(&mut self.nodes, MOST_NODES, NODES),
            keep(&mut self.queues, MOST_NODES, QUEUES),
            keep_stages(&mut self.jobs),
            keep_newest(&mut self.jobs, MOST_JOBS, JOBS + STAGES),
            keep_newest(&mut self.errors, MOST_ERRORS, ERRORS),
        ];
        self.left_out = left_out.iter().map(|count| *count as u64).sum();
        if let Some(why) = &mut self.stale {
            why.truncate(why.floor_char_boundary(STALE));
        }
        self
    }
}

/// Each job that is worked on has the same room for its stages.
fn keep_stages(jobs: &mut [JobView]) -> usize {
    let room = STAGES / jobs.iter().filter(|job| !job.stages.is_empty()).count().max(1);
    jobs.iter_mut().map(|job| keep(&mut job.stages, MOST_STAGES, room)).sum()
}

fn keep_newest<T: Serialize>(items: &mut Vec<T>, most: usize, bytes: usize) -> usize {
    items.reverse();
    let dropped = keep(items, most, bytes);
    items.reverse();
    dropped
}

/// Keeps the first items, at most so many of at most so many bytes; how many others there were.
fn keep<T: Serialize>(items: &mut Vec<T>, most: usize, bytes: usize) -> usize {
    let mut room = bytes;
    let fits = |item: &&T| {
        let left = postcard::to_stdvec(item).ok().and_then(|encoded| room.checked_sub(encoded.len()));
        room = left.unwrap_or_default();
        left.is_some()
    };
    let kept = items.iter().take(most).take_while(fits).count();
    let dropped = items.len() - kept;
    items.truncate(kept);
    dropped
}

#[cfg(test)]
mod tests {
    use coffee_core::frame::JobId;

    use super::*;
    use crate::{
        cluster::ClusterNode,
        job::{ErrorReport, JobState, JobSummary},
        statistics::{Board, Identity, NodeStatistics, QueueView, StageWork, Work},
    };

    /// So many of everything, with names of so many bytes.
    fn overview(count: usize, bytes: usize) -> Overview {
        let name = |number: usize| format!("{number:0bytes$}");
        let (mut board, now) = (Board::default(), std::time::Instant::now());
        for number in 0..count.min(MOST_NODES) {
            let mut identity = Identity::of(&ClusterNode::Query, u64::MAX);
            identity.name = format!("{number:0width$}", width = bytes.min(255));
            board.note(NodeStatistics::now(&identity, now), now);
        }
        let summary = |number: usize| JobSummary {
            job: JobId { cluster: u64::MAX, number: number as u64 },
            state: JobState::Running,
            minted_ms: u64::MAX,
            ended_ms: None,
            bytes: u64::MAX,
            chunks: u64::MAX,
            uploaded: true,
            without: vec![name(number)],
            owner: None,
        };
        let work = Work { batches: u64::MAX, rows: u64::MAX, parts: u64::MAX, passed: u64::MAX, busy_ns: u64::MAX };
        let stages = |count: usize| (0..count).map(|number| StageWork { stage: name(number), work }).collect();
        Overview {
            nodes: board.nodes(now),
            queues: (0..count).map(|number| QueueView { name: name(number), ..QueueView::default() }).collect(),
            jobs: (0..count.min(300))
                .map(|job| JobView { summary: summary(job), stages: stages(count.min(400)) })
                .collect(),
            errors: (0..count).map(|number| ErrorReport::now(&name(number), None, name(number))).collect(),
            stale: Some("\u{e9}".repeat(100 * bytes)),
            ..Overview::default()
        }
    }

    #[test]
    fn what_has_no_room_is_left_out_and_counted() {
        let small = overview(5, 9);
        assert_eq!(small.clone().fit(), small);
        for (count, bytes) in [(3_000, 1), (3_000, 255), (100, 60_000)] {
            let all = overview(count, bytes);
            let shown = all.clone().fit();
            let encoded = postcard::to_stdvec(&shown).unwrap();
            assert!(encoded.len() <= MOST_BYTES, "{} bytes", encoded.len());
            assert_eq!(postcard::from_bytes::<Overview>(&encoded).as_ref(), Ok(&shown), "it can be read");
            assert!(shown.left_out > 0);
            assert!(bytes > 255 || (!shown.nodes.is_empty() && !shown.jobs.is_empty() && !shown.errors.is_empty()));
            assert_eq!(shown.errors.last(), all.errors.last().filter(|_| bytes <= 255), "the newest");
        }
    }
}
