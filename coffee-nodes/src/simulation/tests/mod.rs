//! Answers of simulated systems, beside those that are computed plainly.

mod planted;
mod poison;

use std::{
    cmp::Reverse,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use coffee_core::{
    codec,
    operator::{GroupBy, Sum, TopBy},
    plan::PlanBuilder,
};

use super::*;
use poison::{Asked, BestName, Name, Poison, Sale, expected, topology};

/// Seeds of the test command; `COFFEE_SIMULATIONS` asks for more.
const SEEDS: u64 = 10_000;

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
    let (topology, tables) = topology(staged, random.u16(1..4), random.u16(1..4), random.bool());
    let (mut jobs, mut cancelled) = (Vec::new(), Vec::new());
    let mut right = Vec::new();
    for _ in 0..random.usize(1..4) {
        let sales: Vec<Sale> = (0..random.usize(..60)).map(|_| (random.u8(..12), random.u32(..50))).collect();
        // Some results have several pieces.
        let length = if random.u8(..40) == 0 { 150_000 } else { 4 };
        let names: Vec<Name> =
            (0..random.u64(..16)).map(|at| (random.u8(..12), at, "x".repeat(random.usize(..length)))).collect();
        let poison = [Poison::Nowhere, Poison::Nowhere, Poison::Columns, Poison::Named][random.usize(..4)];
        let asked = (random.u32(..50), random.u8(1..6), poison);
        right.push(expected(staged, &sales, &names, asked));
        // A sale has two bytes, a name three or more.
        let job = Job::new(&topology, &asked).unwrap().chunk_bytes(random.u32(1..40));
        jobs.push(job.rows(&tables.names, names).rows(&tables.sales, sales));
        if random.u8(..4) == 0 {
            cancelled.push(jobs.len() - 1);
        }
    }
    let simulation = Simulation::new(&jobs).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let simulation = cancelled.into_iter().fold(simulation, Simulation::may_be_cancelled);
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
        let (topology, tables) = topology(staged, shards, 2, true);
        let sales: Vec<Sale> = (0..8).map(|at| (at % 5 + 3, u32::from(at) * 7)).collect();
        let names: Vec<Name> = (3..8).map(|at| (at, at.into(), "n".into())).collect();
        let job = Job::new(&topology, &(20_u32, 3_u8, poison)).unwrap().chunk_bytes(12);
        let job = job.rows(&tables.names, names).rows(&tables.sales, sales);
        let simulation = Simulation::new(&[job]).unwrap();
        assert_eq!(simulation.reference()[0].lacks_results(), poison != Poison::Nowhere);
        let runs = simulation.run_all_deaths().unwrap_or_else(|broken| panic!("{broken}"));
        assert!(runs > 300, "{runs} runs");
    }
}

#[test]
fn a_maximizer_over_partial_sums_answers_otherwise() {
    let wrong = |sale: &Sale| Some((sale.0, sale.1 % 2)); // a key's sum in two parts
    let plan = PlanBuilder::<Asked>::new();
    let (table, flow) = plan.rows::<Sale>("sales");
    flow.aggregate("sums", move |_| GroupBy::new(wrong, Sum::<_, u64>::new(|sale: &Sale| u64::from(sale.1))))
        .maximize("best", |p| {
            TopBy::new(|r: &((u8, u32), u64)| r.0.0 % 2, |r: &((u8, u32), u64)| (Reverse(r.1), r.0.0), p.1.into())
        })
        .map("columns", |_| |r: &((u8, u32), u64)| (r.1, "n".to_owned()))
        .sink("best-names");
    let topology = Topology::of(plan.build().unwrap()).unwrap();
    let sales: Vec<Sale> = (0..40).map(|at| (at % 7, u32::from(at))).collect();
    let names: Vec<Name> = (0..7).map(|at| (at, at.into(), "n".into())).collect();
    let job = Job::new(&topology, &(0_u32, 3_u8, Poison::Nowhere)).unwrap().chunk_bytes(10);
    let simulation = Simulation::new(&[job.rows(&table, sales.clone())]).unwrap();
    let [Answer::Done { rows: found, .. }] = simulation.reference() else { panic!() };
    let right = expected(true, &sales, &names, (0, 3, Poison::Nowhere)).1;
    assert_ne!(found[0].1.as_deref().map(rows::<BestName>), right);
}
