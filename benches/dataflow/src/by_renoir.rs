//! Renoir, as its own examples and benchmarks use it: a parallel iterator, large batches, and folds that combine before
//! the rows are exchanged.

use renoir::prelude::*;

use crate::rows::{Answer, Best, Digest, Kept, Sale, Task, share};

pub fn run(task: Task, rows: &'static [Sale], threads: usize) -> Answer {
    let config = RuntimeConfig::local(threads as u64).expect("a number of threads");
    let context = StreamContext::new(config);
    let sales = context
        .stream_par_iter(move |at, of| share(rows, at as usize, of as usize).iter().copied())
        .batch_mode(BatchMode::fixed(1 << 14));
    match task {
        Task::TwoFilters => {
            let kept = sales
                .filter(Sale::by_day)
                .filter(Sale::is_dear)
                .fold_assoc(Kept::default(), |kept, sale| kept.add(&sale), Kept::merge)
                .collect_vec();
            context.execute_blocking();
            Answer::Kept(kept.get().expect("an answer")[0])
        }
        Task::SumByStore => {
            let sums = sales
                .group_by_fold(|sale| sale.store, 0, |sum, sale| *sum += sale.amount, |sum, part| *sum += part)
                .collect_vec();
            context.execute_blocking();
            Answer::sums(sums.get().expect("an answer"))
        }
        Task::CountByUser(_) => {
            let digest = sales
                .map(|sale| sale.user)
                .group_by(|user| *user)
                .fold(0_u64, |count, _| *count += 1)
                .unkey()
                .fold_assoc(Digest::default(), |all, (user, count)| all.add(user, count), Digest::merge)
                .collect_vec();
            context.execute_blocking();
            Answer::Counts(digest.get().expect("an answer")[0])
        }
        Task::BestByRegion => {
            let best = sales
                .group_by_fold(Sale::region, Best::default(), |best, sale| best.offer(&sale), Best::merge)
                .drop_key()
                .collect_vec();
            context.execute_blocking();
            Answer::best(best.get().expect("an answer").into_iter().flat_map(Best::into_rows).collect())
        }
    }
}
