//! The same through the whole embedded engine: chunks, frames, queues with confirms and acks, groups in order, and a
//! sink. Its threads are as many readers as asked for and one a shard; so it has more than one in any case.

use std::{num::NonZeroUsize, sync::Arc};

use coffee_core::{
    operator::{Count, GroupBy, Measure, Row, Sum, TopBy},
    plan::{Flow, Placement, PlanBuilder, SinkId, Topology},
    source::{Chunk, Rows, Source},
};
use coffee_nodes::{
    embedded::Embedded,
    feed::{Chunks, Feed, FeedError, Position},
    job::{Job, Place, TableManifest},
};

use crate::rows::{Answer, BEST, Digest, Kept, Sale, Task};

/// Rows of a chunk: about what 1 MiB of CSV has.
const CHUNK: usize = 16 << 10;

pub fn run(task: Task, rows: &'static [Sale], threads: usize) -> Answer {
    let run = Run { rows, threads };
    match task {
        Task::TwoFilters => {
            let kept = run.rows_of(true, |sales| {
                let kept = sales.filter("day", |()| Sale::by_day).filter("dear", |()| Sale::is_dear);
                let sum = Sum::<_, i64>::new(|sale: &Sale| sale.amount);
                kept.aggregate("kept", move |()| GroupBy::new(|_: &Sale| Some(()), (Count, sum))).sink("out")
            });
            let mut all = Kept::default();
            kept.into_iter().for_each(|((), (rows, total))| all.merge(Kept { rows, total }));
            Answer::Kept(all)
        }
        Task::SumByStore => Answer::sums(run.rows_of(true, |sales| {
            let sum = Sum::<_, i64>::new(|sale: &Sale| sale.amount);
            sales.aggregate("sums", move |()| GroupBy::new(|sale: &Sale| Some(sale.store), sum)).sink("out")
        })),
        Task::CountByUser(_) => {
            let digests = run.rows_of(false, |sales| {
                let counts = sales.aggregate("counts", |()| GroupBy::new(|sale: &Sale| Some(sale.user), Count));
                counts.aggregate("digest", |()| GroupBy::new(|_: &(u32, u64)| Some(()), Digests)).sink("out")
            });
            let mut all = Digest::default();
            digests.into_iter().for_each(|((), part)| all.merge(part));
            Answer::Counts(all)
        }
        Task::BestByRegion => Answer::best(run.rows_of(true, |sales| {
            sales.maximize("top", |()| TopBy::new(Sale::region, Sale::order, BEST)).sink("out")
        })),
    }
}

struct Run {
    rows: &'static [Sale],
    threads: usize,
}

impl Run {
    fn rows_of<R: Ord + Row>(&self, combines: bool, plan: impl FnOnce(Flow<'_, (), Sale>) -> SinkId<R>) -> Vec<R> {
        let builder = PlanBuilder::<()>::new();
        let rows = self.rows;
        let sink = plan(builder.source("sales", move |()| InMemory(rows)));
        let plan = Arc::new(builder.build().expect("a plan"));
        let mut placement = Placement::of(&plan);
        placement.set_shards(Some("level-1"), self.threads as u16).expect("a stage");
        placement.stages[0].combine = combines;
        let topology = Arc::new(Topology::new(plan, &placement).expect("a topology"));
        let threads = NonZeroUsize::new(self.threads).expect("a thread");
        let job = Job::new(&topology, &()).expect("parameters").feed("sales", Numbers(rows.len()));
        Embedded::new().threads(threads).run(&job).expect("an answer").rows(&sink).expect("asked for").collect()
    }
}

/// Digests counts.
struct Digests;

impl Measure<(u32, u64)> for Digests {
    type Acc = Digest;

    fn fold(&self, acc: &mut Digest, (user, count): &(u32, u64)) {
        acc.add(*user, *count);
    }

    fn merge(&self, acc: &mut Digest, part: Digest) {
        acc.merge(part);
    }
}

/// Yields rows that lie in memory already. A chunk's first line says which of them.
struct InMemory(&'static [Sale]);

impl Source for InMemory {
    type Row = Sale;

    fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, Sale>) {
        let start = chunk.first_line as usize;
        self.0.iter().skip(start).take(CHUNK).for_each(|row| rows.push(*row));
    }
}

/// So many of such rows, in chunks without data.
struct Numbers(usize);

impl Feed for Numbers {
    /// There is none: it is for this process alone.
    fn manifest(&self, _chunk_bytes: u32) -> Result<TableManifest, FeedError> {
        Err(FeedError::Once("sales".to_owned()))
    }

    fn chunks(&self, _chunk_bytes: usize, from: Place) -> Result<Box<dyn Chunks + '_>, FeedError> {
        Ok(Box::new(Left { rows: self.0, next: from.offset as usize }))
    }

    fn bytes(&self) -> u64 {
        0
    }
}

/// Those that are left.
struct Left {
    rows: usize,
    next: usize,
}

impl Chunks for Left {
    fn fill(&mut self, _buffer: &mut Vec<u8>) -> Result<Option<Position>, FeedError> {
        let first = self.next;
        self.next += CHUNK;
        let place = |row: usize| Place { file: 0, offset: row as u64, line: row as u64 };
        let position = Position { at: place(first), next: place(self.next), header: Arc::default(), bytes: 0 };
        Ok((first < self.rows).then_some(position))
    }
}
