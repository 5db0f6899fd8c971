//! A cluster of threads, on both brokers: several clients at once, rows that programs make, and what is told of failures.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use coffee_core::{
    operator::Count,
    plan::{Placement, Plan, PlanBuilder, SinkId, SourceId, Topology},
};
use coffee_mom::{open, testing::rabbitmq::TestBroker};
use coffee_nodes::{
    Stop,
    client::ClientError,
    feed::FeedError,
    job::{Job, JobError},
    local::{LocalCluster, LocalOptions},
};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

type Counted = (u64, u64);

/// Counts the numbers below the parameter by their last digit.
fn counting() -> (SourceId<u64>, SinkId<Counted>, Arc<Plan>) {
    let builder = PlanBuilder::<u64>::new();
    let (source, numbers) = builder.rows::<u64>("numbers");
    let least = |p: &u64| {
        let most = *p;
        move |n: &u64| *n < most
    };
    let sink = numbers.filter("small", least).key(|n| n % 10).aggregate("count", |_| Count).sink("counts");
    (source, sink, Arc::new(builder.build().unwrap()))
}

fn clients_at_once(url: &str) {
    let (source, sink, plan) = counting();
    let mut placement = Placement::apart(&plan);
    placement.set_replicas(None, 2).unwrap();
    placement.set_shards(None, 2).unwrap();
    for topology in [Topology::of(plan.clone()).unwrap(), Arc::new(Topology::new(plan, &placement).unwrap())] {
        let broker = open(url, soon()).unwrap();
        let name = format!("local-{}-{}", std::process::id(), topology.stages().len());
        let cluster = LocalCluster::start(&broker, &topology, LocalOptions::new(&name)).unwrap();
        thread::scope(|scope| {
            for most in [0, 7, 200_000, 300_000] {
                let (cluster, topology, source, sink) = (&cluster, &topology, &source, &sink);
                scope.spawn(move || {
                    let job = Job::new(topology, &most).unwrap().rows(source, 0..250_000).chunk_bytes(1 << 17);
                    let outcome = cluster.client().run(&job, &Stop::new()).unwrap();
                    let embedded = job.run_embedded().unwrap();
                    let rows: Vec<Counted> = outcome.rows(sink).unwrap().collect();
                    assert_eq!(rows, embedded.rows(sink).unwrap().collect::<Vec<_>>());
                    assert_eq!(rows.iter().map(|(_, count)| count).sum::<u64>(), most.min(250_000));
                    assert_eq!(outcome.report, embedded.report);
                });
            }
        });
        cluster.check().unwrap();
        cluster.stop(soon()).unwrap();
        broker.close(soon()).unwrap();
    }
}

#[test]
fn clients_at_once_on_the_broker_in_the_process() {
    clients_at_once("memory:");
}

#[test]
fn clients_at_once_on_rabbitmq() {
    clients_at_once(TestBroker::shared().unwrap().url());
}

#[test]
fn what_can_t_be_sent_again_is_not_submitted() {
    let (source, _, plan) = counting();
    let (topology, broker) = (Topology::of(plan).unwrap(), open("memory:", soon()).unwrap());
    let cluster = LocalCluster::start(&broker, &topology, LocalOptions::new("once")).unwrap();
    let job = Job::new(&topology, &5u64).unwrap().rows_once(&source, 0..10);
    let error = cluster.client().run(&job, &Stop::new()).unwrap_err();
    assert!(matches!(error, ClientError::Job(JobError::Feed(_))), "{error}");
    // What no chunk can hold is refused before any is sent.
    let line = format!("header\n{}\n", "x".repeat(1 << 20));
    let job = Job::new(&topology, &5u64).unwrap().text(source.name(), line);
    let error = cluster.client().run(&job, &Stop::new()).unwrap_err();
    assert!(matches!(error, ClientError::Job(JobError::Feed(FeedError::TooLarge { row: 2, .. }))), "{error}");
    let job = Job::new(&topology, &5u64).unwrap();
    assert!(matches!(cluster.client().run(&job, &Stop::new()), Err(ClientError::Job(JobError::NoFeed(_)))));
    cluster.stop(soon()).unwrap();
}

#[test]
fn what_is_kept_is_there_for_the_next_one() {
    let (source, sink, plan) = counting();
    let (topology, folder) = (Topology::of(plan).unwrap(), tempfile::tempdir().unwrap());
    let job = Job::new(&topology, &100u64).unwrap().rows(&source, 0..1000);
    let options = LocalOptions { state: Some(folder.path().to_owned()), ..LocalOptions::new("kept") };
    let mut begun = None;
    for _ in 0..2 {
        let broker = open("memory:", soon()).unwrap();
        let cluster = LocalCluster::start(&broker, &topology, options.clone()).unwrap();
        let mut pieces = Vec::new();
        let report = cluster.client().submit(&job, begun, &Stop::new(), &mut |event| {
            match event {
                coffee_nodes::client::Event::Begun(id) => begun = Some(id),
                coffee_nodes::client::Event::Piece(piece) if piece.sink == sink.name() => {
                    pieces.extend(piece.rows::<Counted>().map(Result::unwrap));
                }
                _ => {}
            }
            Ok(())
        });
        assert_eq!(report.unwrap().of("small").rows_out, 100);
        assert_eq!(pieces, (0..10).map(|digit| (digit, 10)).collect::<Vec<_>>());
        cluster.stop(soon()).unwrap();
        broker.close(soon()).unwrap();
    }
}
