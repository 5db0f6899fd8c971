//! The operators of `coffee-core`, as blocks of rows go through them within a node. Rows stay typed, as nothing leaves the process; so
//! threads that group by a key exchange whole partitions of groups in the end, and no rows.

use std::{sync::Mutex, thread};

use coffee_core::{
    exec::{Best, Block, Combiner, Groups},
    operator::{Aggregator, Count, GroupBy, Maximizer, Sum, TopBy},
    source::BLOCK,
};

use crate::rows::{Answer, BEST, Digest, Kept, Sale, Task, share};

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

/// Folds the rows of each key on so many threads, each of which has its share of the rows, and of the keys then.
fn grouped<A: Aggregator<Row = Sale> + Clone + Send, T: Send>(
    rows: &'static [Sale],
    threads: usize,
    combines: bool,
    make: impl Fn() -> A + Sync,
    finish: impl Fn(&mut dyn Iterator<Item = A::Out>) -> T + Sync,
) -> Vec<T> {
    let folded = on_threads(threads, |thread| {
        let (mut combiner, mut groups) = (Combiner::new(make(), combines), Groups::new(make()));
        let rows = share(rows, thread, threads);
        rows.chunks(BLOCK).for_each(|rows| combiner.fold(Block::all(rows), |(key, part)| groups.merge(key, part)));
        combiner.flush(|(key, part)| groups.merge(key, part));
        groups.split(threads)
    });
    let mut shares: Vec<_> = (0..threads).map(|_| Vec::with_capacity(threads)).collect();
    folded.into_iter().for_each(|split| shares.iter_mut().zip(split).for_each(|(all, share)| all.push(share)));
    let shares: Vec<_> = shares.into_iter().map(Mutex::new).collect();
    on_threads(threads, |thread| {
        let mut shares = std::mem::take(&mut *shares[thread].lock().expect("a share")).into_iter();
        let mut groups = shares.next().expect("each thread's share");
        groups.absorb(shares);
        finish(&mut groups.drain())
    })
}

fn on_threads<T: Send>(threads: usize, run: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let run = &run;
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        parts.into_iter().map(|part| part.join().expect("a thread")).collect()
    })
}
