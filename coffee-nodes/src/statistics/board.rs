//! What was heard of all nodes last, and what follows from that: who is alive, and how fast. Without I/O and clock.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::{Duration, Instant},
};

use coffee_core::frame::JobId;

use super::{
    LoopStatistics, NodeStatistics, NodeView, StageWork, Work,
    overview::{MOST_NODES, MOST_STAGES},
};

/// A node that was not heard for so long is not alive: two of its words may be lost.
const SILENT: Duration = Duration::from_secs(3);

/// Two words of a node that are less apart, in milliseconds, say little of how fast it is: it speaks once more when a stream ends.
const CLOSE_MS: u64 = 500;

/// So long a node is remembered that is not heard.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The most that is remembered of a node's earlier lives, by job and stage.
const EARLIER: usize = 256;

/// What was heard of all nodes.
#[derive(Debug, Default)]
pub struct Board(BTreeMap<String, Record>);

#[derive(Debug)]
struct Record {
    heard: Instant,
    latest: NodeStatistics,
    /// The one before, where it is of the same life.
    before: Option<NodeStatistics>,
    /// Lives that began after the first that was heard.
    restarts: u32,
    /// The life before the latest, which is over, as long as it is not heard again.
    replaced: Option<u64>,
    /// When a life was heard that had been replaced.
    doubled: Option<Instant>,
    /// What its earlier lives did for jobs.
    earlier: BTreeMap<(JobId, String), Work>,
}

/// Frames that pass through the loops of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Came and not acked.
    pub in_hand: u64,
    /// Came, a second.
    pub rate: u64,
}

impl Board {
    /// A node says how it is.
    pub fn note(&mut self, said: NodeStatistics, now: Instant) {
        self.0.retain(|_, record| now.saturating_duration_since(record.heard) < REMEMBERED);
        let room = self.0.len() < MOST_NODES;
        match self.0.entry(said.identity.name.clone()) {
            Entry::Occupied(mut known) => known.get_mut().note(said, now),
            Entry::Vacant(place) if room => {
                let (before, earlier) = (None, BTreeMap::new());
                let (replaced, doubled) = (None, None);
                place.insert(Record { heard: now, latest: said, before, restarts: 0, replaced, doubled, earlier });
            }
            Entry::Vacant(_) => {}
        }
    }

    /// All nodes, by name.
    pub fn nodes(&self, now: Instant) -> Vec<NodeView> {
        self.0.values().map(|record| record.view(now)).collect()
    }

    /// What passes through the loops of one shard of a stage, or of all its replicas.
    pub fn flow(&self, stage: &str, shard: u16, now: Instant) -> Flow {
        let of = |it: &&LoopStatistics| it.stage == stage && it.shard == shard;
        let alive = self.0.values().filter(|record| record.is_alive(now));
        let loops = alive.filter_map(|record| {
            let counted = record.latest.loops.iter().find(of)?;
            let before = record.before.as_ref().and_then(|before| before.loops.iter().find(of));
            let rate = before.map_or(0, |before| record.rate(counted.frames_in, before.frames_in));
            Some(Flow { in_hand: counted.in_hand, rate })
        });
        loops.fold(Flow::default(), |sum, flow| Flow {
            in_hand: sum.in_hand.saturating_add(flow.in_hand),
            rate: sum.rate.saturating_add(flow.rate),
        })
    }

    /// What was done for a job, by stage.
    pub fn work(&self, job: JobId) -> Vec<StageWork> {
        self.work_with(job, "", &[])
    }

    /// The same, where more is known of a node than what was heard of it: what its loops have done by now.
    pub fn work_with(&self, job: JobId, node: &str, loops: &[LoopStatistics]) -> Vec<StageWork> {
        let mut stages = BTreeMap::<&str, Work>::new();
        for (name, record) in &self.0 {
            let known = if name == node { loops } else { &record.latest.loops };
            let now = known.iter().flat_map(|it| it.jobs.iter().map(|done| (it.stage.as_str(), done)));
            for (stage, (of, work)) in now {
                if *of == job {
                    *stages.entry(stage).or_default() += *work;
                }
            }
            for ((of, stage), work) in &record.earlier {
                if *of == job {
                    *stages.entry(stage).or_default() += *work;
                }
            }
        }
        let stages = stages.into_iter().map(|(stage, work)| StageWork { stage: stage.to_owned(), work });
        stages.take(MOST_STAGES).collect()
    }

    /// These jobs live: what earlier lives did for others is of no more use.
    pub fn keep_jobs(&mut self, lives: impl Fn(JobId) -> bool) {
        self.0.values_mut().for_each(|record| record.earlier.retain(|(job, _), _| lives(*job)));
    }
}

impl Record {
    fn note(&mut self, said: NodeStatistics, now: Instant) {
        self.heard = now;
        let last = std::mem::replace(&mut self.latest, said);
        if last.identity.life == self.latest.identity.life {
            let since = |word: &NodeStatistics| self.latest.uptime_ms.saturating_sub(word.uptime_ms);
            if self.before.as_ref().is_none_or(|before| since(&last) >= CLOSE_MS || since(before) >= 6 * CLOSE_MS) {
                self.before = Some(last);
            }
            return;
        }
        self.before = None;
        let is_back = self.replaced.replace(last.identity.life) == Some(self.latest.identity.life);
        if is_back {
            // Both are there, and neither is a restart: what they did is not to be counted each time.
            self.doubled = Some(now);
            return;
        }
        self.restarts = self.restarts.saturating_add(1);
        for LoopStatistics { stage, jobs, .. } in last.loops {
            for (job, work) in jobs {
                *self.earlier.entry((job, stage.clone())).or_default() += work;
                if self.earlier.len() > EARLIER {
                    self.earlier.pop_first(); // of the oldest job
                }
            }
        }
    }

    fn is_doubled(&self, now: Instant) -> bool {
        self.doubled.is_some_and(|heard| now.saturating_duration_since(heard) < SILENT)
    }

    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) < SILENT
    }

    /// How fast a number grows that was that much before: a second, by the node's own clock.
    fn rate(&self, now: u64, before: u64) -> u64 {
        let since = self.before.as_ref().map_or(0, |before| self.latest.uptime_ms.saturating_sub(before.uptime_ms));
        now.saturating_sub(before).saturating_mul(1000).checked_div(since).unwrap_or(0)
    }

    fn view(&self, now: Instant) -> NodeView {
        let NodeStatistics { identity, leads, uptime_ms, memory, cpu_ms, broker, loops } = &self.latest;
        let alive = self.is_alive(now);
        let sum = |loops: &[LoopStatistics], of: fn(&LoopStatistics) -> u64| {
            loops.iter().map(of).fold(0, u64::saturating_add)
        };
        let rate = |of: fn(&LoopStatistics) -> u64| {
            let before = self.before.as_ref().filter(|_| alive);
            before.map_or(0, |before| self.rate(sum(loops, of), sum(&before.loops, of)))
        };
        let cpu = self.before.as_ref().filter(|_| alive).map_or(0, |before| self.rate(*cpu_ms, before.cpu_ms));
        NodeView {
            identity: identity.clone(),
            alive,
            doubled: self.is_doubled(now) && alive,
            leads: *leads && alive,
            silent_ms: u64::try_from(now.saturating_duration_since(self.heard).as_millis()).unwrap_or(u64::MAX),
            uptime_ms: *uptime_ms,
            restarts: identity.restarts.unwrap_or(self.restarts),
            rows: rate(|it| it.work.rows),
            bytes: rate(|it| it.bytes_in.saturating_add(it.bytes_out)),
            in_hand: if alive { sum(loops, |it| it.in_hand) } else { 0 },
            memory: if alive { *memory } else { 0 },
            cpu,
            commits: rate(|it| it.commit.count()),
            committing: rate(|it| it.commit.total_ns) / 1_000_000,
            dead_letters: sum(loops, |it| it.dead_letters),
            reconnects: broker.reconnects,
            replayed: broker.replayed,
            redelivered: broker.redelivered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cluster::ClusterNode,
        statistics::{BrokerStatistics, Identity},
    };

    const JOB: JobId = JobId { cluster: 1, number: 1 };

    /// A shard's words: after so long, so many rows and frames.
    fn said(life: u64, uptime_ms: u64, done: u64) -> NodeStatistics {
        let node = ClusterNode::Shard { stage: "groups".into(), index: 1 };
        let work = Work { batches: done, rows: 10 * done, ..Work::default() };
        let counted = LoopStatistics {
            stage: "groups".into(),
            shard: 1,
            frames_in: done,
            in_hand: 3,
            work,
            jobs: vec![(JOB, work)],
            ..LoopStatistics::default()
        };
        NodeStatistics {
            identity: Identity { restarts: None, ..Identity::of(&node, life) },
            leads: false,
            uptime_ms,
            memory: 1 << 20,
            cpu_ms: uptime_ms / 2,
            broker: BrokerStatistics::default(),
            loops: vec![counted],
        }
    }

    fn only(board: &Board, now: Instant) -> NodeView {
        let [node] = <[NodeView; 1]>::try_from(board.nodes(now)).unwrap();
        node
    }

    #[test]
    fn rates_are_of_two_words_of_one_life_by_the_nodes_clock() {
        let (mut board, begin) = (Board::default(), Instant::now());
        board.note(said(1, 1000, 100), begin);
        assert_eq!((only(&board, begin).rows, only(&board, begin).cpu), (0, 0));
        board.note(said(1, 3000, 300), begin + Duration::from_secs(1));
        let node = only(&board, begin + Duration::from_secs(1));
        assert_eq!((node.rows, node.cpu, node.in_hand, node.memory), (1000, 500, 3, 1 << 20));
        assert_eq!(board.flow("groups", 1, begin), Flow { in_hand: 3, rate: 100 });
        assert_eq!(board.flow("groups", 0, begin), Flow::default());
        // One that comes early, as when a stream ends, does not make a second of 20 ms.
        board.note(said(1, 3020, 320), begin + Duration::from_secs(1));
        assert_eq!(only(&board, begin).rows, 1089);
        board.note(said(1, 4000, 320), begin + Duration::from_secs(2));
        assert_eq!(only(&board, begin + Duration::from_secs(2)).rows, 0);
    }

    #[test]
    fn a_silent_node_is_dead_and_its_next_life_a_restart() {
        let (mut board, begin) = (Board::default(), Instant::now());
        board.note(said(1, 1000, 100), begin);
        let later = begin + SILENT;
        let dead = only(&board, later);
        assert_eq!((dead.alive, dead.silent_ms, dead.memory, dead.restarts), (false, 3000, 0, 0));
        assert_eq!(board.flow("groups", 1, later), Flow::default());
        board.note(said(2, 500, 10), later);
        let back = only(&board, later);
        assert_eq!((back.alive, back.restarts, back.rows, back.identity.life), (true, 1, 0, 2));
        let mut told = said(3, 500, 0);
        told.identity.restarts = Some(7);
        board.note(told, later);
        assert_eq!(only(&board, later).restarts, 7, "who starts it knows better");
        board.note(said(4, 0, 0), later + REMEMBERED - Duration::from_millis(1));
        assert_eq!(board.nodes(later).len(), 1);
    }

    #[test]
    fn two_processes_of_one_name_are_no_restarts() {
        let (mut board, begin) = (Board::default(), Instant::now());
        let at = |second: u64| begin + Duration::from_secs(second);
        for second in 0..9 {
            [1, 2].into_iter().for_each(|life| board.note(said(life, 1000 * second, 100), at(second)));
            let node = only(&board, at(second));
            assert_eq!((node.doubled, node.restarts), (second > 0, 1), "after {second} s");
        }
        assert_eq!(board.work(JOB)[0].work.batches, 200, "what both have done counts once");
        // One of them ends; and then it is started again.
        (9..12).for_each(|second| board.note(said(2, 1000 * second, 100), at(second)));
        assert_eq!((only(&board, at(12)).doubled, only(&board, at(12)).restarts), (false, 1));
        board.note(said(3, 0, 0), at(12));
        assert_eq!((only(&board, at(12)).doubled, only(&board, at(12)).restarts), (false, 2));
    }

    #[test]
    fn who_is_gone_for_good_is_forgotten() {
        let (mut board, begin) = (Board::default(), Instant::now());
        board.note(said(1, 0, 0), begin);
        let mut other = said(1, 0, 0);
        other.identity.name = "groups.0".into();
        board.note(other, begin + REMEMBERED);
        assert_eq!(only(&board, begin).name(), "groups.0");
    }

    #[test]
    fn a_jobs_work_goes_on_over_lives_and_nodes() {
        let (mut board, now) = (Board::default(), Instant::now());
        board.note(said(1, 1000, 100), now);
        board.note(said(2, 1000, 5), now);
        let mut other = said(1, 1000, 1);
        other.identity.name = "groups.0".into();
        board.note(other, now);
        let done = |board: &Board| board.work(JOB).iter().map(|stage| stage.work.batches).collect::<Vec<_>>();
        assert_eq!((done(&board), board.work(JOB)[0].stage.as_str()), (vec![106], "groups"));
        let newer = said(1, 1000, 4).loops;
        assert_eq!(board.work_with(JOB, "groups.0", &newer)[0].work.batches, 109, "in place of what was heard of it");
        board.keep_jobs(|_| false);
        assert_eq!(done(&board), [6]);
        assert!(board.work(JobId { cluster: 1, number: 2 }).is_empty());
    }
}
