//! The embedded engine with pipelines that are not the queries': what stops it, and what goes wrong in it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

use std::sync::Arc;

use coffee_core::{
    operator::{Count, GroupBy},
    plan::{ParametersError, Placement, PlanBuilder, SinkId, SourceId, Topology},
    source::{Chunk, Rows, Source},
};
use coffee_nodes::{
    Stop,
    embedded::{Embedded, EmbeddedError, RowsError},
    feed::FeedError,
    job::{Job, JobError},
};

type Counted = (u64, u64);

/// Counts the numbers that a filter keeps, by their last digit.
fn counting(keep: fn(&u64) -> bool) -> (SourceId<u64>, SinkId<Counted>, Arc<Topology>) {
    let builder = PlanBuilder::<u8>::new();
    let (source, numbers) = builder.rows::<u64>("numbers");
    let sink = numbers
        .filter("kept", move |_| keep)
        .aggregate("count", |_| GroupBy::new(|n: &u64| Some(n % 10), Count))
        .sink("counts");
    let plan = Arc::new(builder.build().unwrap());
    let topology = Topology::new(plan.clone(), &Placement::of(&plan)).unwrap();
    (source, sink, Arc::new(topology))
}

#[test]
fn it_answers() {
    let (source, sink, topology) = counting(|n| *n < 95);
    let outcome = Job::new(&topology, &0u8).unwrap().rows(&source, 0..100).run_embedded().unwrap();
    let expected: Vec<Counted> = (0..10).map(|digit| (digit, if digit < 5 { 10 } else { 9 })).collect();
    assert_eq!(outcome.rows(&sink).unwrap().collect::<Vec<_>>(), expected);
    let kept = outcome.report.of("kept");
    assert_eq!((kept.rows_in, kept.rows_out), (100, 95));
    assert_eq!(outcome.rejected().count(), 0);
}

#[test]
fn a_result_that_was_not_asked_for_is_an_error_and_an_empty_one_is_not() {
    let builder = PlanBuilder::<()>::new();
    let (source, numbers) = builder.rows::<u64>("numbers");
    let (other, others) = builder.rows::<u64>("others");
    let (all, none) = (numbers.sink("all"), numbers.filter("no", |_| |_: &u64| false).sink("none"));
    let rest = others.sink("rest");
    let topology = Topology::of(builder.build().unwrap()).unwrap();
    let job = || Job::new(&topology, &()).unwrap().rows(&source, 0..3);

    let outcome = job().ask(&all).ask(none.name()).run_embedded().unwrap();
    assert_eq!(outcome.rows(&all).unwrap().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(outcome.rows(&none).unwrap().count(), 0);
    assert_eq!(outcome.rows(&rest).map(Iterator::count), Err(RowsError::NotAsked("rest".to_owned())));

    let builder = PlanBuilder::<()>::new();
    let (_, texts) = builder.rows::<(String, u64)>("texts");
    let of_another_plan = texts.sink("all");
    assert!(matches!(outcome.rows(&of_another_plan).map(Iterator::count), Err(RowsError::OtherPlan { .. })));

    assert_eq!(job().ask(&rest).sources().unwrap(), [other.name()]);
    let error = job().ask(&all).ask("typo").sources().unwrap_err();
    assert!(matches!(error, JobError::UnknownSink(name) if name == "typo"));
    assert!(matches!(job().run_embedded(), Err(EmbeddedError::Job(JobError::NoFeed(name))) if name == "others"));
}

#[test]
fn rows_become_none_or_many_and_meet_the_only_row_of_a_table_by_no_key() {
    let builder = PlanBuilder::<u32>::new();
    let (source, numbers) = builder.rows::<u32>("numbers");
    let downs = numbers.flat_map("down", |least| {
        let least = *least;
        move |n: &u32| least..*n
    });
    let total = downs.key(|_| ()).aggregate("total", |_| Count);
    let shares = downs
        .key(|n| *n)
        .aggregate("each", |_| Count)
        .key(|_| ())
        .join("of", total.key(|_| ()), |_| |row: &(u32, u64), total: &((), u64)| (row.0, row.1, total.1))
        .sink("shares");
    let twice = numbers.key(|n| *n).aggregate("seen", |_| Count).filter("twice", |_| |row: &(u32, u64)| row.1 > 1);
    let alone = numbers
        .key(|n| *n)
        .left_join("not-twice", twice.key(|row| row.0), |_| {
            |n: &u32, twice: Option<&(u32, u64)>| twice.is_none().then_some(*n)
        })
        .sink("alone");
    let topology = Topology::of(builder.build().unwrap()).unwrap();
    let outcome = Job::new(&topology, &1u32).unwrap().rows(&source, [3, 0, 4, 2, 4]).run_embedded().unwrap();
    let shares: Vec<(u32, u64, u64)> = outcome.rows(&shares).unwrap().collect();
    assert_eq!(shares, [(1, 4, 9), (2, 3, 9), (3, 2, 9)]);
    assert_eq!(outcome.rows(&alone).unwrap().collect::<Vec<_>>(), [0, 2, 3]);
    let down = outcome.report.of("down");
    assert_eq!((down.rows_in, down.rows_out), (5, 9));
}

#[test]
fn a_line_that_is_longer_than_a_chunk_is_read_whole() {
    struct Lengths;
    impl Source for Lengths {
        type Row = (u64, u64);

        fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, (u64, u64)>) {
            let lines = chunk.data.split_inclusive(|byte| *byte == b'\n');
            (chunk.first_line..).zip(lines).for_each(|(number, line)| rows.push((number, line.len() as u64)));
        }
    }
    let builder = PlanBuilder::<()>::new();
    let lines = builder.source("lines", |_| Lengths).sink("lengths");
    let topology = Topology::of(builder.build().unwrap()).unwrap();
    let text = format!("header\n1\n{}\n22\n", "x".repeat(3000));
    for chunk_bytes in [1, 100, 1 << 20] {
        let job = Job::new(&topology, &()).unwrap().text("lines", &text).chunk_bytes(chunk_bytes);
        let rows: Vec<_> = job.run_embedded().unwrap().rows(&lines).unwrap().collect();
        assert_eq!(rows, [(2, 2), (3, 3001), (4, 3)]);
    }
}

#[test]
fn a_stop_ends_it_though_its_rows_never_end_and_none_goes_further() {
    let (source, _, topology) = counting(|_| false);
    let stop = Stop::new();
    let trigger = stop.clone();
    let endless = (0..).inspect(move |n| {
        if *n == 1000 {
            trigger.trigger();
        }
    });
    let job = Job::new(&topology, &0u8).unwrap().rows_once(&source, endless);
    let error = Embedded::new().stop(stop).run(&job).unwrap_err();
    assert!(matches!(error, EmbeddedError::Interrupted), "{error}");
}

#[test]
fn an_operator_that_panics_ends_it_with_an_error() {
    let (source, _, topology) = counting(|n| if *n == 77 { panic!("on purpose") } else { true });
    let error = Job::new(&topology, &0u8).unwrap().rows(&source, 0..).run_embedded().unwrap_err();
    assert!(matches!(&error, EmbeddedError::Node { thread, .. } if thread.starts_with("feed-")), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.ends_with("it panicked: on purpose"), "{cause}");
}

#[test]
fn what_was_left_out_or_does_not_fit_is_said() {
    let (source, _, topology) = counting(|_| true);
    let error = Job::new(&topology, &0u8).unwrap().run_embedded().unwrap_err();
    assert!(matches!(error, EmbeddedError::Job(JobError::NoFeed(name)) if name == "numbers"));
    assert!(matches!(Job::new(&topology, &0u32), Err(JobError::Parameters(ParametersError::Type { .. }))));
    let (other, _) = PlanBuilder::<u8>::new().rows::<u64>("others");
    let error = Job::new(&topology, &0u8).unwrap().rows(&source, 0..1).rows(&other, 0..1).run_embedded().unwrap_err();
    assert!(matches!(error, EmbeddedError::Job(JobError::UnknownSource(name)) if name == "others"));
    let job = Job::new(&topology, &0u8).unwrap().rows_once(&source, 0..1);
    assert!(job.run_embedded().is_ok());
    let error = job.run_embedded().unwrap_err();
    assert!(matches!(error, EmbeddedError::Job(JobError::Feed(FeedError::Once(name))) if name == "numbers"));
}
