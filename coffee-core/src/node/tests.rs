//! A whole topology in one thread over a network that reorders and repeats: the answer must not show it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    codec,
    coverage::Coverage,
    exec::{MemoryScratch, Scratch},
    frame::{ChunkMeta, Count, FrameReader, FrameWriter, JobHead, PartMeta, Port, Sinks, Stream},
    hash,
    operator::{AtLeast, GroupBy, Lookup, Sum, TopBy},
    plan::{Placement, Plan, PlanBuilder, Role, Topology},
    source::EncodedRows,
};

type Sale = (u8, u32);
type Name = (u8, u64, String);

/// The least large amount, how many of each parity are best, and which operator panics at [`DEADLY`].
type Asked = (u32, u8, Poison);

/// An operator that panics at a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Poison {
    Nowhere,
    /// In a stateless chain.
    Columns,
    /// Where rows set out to be summed.
    Sums,
    /// Where the best are picked: by the sender, in its emission, where it combines, else by the receiver.
    Best,
    /// In an emission.
    Named,
}

/// The amount, key or name that is poison.
const DEADLY: u8 = 7;

impl Poison {
    fn at(self, place: Poison, deadly: bool) {
        assert!(self != place || !deadly, "poisoned");
    }
}

/// Sums by key, the best few sums of each parity, joined with names; and the large sales as they are.
fn plan() -> Plan {
    let plan = PlanBuilder::<Asked>::new();
    let names = plan.source("names", |_| EncodedRows::<Name>::new());
    let sales = plan.source("sales", |_| EncodedRows::<Sale>::new());
    let large = sales.filter("large", |p: &Asked| AtLeast::new(|sale: &Sale| sale.1, p.0));
    let columns = |p: &Asked| {
        let poison = p.2;
        move |sale: &Sale| {
            poison.at(Poison::Columns, sale.0 == DEADLY);
            (sale.1, sale.0)
        }
    };
    large.map("columns", columns).sink("large-sales");
    sales
        .aggregate("sums", |p| {
            let poison = p.2;
            let amount = move |sale: &Sale| {
                poison.at(Poison::Sums, sale.0 == DEADLY);
                u64::from(sale.1)
            };
            GroupBy::new(|sale: &Sale| Some(sale.0), Sum::<_, u64>::new(amount))
        })
        .maximize("best", |p| {
            let poison = p.2;
            let parity = move |r: &(u8, u64)| {
                poison.at(Poison::Best, r.0 == DEADLY);
                r.0 % 2
            };
            TopBy::new(parity, |r: &(u8, u64)| (std::cmp::Reverse(r.1), r.0), p.1.into())
        })
        .join("named", names, |p| {
            let poison = p.2;
            let joined = move |r: &(u8, u64), n: &Name| {
                poison.at(Poison::Named, r.0 == DEADLY);
                (r.1, n.2.clone())
            };
            Lookup::new(|r: &(u8, u64)| r.0, |n: &Name| n.0, joined)
        })
        .sink("best-names");
    plan.build().unwrap()
}

fn placement(staged: bool, shards: u16, replicas: u16, combine: bool) -> Placement {
    let text = if staged {
        format!(
            r#"stage = [
                {{ name = "read", operators = ["names", "sales"], replicas = {replicas} }},
                {{ name = "filter", operators = ["large"], replicas = {replicas}, combine = {combine} }},
                {{ name = "map", operators = ["columns"], replicas = {replicas} }},
                {{ name = "sums", operators = ["sums"], shards = {shards}, combine = {combine} }},
                {{ name = "part", operators = ["best:partial"], shards = {shards} }},
                {{ name = "best", operators = ["best"], shards = {shards}, combine = {combine} }},
                {{ name = "join", operators = ["named"], shards = {shards} }},
                {{ name = "results", operators = ["large-sales", "best-names", "rejected"] }},
            ]"#
        )
    } else {
        format!(
            r#"stage = [
                {{ name = "scan", operators = ["names", "sales", "large", "columns"], hosted = true, combine = {combine} }},
                {{ name = "state", operators = ["sums"], shards = {shards} }},
                {{ name = "best", operators = ["best"] }},
                {{ name = "join", operators = ["named"], shards = {shards} }},
                {{ name = "results", operators = ["large-sales", "best-names", "rejected"] }},
            ]"#
        )
    };
    Placement::parse(&text).unwrap()
}

/// What each sink must yield, computed plainly.
type Large = (u32, u8);
type BestName = (u64, String);

fn expected(sales: &[Sale], names: &[Name], (least, limit, _): Asked) -> (Vec<Large>, Vec<BestName>) {
    let mut large: Vec<(u32, u8)> = sales.iter().filter(|sale| sale.1 >= least).map(|sale| (sale.1, sale.0)).collect();
    large.sort();
    let mut sums: BTreeMap<u8, u64> = BTreeMap::new();
    sales.iter().for_each(|sale| *sums.entry(sale.0).or_default() += u64::from(sale.1));
    let mut best = Vec::new();
    for parity in 0..2 {
        let mut group: Vec<(u8, u64)> =
            sums.iter().filter(|sum| sum.0 % 2 == parity).map(|(key, sum)| (*key, *sum)).collect();
        group.sort_by_key(|(key, sum)| (std::cmp::Reverse(*sum), *key));
        best.extend(group.into_iter().take(limit.into()));
    }
    let first = |key: u8| names.iter().find(|name| name.0 == key).map(|name| name.2.clone());
    let mut named: Vec<(u64, String)> = best.into_iter().filter_map(|(key, sum)| Some((sum, first(key)?))).collect();
    named.sort();
    (large, named)
}

/// A network of nodes: each delivery, idle moment, repetition and death is drawn from a seed.
struct Network {
    topology: Arc<Topology>,
    random: u64,
    /// One in so many actions is a node's last; none for 0.
    deaths: usize,
    queues: BTreeMap<Target, Vec<Bytes>>,
    results: BTreeMap<Port, Arrived>,
    counts: BTreeMap<u16, Count>,
    /// The stage some of whose frames are given up.
    deadly: Option<u16>,
    /// The batches that people are told of.
    lost: BTreeSet<(Stream, u64)>,
    tag: u64,
}

/// A result at the client.
#[derive(Default)]
struct Arrived {
    pieces: BTreeMap<u64, Vec<u8>>,
    coverage: Coverage,
    batches: Option<u64>,
    failed: Option<Loss>,
}

/// A node, what its store has, and what it has not acked.
struct Seat {
    target: Target,
    node: Box<dyn Node>,
    store: Vec<Record>,
    unacked: BTreeMap<Tag, Bytes>,
}

impl Seat {
    fn new(topology: &Arc<Topology>, target: Target) -> Self {
        Seat { target, node: make_node(topology, target), store: Vec::new(), unacked: BTreeMap::new() }
    }

    /// Its next life: only what is committed is known.
    fn revive(&mut self, topology: &Arc<Topology>) {
        self.node = make_node(topology, self.target);
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
    fn new(topology: &Arc<Topology>, seed: u64, deaths: usize) -> Self {
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
    fn run(&mut self, mut chunks: Vec<Bytes>) {
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
            self.step(entry, Event::Idle);
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
            if self.queues.values().any(|queue| !queue.is_empty()) {
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
        while let Some(event) = events.pop() {
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
                        events.push(Event::Confirmed(id));
                    }
                    Action::Commit { group, records } => {
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

    fn rows<R: crate::operator::Row>(&self, sink: &str) -> Vec<R> {
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

fn chunks<R: serde::Serialize>(
    topology: &Topology,
    head: &JobHead,
    source: &str,
    rows: &[R],
    size: usize,
) -> Vec<Bytes> {
    let source = topology.sources().into_iter().find(|info| info.name == source).unwrap();
    let mut frames = Vec::new();
    for (seq, rows) in (0..).zip(rows.chunks(size)) {
        let mut frame = FrameWriter::new(head, Vec::new()).unwrap();
        let meta = PartMeta::Rows { port: source.port, stream: source.stream, seq, rows: 0, counts: vec![] };
        let part = frame.open(&meta).unwrap();
        rows.iter().for_each(|row| codec::encode(row, frame.payload()).unwrap());
        ChunkMeta { file: 0, first_line: seq * size as u64, header: &[] }.append(frame.payload()).unwrap();
        frame.close(part);
        frames.push(frame.finish().into());
    }
    let mut end = FrameWriter::new(head, Vec::new()).unwrap();
    let batches = frames.len() as u64;
    end.part(&PartMeta::End { port: source.port, stream: source.stream, batches, counts: vec![], failed: None }, &[])
        .unwrap();
    frames.push(end.finish().into());
    frames
}

fn head(topology: &Topology, sinks: Sinks, asked: Asked) -> JobHead {
    let mut parameters = Vec::new();
    codec::encode(&asked, &mut parameters).unwrap();
    JobHead { job: JobId { cluster: 7, number: 1 }, topology: topology.version(), sinks, strict: false, parameters }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_answer_shows_no_order_repetition_death_replica_or_shard(
        sales in prop::collection::vec((0..12u8, 0..50u32), 0..120),
        names in prop::collection::vec((0..12u8, "[a-z]{0,3}"), 0..20),
        (staged, combine, shards, replicas) in any::<(bool, bool)>().prop_flat_map(|(s, c)| (Just(s), Just(c), 1..4u16, 1..4u16)),
        (size, asked, seed) in (1..40usize, (0..50u32, 1..6u8, Just(Poison::Nowhere)), any::<u64>()),
        deaths in prop_oneof![Just(0), 8..60usize],
    ) {
        let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(staged, shards, replicas, combine)).unwrap());
        let head = head(&topology, Sinks::ALL, asked);
        let names: Vec<Name> = names.into_iter().zip(0..).map(|((key, name), at)| (key, at, name)).collect();
        let mut frames = chunks(&topology, &head, "sales", &sales, size);
        frames.extend(chunks(&topology, &head, "names", &names, size));
        let mut network = Network::new(&topology, seed, deaths);
        network.run(frames);
        let (large, named) = expected(&sales, &names, asked);
        prop_assert_eq!(network.rows::<(u32, u8)>("large-sales"), large.clone());
        prop_assert_eq!(network.rows::<(u64, String)>("best-names"), named);

        let count = |operator: &str| {
            let at = topology.plan().operators().position(|name| name == operator).unwrap() as u16;
            network.counts.get(&at).copied().unwrap_or_default()
        };
        let keys = sales.iter().map(|sale| sale.0).collect::<BTreeSet<_>>().len() as u64;
        prop_assert_eq!((count("sales").rows_in, count("sales").rows_out), (sales.len() as u64, sales.len() as u64));
        prop_assert_eq!((count("large").rows_in, count("large").rows_out), (sales.len() as u64, large.len() as u64));
        prop_assert_eq!((count("sums").rows_in, count("sums").rows_out), (sales.len() as u64, keys));
        prop_assert_eq!(count("best").rows_in, keys);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_depends_on_a_batch_that_an_operator_panics_at_fails_and_the_rest_is_exact(
        sales in prop::collection::vec((0..12u8, 0..50u32), 0..120),
        poison in prop_oneof![Just(Poison::Columns), Just(Poison::Sums), Just(Poison::Best), Just(Poison::Named)],
        (staged, combine, shards, replicas) in (any::<bool>(), any::<bool>(), 1..4u16, 1..4u16),
        (size, least, seed) in (1..40usize, 0..50u32, any::<u64>()),
        deaths in prop_oneof![Just(0), 8..60usize],
    ) {
        let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(staged, shards, replicas, combine)).unwrap());
        let asked = (least, 6, poison);
        let head = head(&topology, Sinks::ALL, asked);
        let names: Vec<Name> = (0..12).map(|key| (key, u64::from(key), format!("name {key}"))).collect();
        let mut frames = chunks(&topology, &head, "sales", &sales, size);
        frames.extend(chunks(&topology, &head, "names", &names, size));
        let mut network = Network::new(&topology, seed, deaths);
        network.run(frames);

        let deadly = sales.iter().filter(|sale| sale.0 == DEADLY).count() > 0;
        let large_deadly = sales.iter().any(|sale| sale.0 == DEADLY && sale.1 >= least);
        // What one stage does with a chunk fails as a whole.
        let (large_fails, best_fails) = match poison {
            Poison::Nowhere => (false, false),
            Poison::Columns => (large_deadly, large_deadly && !staged),
            Poison::Sums => (deadly, deadly),
            Poison::Best | Poison::Named => (false, deadly),
        };
        let failed = |sink| network.results[&topology.port_of(sink).unwrap()].failed.is_some();
        prop_assert_eq!((failed("large-sales"), failed("best-names")), (large_fails, best_fails));
        prop_assert_eq!(network.lost.is_empty(), !large_fails && !best_fails);
        let (large, named) = expected(&sales, &names, asked);
        if !large_fails {
            prop_assert_eq!(network.rows::<(u32, u8)>("large-sales"), large);
        }
        if !best_fails {
            prop_assert_eq!(network.rows::<(u64, String)>("best-names"), named);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_depends_on_a_frame_that_is_given_up_fails_and_the_rest_is_exact(
        sales in prop::collection::vec((0..12u8, 0..50u32), 0..120),
        stage in prop_oneof![Just("read"), Just("map"), Just("sums"), Just("join")],
        (shards, replicas, size, seed) in (1..4u16, 1..4u16, 1..40usize, any::<u64>()),
        deaths in prop_oneof![Just(0), 8..60usize],
    ) {
        let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(true, shards, replicas, true)).unwrap());
        let asked = (25, 6, Poison::Nowhere);
        let head = head(&topology, Sinks::ALL, asked);
        let names: Vec<Name> = (0..12).map(|key| (key, u64::from(key), format!("name {key}"))).collect();
        let mut frames = chunks(&topology, &head, "sales", &sales, size);
        frames.extend(chunks(&topology, &head, "names", &names, size));
        let mut network = Network::new(&topology, seed, deaths);
        network.deadly = (0..).zip(topology.stages()).find(|(_, found)| found.name == stage).map(|(at, _)| at);
        network.run(frames);

        let fails = |sink: &str| network.results[&topology.port_of(sink).unwrap()].failed.is_some();
        let (large, named) = expected(&sales, &names, asked);
        let lost = !network.lost.is_empty();
        prop_assert!(lost || !fails("large-sales") && !fails("best-names"), "nothing fails unless people are told");
        match stage {
            "map" => prop_assert!(!fails("best-names")),
            // A repetition of what a shard has is not lost.
            "sums" | "join" => prop_assert_eq!((fails("large-sales"), fails("best-names")), (false, lost)),
            _ => {}
        }
        if !fails("large-sales") {
            prop_assert_eq!(network.rows::<(u32, u8)>("large-sales"), large);
        }
        if !fails("best-names") {
            prop_assert_eq!(network.rows::<(u64, String)>("best-names"), named);
        }
    }
}

#[test]
fn sinks_that_are_not_asked_for_cost_nothing() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 2, 1, true)).unwrap());
    let head = head(&topology, Sinks(1), (10, 2, Poison::Nowhere));
    let job = crate::plan::Job::new(&topology, &head).unwrap();
    let sources: Vec<String> = job.sources(&topology).into_iter().map(|source| source.name).collect();
    assert_eq!(sources, ["sales"], "names are only needed for the other sink");
    let mut network = Network::new(&topology, 3, 0);
    network.run(chunks(&topology, &head, "sales", &[(1u8, 9u32), (2, 10), (3, 11)], 2));
    assert_eq!(network.rows::<(u32, u8)>("large-sales"), [(10, 2), (11, 3)]);
    assert!(!network.results.contains_key(&topology.port_of("best-names").unwrap()));
}

#[test]
fn parts_that_no_sender_sends_are_refused() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 1, 1, true)).unwrap());
    let head = head(&topology, Sinks::ALL, (1, 2, Poison::Nowhere));
    let (at, _) = (0u16..).zip(topology.stages()).find(|(_, stage)| stage.name == "best").unwrap();
    let port = (0..20).map(Port).find(|port| topology.stage_of(*port) == Some(at)).unwrap();
    let stream = topology.streams(topology.port(port).unwrap())[0];
    let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
    let mut node = ShardNode::new(topology.clone(), at, 0, scratch);
    let mut deliver = |meta: PartMeta| {
        let mut frame = FrameWriter::new(&head, Vec::new()).unwrap();
        frame.part(&meta, &[]).unwrap();
        node.step(Event::Delivery { tag: Tag(1), body: frame.finish().into() }, &mut Vec::new())
    };
    let last = PartMeta::Rows { port, stream, seq: u64::MAX, rows: 0, counts: vec![] };
    assert!(matches!(deliver(last).unwrap_err().error, NodeError::Decode(_)));
    let end = |batches| PartMeta::End { port, stream, batches, counts: vec![], failed: None };
    deliver(end(2)).unwrap();
    deliver(end(2)).unwrap();
    assert!(matches!(deliver(end(1)).unwrap_err().error, NodeError::Disagreement(_)));
}

#[test]
fn nothing_of_a_refused_frame_goes_out_later() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 2, 1, true)).unwrap());
    let head = head(&topology, Sinks::ALL, (0, 2, Poison::Nowhere));
    let mut frames = chunks(&topology, &head, "sales", &[(1u8, 1u32), (2, 2), (3, 3), (4, 4)], 1);
    // The second frame's part behind the first's, and cut off; and a chunk that ends within a row, in a frame of its own.
    let second = frames[1].clone();
    let parts = second.len() - FrameReader::new(&second).unwrap().head_bytes().len() - 5;
    let cut = [&frames[0][..], &second[second.len() - parts..second.len() - 1]].concat();
    let run = |bad: Option<Bytes>, frames: Vec<Bytes>| {
        let mut node = WorkerNode::new(topology.clone());
        let mut published: Vec<Bytes> = Vec::new();
        for (tag, body) in (1..).map(Tag).zip(frames) {
            for body in bad.iter().chain([&body]).cloned() {
                let mut actions = Vec::new();
                let refused = node.step(Event::Delivery { tag, body }, &mut actions).is_err();
                assert!(!refused || actions.is_empty());
            }
        }
        let mut actions = Vec::new();
        node.step(Event::Idle, &mut actions).unwrap();
        published.extend(actions.into_iter().filter_map(|action| match action {
            Action::Publish { body, .. } => Some(body),
            _ => None,
        }));
        published
    };
    frames.truncate(4);
    let rest = frames.split_off(2);
    let clean = run(None, rest.clone());
    assert!(!clean.is_empty());
    assert_eq!(run(Some(cut.into()), rest), clean);
}

#[test]
fn what_does_not_fit_is_refused_and_not_acked() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(true, 2, 1, true)).unwrap());
    let mut node = WorkerNode::new(topology.clone());
    let mut deliver = |body: Bytes| {
        let mut actions = Vec::new();
        let error = node.step(Event::Delivery { tag: Tag(1), body }, &mut actions).unwrap_err().error;
        assert!(actions.is_empty());
        error
    };
    let good = head(&topology, Sinks::ALL, (1, 2, Poison::Nowhere));
    let foreign = JobHead { topology: good.topology ^ 1, ..good.clone() };
    assert!(matches!(deliver(chunks(&topology, &foreign, "sales", &[(1u8, 1u32)], 1).remove(0)), NodeError::Topology));
    assert!(matches!(deliver(Bytes::from_static(b"garbage")), NodeError::Decode(_)));
    let short = JobHead { parameters: vec![], ..good };
    assert!(matches!(deliver(chunks(&topology, &short, "sales", &[(1u8, 1u32)], 1).remove(0)), NodeError::Decode(_)));
}

#[test]
fn who_is_said_to_emit_emits_and_nobody_else_in_the_same_step() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 1, 1, true)).unwrap());
    let (at, _) = (0u16..).zip(topology.stages()).find(|(_, stage)| stage.name == "best").unwrap();
    let port = (0..20).map(Port).find(|port| topology.stage_of(*port) == Some(at)).unwrap();
    let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
    let mut node = ShardNode::new(topology.clone(), at, 0, scratch);
    for number in [1, 2] {
        let mut head = head(&topology, Sinks::ALL, (1, 2, Poison::Nowhere));
        head.job.number = number;
        let mut frame = FrameWriter::new(&head, Vec::new()).unwrap();
        for stream in topology.streams(topology.port(port).unwrap()) {
            frame.part(&PartMeta::End { port, stream, batches: 0, counts: vec![], failed: None }, &[]).unwrap();
        }
        let record = Record::Frame { job: head.job, body: frame.finish().into() };
        node.step(Event::Restored(record), &mut Vec::new()).unwrap();
    }
    let mut event = Event::Idle;
    for number in [1, 2] {
        assert_eq!(node.emits().map(|(job, _)| job), Some(JobId { cluster: 7, number }));
        let mut actions = Vec::new();
        node.step(event, &mut actions).unwrap();
        let [Action::Publish { id, body, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(FrameReader::new(body).unwrap().head().unwrap().job.number, number);
        event = Event::Confirmed(*id);
    }
    assert_eq!(node.emits(), None);
}

#[test]
fn an_origin_that_fails_is_not_waited_for_whatever_its_lives_have_sent() {
    let topology = Arc::new(Topology::new(Arc::new(plan()), &placement(false, 1, 1, true)).unwrap());
    let head = head(&topology, Sinks::ALL, (1, 2, Poison::Nowhere));
    let (at, _) = (0u16..).zip(topology.stages()).find(|(_, stage)| stage.name == "best").unwrap();
    let port = (0..20).map(Port).find(|port| topology.stage_of(*port) == Some(at)).unwrap();
    let stream = topology.streams_of(port)[0];
    let scratch: MakeScratch = Box::new(|| -> Box<dyn Scratch> { Box::new(MemoryScratch::default()) });
    let mut node = ShardNode::new(topology.clone(), at, 0, scratch);
    let mut deliver = |meta: PartMeta| {
        let mut frame = FrameWriter::new(&head, Vec::new()).unwrap();
        frame.part(&meta, &[]).unwrap();
        node.step(Event::Delivery { tag: Tag(1), body: frame.finish().into() }, &mut Vec::new()).unwrap();
    };
    // One life has sent three batches, the next has failed in the second, and one after it has not.
    (0..3).for_each(|seq| deliver(PartMeta::Rows { port, stream, seq, rows: 0, counts: vec![] }));
    let end = |batches, failed| PartMeta::End { port, stream, batches, counts: vec![], failed };
    deliver(end(1, Some(Loss { stream, seq: 1, reason: "on purpose".into() })));
    deliver(end(3, None));
    let mut actions = Vec::new();
    node.step(Event::Idle, &mut actions).unwrap();
    let [Action::Commit { group, .. }] = &actions[..] else { panic!("{actions:?}") };
    let mut emitted = Vec::new();
    node.step(Event::Committed(*group), &mut emitted).unwrap();
    let body = emitted.iter().find_map(|action| match action {
        Action::Publish { body, .. } => Some(body.clone()),
        _ => None,
    });
    let body = body.expect("it is complete");
    let part = FrameReader::new(&body).unwrap().part().unwrap().unwrap();
    assert!(matches!(part.meta, PartMeta::End { batches: 0, failed: Some(_), .. }), "{:?}", part.meta);
}
