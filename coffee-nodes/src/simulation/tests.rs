//! Answers of simulated systems, beside those that are computed plainly.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use bytes::Bytes;
use coffee_core::{
    codec,
    coverage::Coverage,
    frame::{FrameReader, FrameWriter, PartMeta},
    node::{Action, Event, Failure},
    operator::{AtLeast, GroupBy, Lookup, Sum, TopBy},
    plan::{Placement, PlanBuilder},
};

use super::*;

/// Seeds of the test command; `COFFEE_SIMULATIONS` asks for more.
const SEEDS: u64 = 10_000;

type Sale = (u8, u32);
type Name = (u8, u64, String);

/// The least large amount, how many of each parity are best, and which operator panics at [`DEADLY`].
type Asked = (u32, u8, Poison);

/// An operator that panics at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Poison {
    Nowhere,
    /// In a stateless chain.
    Columns,
    /// In a shard's emission.
    Named,
}

/// The key that is poison.
const DEADLY: u8 = 7;

impl Poison {
    fn at(self, place: Poison, key: u8) {
        assert!(self != place || key != DEADLY, "on purpose");
    }
}

/// Sums by key, the best few sums of each parity, joined with names; and the large sales as they are.
fn plan() -> Arc<coffee_core::plan::Plan> {
    let plan = PlanBuilder::<Asked>::new();
    let (names_table, names) = plan.rows::<Name>("names");
    let (sales_table, sales) = plan.rows::<Sale>("sales");
    let _ = (names_table, sales_table);
    let large = sales.filter("large", |p: &Asked| AtLeast::new(|sale: &Sale| sale.1, p.0));
    let columns = |p: &Asked| {
        let poison = p.2;
        move |sale: &Sale| {
            poison.at(Poison::Columns, sale.0);
            (sale.1, sale.0)
        }
    };
    large.map("columns", columns).sink("large-sales");
    sales
        .aggregate("sums", |_| {
            GroupBy::new(|sale: &Sale| Some(sale.0), Sum::<_, u64>::new(|sale: &Sale| u64::from(sale.1)))
        })
        .maximize("best", |p| TopBy::new(|r: &(u8, u64)| r.0 % 2, |r: &(u8, u64)| (Reverse(r.1), r.0), p.1.into()))
        .join("named", names, |p| {
            let poison = p.2;
            let joined = move |r: &(u8, u64), n: &Name| {
                poison.at(Poison::Named, r.0);
                (r.1, n.2.clone())
            };
            Lookup::new(|r: &(u8, u64)| r.0, |n: &Name| n.0, joined)
        })
        .sink("best-names");
    Arc::new(plan.build().unwrap())
}

fn topology(staged: bool, shards: u16, replicas: u16, combine: bool) -> Arc<Topology> {
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
    Arc::new(Topology::new(plan(), &Placement::parse(&text).unwrap()).unwrap())
}

type Large = (u32, u8);
type BestName = (u64, String);

/// What each sink must yield, computed plainly; `None` where an operator panics on the way to it.
type Expected = (Option<Vec<Large>>, Option<Vec<BestName>>);

fn expected(staged: bool, sales: &[Sale], names: &[Name], (least, limit, poison): Asked) -> Expected {
    let mut large: Vec<Large> = sales.iter().filter(|sale| sale.1 >= least).map(|sale| (sale.1, sale.0)).collect();
    large.sort();
    let mut sums: BTreeMap<u8, u64> = BTreeMap::new();
    sales.iter().for_each(|sale| *sums.entry(sale.0).or_default() += u64::from(sale.1));
    let mut best = Vec::new();
    for parity in 0..2 {
        let mut group: Vec<(u8, u64)> =
            sums.iter().filter(|sum| sum.0 % 2 == parity).map(|(key, sum)| (*key, *sum)).collect();
        group.sort_by_key(|(key, sum)| (Reverse(*sum), *key));
        best.extend(group.into_iter().take(limit.into()));
    }
    let first = |key: u8| names.iter().find(|name| name.0 == key).map(|name| name.2.clone());
    let joined: Vec<(u8, BestName)> =
        best.into_iter().filter_map(|(key, sum)| Some((key, (sum, first(key)?)))).collect();
    let in_columns = poison == Poison::Columns && large.iter().any(|(_, key)| *key == DEADLY);
    let in_named = poison == Poison::Named && joined.iter().any(|(key, _)| *key == DEADLY);
    let mut named: Vec<BestName> = joined.into_iter().map(|(_, named)| named).collect();
    named.sort();
    // What one stage does with a chunk fails as a whole.
    let best_fails = in_named || in_columns && !staged;
    ((!in_columns).then_some(large), (!best_fails).then_some(named))
}

fn rows<R: coffee_core::operator::Row>(mut bytes: &[u8]) -> Vec<R> {
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        rows.push(codec::decode(&mut bytes).unwrap());
    }
    rows
}

/// Some jobs over one topology, all drawn from a seed; their answers are compared with those that are computed plainly.
fn system(seed: u64) -> Simulation {
    let mut random = fastrand::Rng::with_seed(seed);
    let staged = random.bool();
    let topology = topology(staged, random.u16(1..4), random.u16(1..4), random.bool());
    let mut jobs = Vec::new();
    let mut right = Vec::new();
    for _ in 0..random.usize(1..4) {
        let sales: Vec<Sale> = (0..random.usize(..60)).map(|_| (random.u8(..12), random.u32(..50))).collect();
        // Some results have several pieces.
        let length = if random.u8(..40) == 0 { 150_000 } else { 4 };
        let names: Vec<Name> =
            (0..random.u64(..16)).map(|at| (random.u8(..12), at, "x".repeat(random.usize(..length)))).collect();
        let poison = [Poison::Nowhere, Poison::Nowhere, Poison::Columns, Poison::Named][random.usize(..4)];
        let asked = (random.u32(..50), random.u8(1..6), poison);
        let job = SimulatedJob::new(&topology, &asked).unwrap();
        let job = job.rows("names", &names, random.usize(1..20)).unwrap();
        let job = job.rows("sales", &sales, random.usize(1..20)).unwrap();
        jobs.push(if random.u8(..4) == 0 { job.may_be_cancelled() } else { job });
        right.push(expected(staged, &sales, &names, asked));
    }
    let simulation = Simulation::new(topology, jobs).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    for (answer, (large, named)) in simulation.reference().iter().zip(right) {
        let Answer::Done { rows: found, .. } = answer else { panic!("seed {seed}: {answer:?}") };
        let of = |sink: &str| found.iter().find(|(name, _)| name == sink).unwrap().1.as_deref();
        assert_eq!((of("large-sales").map(rows), of("best-names").map(rows)), (large, named), "seed {seed}");
    }
    simulation
}

/// Runs seeds on all processors; the first failure ends the test.
fn all_seeds(seeds: std::ops::Range<u64>, run: impl Fn(u64) + Sync) {
    let threads = thread::available_parallelism().map_or(2, usize::from) as u64;
    thread::scope(|scope| {
        for first in 0..threads {
            let (seeds, run) = (seeds.clone(), &run);
            scope.spawn(move || {
                for seed in seeds.skip(first as usize).step_by(threads as usize) {
                    catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|_| panic!("seed {seed}"));
                }
            });
        }
    });
}

#[test]
fn no_death_repetition_or_order_shows_in_an_answer() {
    let asked = std::env::var("COFFEE_SIMULATIONS").ok().and_then(|seeds| seeds.parse().ok());
    all_seeds(0..asked.unwrap_or(SEEDS), |seed| {
        if let Err(broken) = system(seed).run(seed) {
            panic!("seed {seed}: {broken}");
        }
    });
}

#[test]
fn a_run_is_made_again() {
    for seed in 0..60 {
        let simulation = system(seed);
        let [first, second] = [(); 2].map(|()| simulation.ran(Choices::of_seed(seed), None, true));
        assert_eq!(first.notes, second.notes, "seed {seed}");
        assert_eq!((first.operations, &first.choices), (second.operations, &second.choices), "seed {seed}");
        let again = simulation.ran(Choices::again(first.choices), None, true);
        assert_eq!(again.notes, second.notes, "seed {seed}");
    }
}

#[test]
fn no_death_at_any_operation_shows() {
    for (staged, shards, poison) in
        [(false, 2, Poison::Nowhere), (true, 1, Poison::Nowhere), (true, 1, Poison::Columns), (false, 1, Poison::Named)]
    {
        let topology = topology(staged, shards, 2, true);
        let sales: Vec<Sale> = (0..8).map(|at| (at % 5 + 3, u32::from(at) * 7)).collect();
        let names: Vec<Name> = (3..8).map(|at| (at, at.into(), "n".into())).collect();
        let job = SimulatedJob::new(&topology, &(20_u32, 3_u8, poison)).unwrap();
        let job = job.rows("names", &names, 3).unwrap().rows("sales", &sales, 4).unwrap();
        let simulation = Simulation::new(topology, vec![job]).unwrap();
        assert_eq!(simulation.reference()[0].lacks_results(), poison != Poison::Nowhere);
        let runs = simulation.run_all_deaths().unwrap_or_else(|broken| panic!("{broken}"));
        assert!(runs > 300, "{runs} runs");
    }
}

/// How a fault shows that is put into the nodes, in some of the first runs.
fn found(sabotage: Sabotage) -> String {
    let shown = (0..200).find_map(|seed| {
        let simulation = Simulation { sabotage: Some(sabotage), ..system(seed) };
        simulation.verdict(&simulation.ran(Choices::of_seed(seed), None, false)).err()
    });
    shown.expect("the fault is found")
}

/// A node that goes wrong in what it asks for.
struct Saboteur<F> {
    node: Box<dyn Node>,
    spoil: F,
}

impl<F: FnMut(&Event, &mut Vec<Action>) + Send> Node for Saboteur<F> {
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), Failure> {
        let (before, copy) = (actions.len(), event.clone());
        let result = self.node.step(event, actions);
        let mut more = actions.split_off(before);
        (self.spoil)(&copy, &mut more);
        actions.extend(more);
        result
    }

    fn jobs(&self) -> usize {
        self.node.jobs()
    }
}

#[test]
fn acking_before_the_commit_is_found() {
    let what = found(|kind, node| {
        if !matches!(kind, Kind::Shard(..)) {
            return node;
        }
        let spoil = |event: &Event, actions: &mut Vec<Action>| {
            actions.retain(|action| !matches!(action, Action::Ack(_)));
            if let Event::Delivery { tag, .. } = event {
                actions.insert(0, Action::Ack(*tag));
            }
        };
        Box::new(Saboteur { node, spoil })
    });
    assert!(what.contains("it does not end"), "{what}");
}

/// A frame's.
type Parts = Vec<(PartMeta, Vec<u8>)>;

/// Spoils the frames that a node publishes, part by part.
fn spoil_frames(node: Box<dyn Node>, spoil: fn(Parts) -> Parts) -> Box<dyn Node> {
    let spoil = move |_: &Event, actions: &mut Vec<Action>| {
        for action in actions {
            let Action::Publish { body, .. } = action else { continue };
            let mut reader = FrameReader::new(body).unwrap();
            let mut writer = FrameWriter::new(&reader.head().unwrap(), Vec::new()).unwrap();
            let mut parts = Vec::new();
            while let Some(part) = reader.part().unwrap() {
                parts.push((part.meta, part.payload.to_vec()));
            }
            spoil(parts).iter().for_each(|(meta, payload)| writer.part(meta, payload).unwrap());
            *body = Bytes::from(writer.finish());
        }
    };
    Box::new(Saboteur { node, spoil })
}

#[test]
fn a_dropped_segment_is_found() {
    let what = found(|kind, node| match kind {
        Kind::Entry => spoil_frames(node, |mut parts| {
            parts.retain(|(meta, _)| !matches!(meta, PartMeta::Rows { seq: 2, .. }));
            parts
        }),
        _ => node,
    });
    assert!(what.contains("it does not end"), "{what}");
}

#[test]
fn folding_two_batches_in_a_filter_is_found() {
    let what = found(|kind, node| match kind {
        Kind::Entry | Kind::Replica(_) => spoil_frames(node, |parts| {
            let mut folded = Parts::new();
            for (meta, payload) in parts {
                let before = folded.iter_mut().find(|(before, _)| same_stream(before, &meta));
                match (before, meta) {
                    (
                        Some((PartMeta::Rows { rows, .. }, all)),
                        PartMeta::Rows { port, stream, seq, rows: more, .. },
                    ) => {
                        *rows += more;
                        all.extend(payload);
                        let mut seqs = Coverage::default();
                        seqs.insert(seq);
                        folded.push((PartMeta::Empty { port, stream, seqs }, Vec::new()));
                    }
                    (_, meta) => folded.push((meta, payload)),
                }
            }
            folded
        }),
        _ => node,
    });
    assert!(what.contains("is answered by"), "{what}");
}

fn same_stream(one: &PartMeta, other: &PartMeta) -> bool {
    match (one, other) {
        (PartMeta::Rows { port, stream, .. }, PartMeta::Rows { port: p, stream: s, .. }) => (port, stream) == (p, s),
        _ => false,
    }
}

#[test]
fn a_maximizer_over_partial_sums_answers_otherwise() {
    let wrong = |sale: &Sale| Some((sale.0, sale.1 % 2)); // a key's sum in two parts
    let plan = PlanBuilder::<Asked>::new();
    let (_, sales) = plan.rows::<Sale>("sales");
    sales
        .aggregate("sums", move |_| GroupBy::new(wrong, Sum::<_, u64>::new(|sale: &Sale| u64::from(sale.1))))
        .maximize("best", |p| {
            TopBy::new(|r: &((u8, u32), u64)| r.0.0 % 2, |r: &((u8, u32), u64)| (Reverse(r.1), r.0.0), p.1.into())
        })
        .map("columns", |_| |r: &((u8, u32), u64)| (r.1, "n".to_owned()))
        .sink("best-names");
    let plan = Arc::new(plan.build().unwrap());
    let topology = Arc::new(Topology::new(plan.clone(), &Placement::of(&plan)).unwrap());
    let sales: Vec<Sale> = (0..40).map(|at| (at % 7, u32::from(at))).collect();
    let names: Vec<Name> = (0..7).map(|at| (at, at.into(), "n".into())).collect();
    let job = SimulatedJob::new(&topology, &(0_u32, 3_u8, Poison::Nowhere)).unwrap().rows("sales", &sales, 5).unwrap();
    let simulation = Simulation::new(topology, vec![job]).unwrap();
    let [Answer::Done { rows: found, .. }] = simulation.reference() else { panic!() };
    let right = expected(true, &sales, &names, (0, 3, Poison::Nowhere)).1;
    assert_ne!(found[0].1.as_deref().map(rows::<BestName>), right);
}

#[test]
fn what_is_never_acked_is_found() {
    let what = found(|kind, node| match kind {
        Kind::Shard(..) => {
            let spoil = |_: &Event, actions: &mut Vec<Action>| {
                actions.retain(|action| !matches!(action, Action::Ack(_)));
            };
            Box::new(Saboteur { node, spoil })
        }
        _ => node,
    });
    assert!(what.contains("messages in") || what.contains("it does not end"), "{what}");
}

/// A node that never forgets.
struct Deaf(Box<dyn Node>);

impl Node for Deaf {
    fn step(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<(), Failure> {
        match event {
            Event::Forget(_) | Event::Release(_) => Ok(()),
            event => self.0.step(event, actions),
        }
    }

    fn jobs(&self) -> usize {
        self.0.jobs()
    }
}

#[test]
fn what_is_never_forgotten_is_found() {
    let what = found(|_, node| Box::new(Deaf(node)));
    assert!(what.contains("jobs in"), "{what}");
}
