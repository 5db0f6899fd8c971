//! timely: filters of its own; aggregations as its operators are written, one hash map a worker. Few keys are folded before
//! they are exchanged, many after.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
    sync::mpsc,
};

use foldhash::fast::{FixedState, RandomState};
use timely::{
    Config, ExchangeData,
    dataflow::{
        StreamVec,
        channels::pact::{Exchange, ParallelizationContract, Pipeline},
        operators::{
            ToStream,
            generic::operator::Operator,
            vec::{Filter, Map},
        },
    },
};

use crate::rows::{Answer, Best, Digest, Kept, Sale, Task, share};

type Flow<'scope, T> = StreamVec<'scope, u64, T>;

pub fn run(task: Task, rows: &'static [Sale], threads: usize) -> Answer {
    match task {
        Task::TwoFilters => {
            let parts = collect(rows, threads, |sales, out| {
                let kept = sales.filter(Sale::by_day).filter(Sale::is_dear);
                let kept = fold(kept, Pipeline, Kept::default(), |kept, sale: Sale| kept.add(&sale), |kept| [kept]);
                fold(kept, to_one(), Kept::default(), Kept::merge, move |kept| give(&out, kept));
            });
            Answer::Kept(parts.into_iter().fold(Kept::default(), |mut all, part| {
                all.merge(part);
                all
            }))
        }
        Task::SumByStore => {
            let add = |sums: &mut Map8<i64>, sale: Sale| *sums.entry(sale.store).or_default() += sale.amount;
            let merge = |sums: &mut Map8<i64>, (store, part)| *sums.entry(store).or_default() += part;
            let parts = collect(rows, threads, move |sales, out| {
                let sums = fold(sales, Pipeline, Map8::default(), add, |sums| sums);
                fold(sums, by_key(), Map8::default(), merge, move |sums| give(&out, sums));
            });
            Answer::sums(parts.into_iter().flatten().collect())
        }
        Task::CountByUser(_) => {
            type Counts = HashMap<u32, u64, RandomState>;
            let parts = collect(rows, threads, |sales, out| {
                let users = sales.map(|sale| sale.user);
                let by_user = Exchange::new(|user: &u32| hash(user));
                let count = |counts: &mut Counts, user| *counts.entry(user).or_default() += 1;
                let digest = |counts: Counts| {
                    let mut all = Digest::default();
                    counts.into_iter().for_each(|(user, count)| all.add(user, count));
                    [all]
                };
                let digests = fold(users, by_user, Counts::default(), count, digest);
                fold(digests, to_one(), Digest::default(), Digest::merge, move |digest| give(&out, digest));
            });
            Answer::Counts(parts.into_iter().fold(Digest::default(), |mut all, part| {
                all.merge(part);
                all
            }))
        }
        Task::BestByRegion => {
            let offer = |best: &mut Map8<Best>, sale: Sale| best.entry(sale.region()).or_default().offer(&sale);
            let merge = |best: &mut Map8<Best>, (region, part)| best.entry(region).or_default().merge(part);
            let parts = collect(rows, threads, move |sales, out| {
                let best = fold(sales, Pipeline, Map8::default(), offer, |best| best);
                fold(best, by_key(), Map8::default(), merge, move |best| give(&out, best));
            });
            Answer::best(parts.into_iter().flatten().flat_map(|(_, best)| best.into_rows()).collect())
        }
    }
}

type Map8<V> = HashMap<u8, V, RandomState>;

fn hash(key: &impl Hash) -> u64 {
    FixedState::default().hash_one(key)
}

fn by_key<K: Hash + 'static, V: 'static>() -> Exchange<(K, V), impl FnMut(&(K, V)) -> u64> {
    Exchange::new(|(key, _): &(K, V)| hash(key))
}

fn to_one<T: 'static>() -> Exchange<T, impl FnMut(&T) -> u64> {
    Exchange::new(|_: &T| 0)
}

fn give<T>(out: &mpsc::Sender<T>, answer: T) -> [(); 0] {
    out.send(answer).expect("whoever collects");
    []
}

/// Folds all that comes into one state, and hands over what it becomes at the end.
fn fold<'scope, T, S, O, I>(
    input: Flow<'scope, T>,
    pact: impl ParallelizationContract<u64, Vec<T>>,
    state: S,
    mut add: impl FnMut(&mut S, T) + 'static,
    finish: impl FnOnce(S) -> I + 'static,
) -> Flow<'scope, O>
where
    T: 'static,
    S: 'static,
    O: Clone + 'static,
    I: IntoIterator<Item = O>,
{
    input.unary_frontier(pact, "Fold", move |capability, _| {
        let mut open = Some((capability, state, finish));
        move |(input, frontier), output| {
            if let Some((_, state, _)) = &mut open {
                input.for_each_time(|_, data| {
                    data.for_each(|batch| batch.drain(..).for_each(|row| add(state, row)));
                });
            }
            if frontier.is_empty()
                && let Some((capability, state, finish)) = open.take()
            {
                output.session(&capability).give_iterator(finish(state).into_iter());
            }
        }
    })
}

/// Runs a dataflow over the rows on so many workers, and returns what it gives out.
fn collect<T: ExchangeData>(
    rows: &'static [Sale],
    threads: usize,
    build: impl for<'scope> Fn(Flow<'scope, Sale>, mpsc::Sender<T>) + Send + Sync + 'static,
) -> Vec<T> {
    let (give, take) = mpsc::channel();
    let config = if threads == 1 { Config::thread() } else { Config::process(threads) };
    let guards = timely::execute(config, move |worker| {
        let sales = share(rows, worker.index(), worker.peers());
        worker.dataflow(|scope| build(sales.iter().copied().to_stream(scope), give.clone()));
    });
    guards.expect("workers").join().into_iter().for_each(|worker| worker.expect("a worker"));
    take.try_iter().collect()
}
