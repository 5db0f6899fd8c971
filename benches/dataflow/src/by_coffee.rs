//! The operators of `coffee-core`, as blocks of rows go through them within a node: what is folded ahead of an exchange, the
//! exchange by key between threads, and the groups behind it. Rows stay typed, as nothing leaves the process.

use std::thread;

use coffee_core::{
    exec::{Best, Block, Combiner, Groups},
    operator::{Aggregator, Count, GroupBy, Maximizer, Sum, TopBy},
    source::BLOCK,
};

use crate::{
    exchange::{Exchange, links},
    rows::{Answer, BEST, Digest, Kept, Sale, Task, share},
};

pub fn run(task: Task, rows: &'static [Sale], threads: usize) -> Answer {
    match task {
        Task::TwoFilters => {
            let mut parts = on_threads(threads, |thread| filter(share(rows, thread, threads))).into_iter();
            let mut all = parts.next().unwrap_or_default();
            parts.for_each(|part| all.merge(part));
            Answer::Kept(all)
        }
        Task::SumByStore => {
            let sum = || GroupBy::new(|sale: &Sale| Some(sale.store), Sum::<_, i64>::new(|sale: &Sale| sale.amount));
            let parts = grouped(rows, threads, true, sum, |groups| groups.collect::<Vec<_>>());
            Answer::sums(parts.concat())
        }
        Task::CountByUser(_) => {
            let count = || GroupBy::new(|sale: &Sale| Some(sale.user), Count);
            let parts = grouped(rows, threads, false, count, |groups| {
                let mut all = Digest::default();
                groups.for_each(|(user, count)| all.add(user, count));
                all
            });
            let mut all = Digest::default();
            parts.into_iter().for_each(|part| all.merge(part));
            Answer::Counts(all)
        }
        Task::BestByRegion => {
            let top = || TopBy::new(Sale::region, Sale::order, BEST);
            let parts = on_threads(threads, |thread| best(top(), share(rows, thread, threads)));
            let mut all = Best::new(top());
            parts.iter().flatten().for_each(|sale| all.offer(sale));
            Answer::best(all.take())
        }
    }
}

fn filter(rows: &'static [Sale]) -> Kept {
    let (mut day, mut dear, mut kept) = (Vec::new(), Vec::new(), Kept::default());
    for rows in rows.chunks(BLOCK) {
        let block = Block::all(rows).pick(&mut day, Sale::by_day).pick(&mut dear, Sale::is_dear);
        block.for_each(|sale| kept.add(sale));
    }
    kept
}

fn best(top: impl Maximizer<Row = Sale>, rows: &'static [Sale]) -> Vec<Sale> {
    let mut best = Best::new(top);
    Block::all(rows).for_each(|sale| best.offer(sale));
    best.take()
}

/// Folds the rows of each key on so many threads, each of which has its share of the rows and of the keys.
fn grouped<A: Aggregator<Row = Sale>, T: Send>(
    rows: &'static [Sale],
    threads: usize,
    combines: bool,
    make: impl Fn() -> A + Sync,
    finish: impl Fn(&mut dyn Iterator<Item = A::Out>) -> T + Sync,
) -> Vec<T> {
    let (make, finish) = (&make, &finish);
    thread::scope(|scope| {
        let work = |(thread, links)| {
            move || {
                let mut combiner = Combiner::new(make(), combines);
                let mut exchange = Exchange::new(Groups::new(make()), links);
                let rows = share(rows, thread, threads);
                rows.chunks(BLOCK).for_each(|rows| combiner.fold(Block::all(rows), |part| exchange.give(part)));
                combiner.flush(|part| exchange.give(part));
                finish(&mut exchange.finish().drain())
            }
        };
        let workers: Vec<_> = links(threads).into_iter().enumerate().map(|part| scope.spawn(work(part))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).collect()
    })
}

fn on_threads<T: Send>(threads: usize, run: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let run = &run;
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        parts.into_iter().map(|part| part.join().expect("a thread")).collect()
    })
}
