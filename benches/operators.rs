//! Operators: rows in memory through the nodes of a small plan, on one thread, frames between the nodes included; beside
//! each a hand-written loop over the same rows, which is the limit. `operators` is their work within a node alone, on typed rows.

#![expect(clippy::expect_used, reason = "a benchmark that can't be set up measures nothing")]

mod support;

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    hint::black_box,
    sync::Arc,
    time::Duration,
};

use coffee::{
    core::{
        exec::{Best, Block, Combiner, Groups},
        source::BLOCK,
    },
    prelude::*,
};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use support::{InMemory, Pump};

const ROWS: usize = 2_000_000;
const STORES: u8 = 40;
const USERS: u32 = 1_000_000;
/// Counting by many keys: so many of them, and so many rows that most keys have several.
const MANY_USERS: u32 = 2_000_000;
const MANY_ROWS: usize = 10_000_000;
/// Of the users, so many are in the table that is joined.
const KNOWN: u32 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sale {
    amount: i64,
    user: u32,
    at: u32,
    store: u8,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct User {
    user: u32,
    region: u8,
}

fn sales() -> Arc<Vec<Sale>> {
    sales_of(ROWS, USERS)
}

/// Xorshift: the same rows on every run.
fn sales_of(rows: usize, users: u32) -> Arc<Vec<Sale>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (((state >> 32) * u64::from(below)) >> 32) as u32
    };
    let sale =
        |_| Sale { amount: draw(10_000).into(), user: draw(users), at: draw(86_400), store: draw(STORES.into()) as u8 };
    Arc::new((0..rows).map(sale).collect())
}

fn by_day(sale: &Sale) -> bool {
    (21_600..=82_800).contains(&sale.at)
}

fn dear(sale: &Sale) -> bool {
    sale.amount >= 2_500
}

/// A plan over the sales, with every operator that can be where the rows come in.
fn pump<R: Row + Ord>(sales: &Arc<Vec<Sale>>, plan: impl FnOnce(Flow<'_, (), Sale>) -> Flow<'_, (), R>) -> Pump {
    let builder = PlanBuilder::<()>::new();
    let rows = sales.clone();
    plan(builder.source("sales", move |()| InMemory(rows.clone()))).sink("out");
    let plan = Arc::new(builder.build().expect("a plan"));
    let placement = Placement::of(&plan);
    Pump::new(Topology::new(plan, &placement).expect("a topology"), &[sales.len()])
}

/// Measures the nodes, after a run that shows that they do the work.
fn measure_nodes(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, nodes: &Pump, rows: u64) {
    assert_eq!(nodes.run(), rows);
    measure(group, name, || nodes.run());
}

/// An aggregation's work within a node alone: rows are combined, and their groups merged.
fn grouped<A: Aggregator<Row = Sale>>(sales: &[Sale], combines: bool, make: impl Fn() -> A) -> u64 {
    let (mut combiner, mut groups) = (Combiner::new(make(), combines), Groups::new(make()));
    for rows in sales.chunks(BLOCK) {
        combiner.fold(Block::all(rows), |(key, part)| groups.merge(key, part));
    }
    combiner.flush(|(key, part)| groups.merge(key, part));
    groups.drain().count() as u64
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut run: impl FnMut() -> u64) {
    group.bench_function(name, |bench| bench.iter(|| black_box(run())));
}

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(ROWS as u64));
    group
}

fn filter(criterion: &mut Criterion) {
    let sales = sales();
    let mut group = group(criterion, "two filters, then count");
    let nodes = pump(&sales, |sales| {
        let kept = sales.filter("day", |()| by_day).filter("dear", |()| dear);
        kept.aggregate("count", |()| GroupBy::new(|_: &Sale| Some(()), Count))
    });
    measure_nodes(&mut group, "nodes", &nodes, 1);
    let (mut day, mut both) = (Vec::new(), Vec::new());
    measure(&mut group, "operators", || {
        let blocks = sales.chunks(BLOCK);
        blocks.map(|rows| Block::all(rows).pick(&mut day, by_day).pick(&mut both, dear).len() as u64).sum()
    });
    measure(&mut group, "loop", || sales.iter().filter(|sale| by_day(sale) && dear(sale)).count() as u64);
}

fn projection(criterion: &mut Criterion) {
    let sales = sales();
    let mut group = group(criterion, "projection, then sum");
    let nodes = pump(&sales, |sales| {
        sales
            .map("image", |()| |sale: &Sale| sale.amount * 2 + i64::from(sale.store))
            .aggregate("sum", |()| GroupBy::new(|_: &i64| Some(()), Sum::<_, i64>::new(|image: &i64| *image)))
    });
    measure_nodes(&mut group, "nodes", &nodes, 1);
    measure(&mut group, "loop", || {
        sales.iter().map(|sale| sale.amount * 2 + i64::from(sale.store)).sum::<i64>() as u64
    });
}

fn few_keys(criterion: &mut Criterion) {
    let sales = sales();
    let mut group = group(criterion, "sum by 40 keys");
    let nodes = pump(&sales, |sales| {
        let amount = Sum::<_, i64>::new(|sale: &Sale| sale.amount);
        sales.aggregate("sums", move |()| GroupBy::new(|sale: &Sale| Some(sale.store), amount))
    });
    measure_nodes(&mut group, "nodes", &nodes, STORES.into());
    measure(&mut group, "operators", || {
        let amount = || Sum::<_, i64>::new(|sale: &Sale| sale.amount);
        grouped(&sales, true, || GroupBy::new(|sale: &Sale| Some(sale.store), amount()))
    });
    measure(&mut group, "loop over a hash map", || {
        let mut sums: HashMap<u8, i64, RandomState> = HashMap::default();
        sales.iter().for_each(|sale| *sums.entry(sale.store).or_default() += sale.amount);
        sums.len() as u64
    });
    measure(&mut group, "loop over an array", || {
        let mut sums = [0; 256];
        sales.iter().for_each(|sale| sums[usize::from(sale.store)] += sale.amount);
        black_box(sums).len() as u64
    });
}

fn many_keys(criterion: &mut Criterion) {
    let sales = sales_of(MANY_ROWS, MANY_USERS);
    let mut group = group(criterion, "count by 2 M keys");
    group.throughput(Throughput::Elements(MANY_ROWS as u64));
    let nodes =
        pump(&sales, |sales| sales.aggregate("counts", |()| GroupBy::new(|sale: &Sale| Some(sale.user), Count)));
    let users = sales.iter().map(|sale| sale.user).collect::<HashSet<u32>>().len() as u64;
    measure_nodes(&mut group, "nodes, sorted and encoded", &nodes, users);
    let few = pump(&sales, |sales| {
        let counts = sales.aggregate("counts", |()| GroupBy::new(|sale: &Sale| Some(sale.user), Count));
        counts.aggregate("count", |()| GroupBy::new(|_: &(u32, u64)| Some(()), Count))
    });
    measure_nodes(&mut group, "nodes, then count", &few, 1);
    measure(&mut group, "operators", || grouped(&sales, false, || GroupBy::new(|sale: &Sale| Some(sale.user), Count)));
    measure(&mut group, "loop over a hash map", || {
        let mut counts: HashMap<u32, u64, RandomState> = HashMap::default();
        sales.iter().for_each(|sale| *counts.entry(sale.user).or_default() += 1);
        counts.len() as u64
    });
    measure(&mut group, "loop over partitions", || {
        let mut partitions: Vec<Vec<u32>> = vec![Vec::new(); 256];
        sales.iter().for_each(|sale| partitions[(sale.user.wrapping_mul(0x9E37_79B9) >> 24) as usize].push(sale.user));
        let mut counts: HashMap<u32, u64, RandomState> = HashMap::default();
        let counted = partitions.iter().map(|users| {
            users.iter().for_each(|user| *counts.entry(*user).or_default() += 1);
            counts.drain().count() as u64
        });
        counted.sum()
    });
}

fn top(criterion: &mut Criterion) {
    let sales = sales();
    let mut group = group(criterion, "top 3 of each of 40 keys");
    fn order(sale: &Sale) -> (Reverse<i64>, u32, u32) {
        (Reverse(sale.amount), sale.user, sale.at)
    }
    let nodes = pump(&sales, |sales| sales.maximize("top", |()| TopBy::new(|sale: &Sale| sale.store, order, 3)));
    measure_nodes(&mut group, "nodes", &nodes, 3 * u64::from(STORES));
    measure(&mut group, "operators", || {
        let mut best = Best::new(TopBy::new(|sale: &Sale| sale.store, order, 3));
        sales.chunks(BLOCK).for_each(|rows| Block::all(rows).for_each(|sale| best.offer(sale)));
        best.take().len() as u64
    });
    measure(&mut group, "loop over an array", || {
        let mut best: Vec<Vec<Sale>> = (0..256).map(|_| Vec::with_capacity(4)).collect();
        for sale in sales.iter() {
            let best = &mut best[usize::from(sale.store)];
            if best.len() < 3 || best.last().is_some_and(|worst| order(sale) < order(worst)) {
                let at = best.partition_point(|other| order(other) < order(sale));
                best.insert(at, *sale);
                best.truncate(3);
            }
        }
        best.iter().map(Vec::len).sum::<usize>() as u64
    });
}

fn join(criterion: &mut Criterion) {
    let sales = sales();
    let users: Arc<Vec<User>> =
        Arc::new((0..KNOWN).map(|user| User { user: user * 10, region: (user % 7) as u8 }).collect());
    let mut group = group(criterion, "join with 100,000 rows, then count by 7 keys");
    let builder = PlanBuilder::<()>::new();
    let (left, right) = (sales.clone(), users.clone());
    let build = builder.source("users", move |()| InMemory(right.clone()));
    builder
        .source("sales", move |()| InMemory(left.clone()))
        .join("region", build, |()| Lookup::new(|s: &Sale| s.user, |u: &User| u.user, |_: &Sale, u: &User| u.region))
        .aggregate("counts", |()| GroupBy::new(|region: &u8| Some(*region), Count))
        .sink("out");
    let plan = Arc::new(builder.build().expect("a plan"));
    let placement = Placement::of(&plan);
    let nodes = Pump::new(Topology::new(plan, &placement).expect("a topology"), &[users.len(), sales.len()]);
    measure_nodes(&mut group, "nodes", &nodes, 7);
    measure(&mut group, "loop over a hash map", || {
        let table: HashMap<u32, u8, RandomState> = users.iter().map(|user| (user.user, user.region)).collect();
        let mut counts = [0_u64; 256];
        sales.iter().filter_map(|sale| table.get(&sale.user)).for_each(|region| counts[usize::from(*region)] += 1);
        counts.iter().sum()
    });
}

/// Rows to the frames of four shards: the key's encoding decides, nothing is combined.
fn partition(criterion: &mut Criterion) {
    let sales = sales();
    let mut group = group(criterion, "partition to 4 shards");
    let builder = PlanBuilder::<()>::new();
    let rows = sales.clone();
    builder
        .source("sales", move |()| InMemory(rows.clone()))
        .aggregate("counts", |()| GroupBy::new(|sale: &Sale| Some(sale.user), Count))
        .sink("out");
    let plan = Arc::new(builder.build().expect("a plan"));
    let mut placement = Placement::of(&plan);
    placement.set_shards(Some("level-1"), 4).expect("a stage");
    placement.stages.iter_mut().for_each(|stage| stage.combine = false);
    let nodes = Pump::new(Topology::new(plan, &placement).expect("a topology"), &[sales.len()]);
    measure(&mut group, "nodes", || nodes.run_entry() as u64);
    measure(&mut group, "loop, fixed-width rows", || {
        let mut shards: [Vec<u8>; 4] = std::array::from_fn(|_| Vec::with_capacity(ROWS / 3 * 5));
        for sale in sales.iter() {
            let shard = &mut shards[(sale.user.wrapping_mul(0x9E37_79B9) >> 30) as usize];
            shard.extend_from_slice(&sale.user.to_le_bytes());
            shard.push(1);
        }
        shards.iter().map(Vec::len).sum::<usize>() as u64
    });
}

criterion_group!(benches, filter, projection, few_keys, many_keys, top, join, partition);
criterion_main!(benches);
