//! Loops by hand, as one would write them for one question: the limits.

use std::{collections::HashMap, thread};

use foldhash::fast::RandomState;

use crate::rows::{Answer, Best, Digest, Kept, Sale, Task, share};

/// The loop with the data structure that comes to mind first.
pub fn plain(task: Task, rows: &'static [Sale], threads: usize) -> Answer {
    match task {
        Task::TwoFilters => {
            let parts = on_threads(rows, threads, |rows| {
                let mut kept = Kept::default();
                rows.iter().filter(|sale| sale.by_day() && sale.is_dear()).for_each(|sale| kept.add(sale));
                kept
            });
            Answer::Kept(parts.into_iter().reduce(merged(Kept::merge)).unwrap_or_default())
        }
        Task::SumByStore => {
            let parts = on_threads(rows, threads, |rows| {
                let mut sums: HashMap<u8, i64, RandomState> = HashMap::default();
                rows.iter().for_each(|sale| *sums.entry(sale.store).or_default() += sale.amount);
                sums
            });
            Answer::sums(merge_maps(parts, |sum, part| *sum += part).into_iter().collect())
        }
        Task::CountByUser(_) => {
            let parts = on_threads(rows, threads, |rows| {
                let mut counts: HashMap<u32, u64, RandomState> = HashMap::default();
                rows.iter().for_each(|sale| *counts.entry(sale.user).or_default() += 1);
                counts
            });
            let counts = merge_maps(parts, |count, part| *count += part);
            Answer::Counts(digest(counts))
        }
        Task::BestByRegion => {
            let parts = on_threads(rows, threads, |rows| {
                let mut best: HashMap<u8, Best, RandomState> = HashMap::default();
                rows.iter().for_each(|sale| best.entry(sale.region()).or_default().offer(sale));
                best
            });
            Answer::best(merge_maps(parts, Best::merge).into_values().flat_map(Best::into_rows).collect())
        }
    }
}

/// The loop with the best data structure for just these keys: an array by key, or partitions that fit the cache. `None`
/// where there is no other than the plain one.
pub fn tailored(task: Task, rows: &'static [Sale], threads: usize) -> Option<Answer> {
    match task {
        Task::TwoFilters => None,
        Task::SumByStore => {
            let parts = on_threads(rows, threads, |rows| {
                let mut sums = [None; 256];
                rows.iter().for_each(|sale| *sums[usize::from(sale.store)].get_or_insert(0) += sale.amount);
                sums
            });
            let sum = |store: u8| parts.iter().filter_map(|sums| sums[usize::from(store)]).reduce(|a, b| a + b);
            Some(Answer::sums((0..=u8::MAX).filter_map(|store| Some((store, sum(store)?))).collect()))
        }
        Task::CountByUser(_) => Some(Answer::Counts(by_partitions(rows, threads))),
        Task::BestByRegion => {
            let parts = on_threads(rows, threads, |rows| {
                let mut best: Vec<Best> = vec![Best::default(); 256];
                rows.iter().for_each(|sale| best[usize::from(sale.region())].offer(sale));
                best
            });
            let mut best = vec![Best::default(); 256];
            parts.into_iter().for_each(|part| best.iter_mut().zip(part).for_each(|(best, part)| best.merge(part)));
            Some(Answer::best(best.into_iter().flat_map(Best::into_rows).collect()))
        }
    }
}

/// Deals all keys out to partitions, then counts each for itself, in cache.
fn by_partitions(rows: &'static [Sale], threads: usize) -> Digest {
    const PARTITIONS: usize = 256;
    let dealt = on_threads(rows, threads, |rows| {
        let mut partitions: Vec<Vec<u32>> =
            (0..PARTITIONS).map(|_| Vec::with_capacity(rows.len() / PARTITIONS * 9 / 8)).collect();
        for sale in rows {
            partitions[(sale.user.wrapping_mul(0x9E37_79B9) >> 24) as usize].push(sale.user);
        }
        partitions
    });
    let dealt = &dealt;
    let counted = thread::scope(|scope| {
        let count = |thread: usize| {
            let mut all = Digest::default();
            let mut counts: HashMap<u32, u64, RandomState> = HashMap::default();
            for partition in (thread..PARTITIONS).step_by(threads) {
                let keys = dealt.iter().flat_map(|partitions| &partitions[partition]);
                keys.for_each(|user| *counts.entry(*user).or_default() += 1);
                counts.drain().for_each(|(user, count)| all.add(user, count));
            }
            all
        };
        let counting: Vec<_> = (0..threads).map(|thread| scope.spawn(move || count(thread))).collect();
        counting.into_iter().map(|thread| thread.join().expect("a counting thread")).collect::<Vec<_>>()
    });
    counted.into_iter().reduce(merged(Digest::merge)).unwrap_or_default()
}

fn digest(counts: HashMap<u32, u64, RandomState>) -> Digest {
    let mut all = Digest::default();
    counts.into_iter().for_each(|(user, count)| all.add(user, count));
    all
}

fn on_threads<T: Send>(rows: &'static [Sale], threads: usize, run: impl Fn(&'static [Sale]) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let run = &run;
        let parts: Vec<_> = (0..threads).map(|at| scope.spawn(move || run(share(rows, at, threads)))).collect();
        parts.into_iter().map(|part| part.join().expect("a thread of the loop")).collect()
    })
}

fn merged<T>(merge: impl Fn(&mut T, T)) -> impl Fn(T, T) -> T {
    move |mut all, part| {
        merge(&mut all, part);
        all
    }
}

fn merge_maps<K: std::hash::Hash + Eq, V: Default>(
    parts: Vec<HashMap<K, V, RandomState>>,
    merge: impl Fn(&mut V, V),
) -> HashMap<K, V, RandomState> {
    let merge_all = |mut all: HashMap<K, V, RandomState>, part: HashMap<K, V, RandomState>| {
        part.into_iter().for_each(|(key, value)| merge(all.entry(key).or_default(), value));
        all
    };
    parts.into_iter().reduce(merge_all).unwrap_or_default()
}
