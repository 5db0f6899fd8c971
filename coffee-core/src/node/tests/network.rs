//! A network of nodes in one thread, which reorders and repeats, and whose nodes die.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use super::super::*;
use crate::{
    codec,
    coverage::Coverage,
    exec::{MemoryScratch, Scratch},
    frame::{Count, FrameReader, PartMeta, Port, Stream},
    hash,
    operator::Row,
    plan::{Role, Topology},
};

/// A network of nodes: each delivery, idle moment, repetition and death is drawn from a seed.
pub struct Network {
    topology: Arc<Topology>,
    random: u64,
    /// One in so many actions is a node's last; none for 0.
    deaths: usize,
    queues: BTreeMap<Target, Vec<Bytes>>,
    pub results: BTreeMap<Port, Arrived>,
    pub counts: BTreeMap<u16, Count>,
    /// The stage some of whose frames are given up.
    pub deadly: Option<u16>,
    /// The batches that people are told of.
    pub lost: BTreeSet<(Stream, u64)>,
    tag: u64,
}

/// A result at the client.
#[derive(Default)]
pub struct Arrived {
    pieces: BTreeMap<u64, Vec<u8>>,
    coverage: Coverage,
    batches: Option<u64>,
    pub failed: Option<Loss>,
}

/// A node, what its store has, and what it has not acked.
struct Seat {
    target: Target,
    node: Box<dyn Node>,
    store: Vec<Record>,
    unacked: BTreeMap<Tag, Bytes>,
    /// What people are told of, though it is not confirmed yet; and whether it is of a delivery.
    letters: BTreeMap<PublishId, bool>,
}

impl Seat {
    fn new(topology: &Arc<Topology>, target: Target) -> Self {
        let (store, unacked, letters) = Default::default();
        Seat { target, node: make_node(topology, target), store, unacked, letters }
    }

    /// Its next life: only what is committed is known.
    fn revive(&mut self, topology: &Arc<Topology>) {
        self.node = make_node(topology, self.target);
        self.letters.clear();
        let (marks, frames): (Vec<_>, Vec<_>) =
            self.store.iter().cloned().partition(|record| matches!(record, Record::Emitted { .. }));
        for record in marks.into_iter().chain(frames) {
            let mut actions = Vec::new();
            self.node.step(Event::Restored(record), &mut actions).unwrap();
            assert!(actions.is_empty(), "what is restored is not acked, published or committed");
        }
    }
}

fn make_node(topology: &Arc<Topology>, target: Target) -> Box<dyn Node> {
    let Target::Stage { stage, shard } = target else { return Box::new(EntryNode::new(topology.clone()).giving_up()) };
    match topology.stages()[usize::from(stage)].role {
        Role::Stateless { .. } => Box::new(WorkerNode::new(topology.clone()).giving_up()),
        Role::Stateful { .. } => {
            let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
            Box::new(ShardNode::new(topology.clone(), stage, shard, scratch).giving_up())
        }
    }
}

impl Network {
    pub fn new(topology: &Arc<Topology>, seed: u64, deaths: usize) -> Self {
        let (queues, results, counts, lost) = Default::default();
        Network {
            topology: topology.clone(),
            random: seed | 1,
            deaths,
            queues,
            results,
            counts,
            deadly: None,
            lost,
            tag: 0,
        }
    }

    fn seats(&self) -> Vec<Seat> {
        let stages = (0..).zip(self.topology.stages()).filter(|(_, stage)| !stage.hosted);
        let targets = stages.flat_map(|(stage, placed)| match placed.role {
            Role::Stateless { replicas } => vec![Target::Stage { stage, shard: 0 }; replicas.into()],
            Role::Stateful { shards } => (0..shards).map(|shard| Target::Stage { stage, shard }).collect(),
        });
        targets.map(|target| Seat::new(&self.topology, target)).collect()
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        (hash::fixed(&self.random) % below.max(1) as u64) as usize
    }

    /// Feeds chunks in any order through two entries, then lets the nodes work until nothing is left.
    pub fn run(&mut self, mut chunks: Vec<Bytes>) {
        let deaths = std::mem::take(&mut self.deaths); // where chunks come in, whoever sent them sends them again
        let mut entries: Vec<Seat> = (0..2).map(|_| Seat::new(&self.topology, Target::Client)).collect();
        while !chunks.is_empty() {
            let chosen = self.draw(chunks.len());
            let body = chunks.swap_remove(chosen);
            if self.draw(6) == 0 {
                chunks.push(body.clone());
            }
            let entry = self.draw(2);
            self.deliver(&mut entries[entry], body);
        }
        for entry in &mut entries {
            while {
                self.step(entry, Event::Idle);
                !entry.letters.is_empty()
            } {}
            assert!(entry.unacked.is_empty(), "every chunk is acked in the end");
        }
        self.deaths = deaths;
        self.settle();
    }

    fn settle(&mut self) {
        let mut seats = self.seats();
        let mut quiet = 0;
        while quiet < 3 {
            quiet += 1;
            for _ in 0..seats.len() * 3 {
                let at = self.draw(seats.len());
                let seat = &mut seats[at];
                match self.take(seat.target) {
                    Some(body) => self.deliver(seat, body),
                    None => self.step(seat, Event::Idle),
                }
            }
            for seat in &mut seats {
                self.step(seat, Event::Idle);
            }
            if self.queues.values().any(|queue| !queue.is_empty()) || seats.iter().any(|seat| !seat.letters.is_empty())
            {
                quiet = 0;
            }
        }
        assert!(seats.iter().all(|seat| seat.unacked.is_empty()), "every delivery is acked in the end");
        for (seat, job) in seats.iter_mut().flat_map(|seat| seat.store.first().map(Record::job).map(|job| (seat, job)))
        {
            let operators = seat.store.iter().filter(|record| matches!(record, Record::Emitted { .. })).count();
            assert!(operators > 0, "every emission is marked in the end");
            self.step(seat, Event::Forget(job));
        }
    }

    /// Any message of a queue; sometimes it stays there as well, as after a lost ack.
    fn take(&mut self, target: Target) -> Option<Bytes> {
        let waiting = self.queues.get(&target).map_or(0, Vec::len);
        let at = self.draw(waiting);
        let repeat = self.draw(8) == 0;
        let queue = self.queues.get_mut(&target).filter(|queue| !queue.is_empty())?;
        Some(if repeat { queue[at].clone() } else { queue.swap_remove(at) })
    }

    fn deliver(&mut self, seat: &mut Seat, body: Bytes) {
        self.tag += 1;
        let tag = Tag(self.tag);
        seat.unacked.insert(tag, body.clone());
        let deadly = matches!(seat.target, Target::Stage { stage, .. } if Some(stage) == self.deadly);
        if deadly && self.draw(3) == 0 {
            return self.step(seat, Event::GivenUp { tag, body, reason: "on purpose".to_owned() });
        }
        self.step(seat, Event::Delivery { tag, body });
    }

    fn step(&mut self, seat: &mut Seat, event: Event) {
        let mut events = vec![event];
        if self.draw(2) == 0 {
            events.extend(seat.letters.pop_first().map(|(id, _)| Event::Confirmed(id)));
        }
        while let Some(event) = events.pop().or_else(|| seat.node.emits().map(|_| Event::Emit)) {
            let delivered = matches!(event, Event::Delivery { .. } | Event::GivenUp { .. });
            let mut actions = Vec::new();
            seat.node.step(event, &mut actions).unwrap();
            for action in actions {
                if self.deaths > 0 && self.draw(self.deaths) == 0 {
                    return self.die(seat);
                }
                match action {
                    Action::Publish { id, to, body } => {
                        self.publish(to, body);
                        events.push(Event::Confirmed(id));
                    }
                    Action::GiveUp { id, losses, .. } => {
                        self.lost.extend(losses.iter().map(|loss| (loss.stream, loss.seq)));
                        seat.letters.insert(id, delivered);
                    }
                    Action::Commit { group, records } => {
                        assert!(
                            !seat.letters.values().any(|delivered| *delivered),
                            "what is lost is told before it is kept"
                        );
                        seat.store.extend(records);
                        events.push(Event::Committed(group));
                    }
                    Action::Ack(tag) => assert!(seat.unacked.remove(&tag).is_some(), "acked once"),
                }
            }
        }
    }

    fn die(&mut self, seat: &mut Seat) {
        self.queues.entry(seat.target).or_default().extend(std::mem::take(&mut seat.unacked).into_values());
        seat.revive(&self.topology);
    }

    fn publish(&mut self, to: Target, body: Bytes) {
        if to != Target::Client {
            return self.queues.entry(to).or_default().push(body);
        }
        let mut reader = FrameReader::new(&body).unwrap();
        while let Some(part) = reader.part().unwrap() {
            let result = self.results.entry(part.meta.port()).or_default();
            let counts = match part.meta {
                PartMeta::Rows { seq, counts, .. } if result.coverage.insert(seq) => {
                    result.pieces.insert(seq, part.payload.to_vec());
                    counts
                }
                PartMeta::Rows { seq, .. } => {
                    assert_eq!(result.pieces[&seq], part.payload, "what is emitted again is the same");
                    Vec::new()
                }
                PartMeta::Empty { seqs, .. } => {
                    result.coverage.extend(&seqs);
                    Vec::new()
                }
                PartMeta::End { batches, counts, failed, .. } => match result.batches.replace(batches) {
                    None => {
                        result.failed = failed;
                        counts
                    }
                    known => {
                        assert_eq!(known, Some(batches));
                        Vec::new()
                    }
                },
                PartMeta::Lost { .. } => panic!("nothing is lost"),
            };
            counts.iter().for_each(|count| self.counts.entry(count.operator).or_default().add(count));
        }
    }

    pub fn rows<R: Row>(&self, sink: &str) -> Vec<R> {
        let Arrived { pieces, coverage, batches, failed } = &self.results[&self.topology.port_of(sink).unwrap()];
        assert!(batches.is_some_and(|batches| coverage.is_exactly(batches)), "{sink} is complete");
        assert_eq!(failed, &None, "{sink} has not failed");
        let bytes = pieces.values().flatten().copied().collect::<Vec<u8>>();
        let (mut bytes, mut rows) = (bytes.as_slice(), Vec::new());
        while !bytes.is_empty() {
            rows.push(codec::decode(&mut bytes).unwrap());
        }
        rows
    }
}
