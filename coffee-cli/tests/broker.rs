//! A broker that is restarted, killed and short of memory in the middle of jobs: real clusters, each with a RabbitMQ of its own.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{
    process::Child,
    thread,
    time::{Duration, Instant},
};

use coffee_core::{
    plan::Placement,
    sales::{fused, staged},
};
use coffee_mom::{
    QueueKind,
    testing::{
        proxy::Proxy,
        rabbitmq::{OwnBroker, OwnOptions},
    },
};
use support::{
    Data,
    cluster::{Cluster, DEADLINE, assert_same, ended, job_of},
    leftovers::Leftovers,
};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// All rows are results of the first query too.
const MOST: [&str; 2] = ["--min-amount", "0"];

/// A client, by a slow way to its gateway.
fn submitting(cluster: &Cluster, way: &Proxy, data: &Data, bytes_per_second: u64) -> (Child, TempDir, String) {
    way.throttle(Some(bytes_per_second));
    let out = tempfile::tempdir().unwrap();
    let gateway = way.address().to_string();
    let mut child = cluster.submitting(data.path(), out.path(), &["--gateway", &gateway, MOST[0], MOST[1]]);
    let job = job_of(&mut child);
    (child, out, job)
}

fn way_to(cluster: &Cluster) -> Proxy {
    Proxy::start(cluster.gateways.parse().unwrap()).unwrap()
}

fn pids(cluster: &Cluster) -> Vec<u32> {
    cluster.nodes().into_iter().map(|(_, pid, _)| pid).collect()
}

fn restart(broker: &mut OwnBroker, killed: bool) {
    if killed {
        broker.kill();
    } else {
        broker.stop().unwrap();
    }
    broker.restart().unwrap();
}

/// Stops it in order and kills it while a job is uploaded and some of its results are there, and kills it as the last chunk comes.
fn restarts(name: &str, queues: &str, kind: QueueKind, placement: Placement) {
    let mut broker = OwnBroker::start(OwnOptions::default()).unwrap();
    let url = broker.url();
    let flags = ["--placement", name, "--name", name, "--queues", queues];
    let cluster = Cluster::start_at(tempfile::tempdir().unwrap(), &url, &flags);
    let nodes = pids(&cluster);
    let data = Data::generated(1, 200_000, &["2024-01"]);
    let way = way_to(&cluster);
    let (mut child, out, _) = submitting(&cluster, &way, &data, 8 * MIB);
    let whole = data.size();
    // A client has 16 chunks unacked at most: so much and a bit may come while the broker is away.
    for (sent, killed) in [(4 * MIB, false), (22 * MIB, true), (whole - MIB, true)] {
        assert!(way.wait_for_bytes_up(sent, Instant::now() + DEADLINE), "{sent} bytes");
        assert!(way.bytes_up() < sent + 16 * MIB, "{sent} of {whole} were sent long ago");
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        restart(&mut broker, killed);
    }
    way.throttle(None);
    assert_same(&ended(child, out), data.path(), &MOST, name);
    assert_eq!(pids(&cluster), nodes, "no node has ended by that");
    let leftovers = Leftovers::of(&url, name, placement).queues(kind);
    leftovers.wait_until_all_is_forgotten();
    let state = cluster.stop();
    leftovers.assert_no_journal_has_any(state.path());
    leftovers.assert_queues_are_empty();
}

#[test]
fn a_job_outlasts_restarts_of_its_broker() {
    restarts("fused", "classic", QueueKind::Classic, fused().unwrap());
}

#[test]
fn a_staged_job_outlasts_restarts_of_its_broker() {
    restarts("staged", "classic", QueueKind::Classic, staged().unwrap());
}

#[test]
fn a_job_on_quorum_queues_outlasts_restarts_of_its_broker() {
    restarts("fused", "quorum", QueueKind::Quorum, fused().unwrap());
}

#[test]
fn a_staged_job_on_quorum_queues_outlasts_restarts_of_its_broker() {
    restarts("staged", "quorum", QueueKind::Quorum, staged().unwrap());
}

/// How long the broker is short of memory: longer than a client may be away.
const ALARM: Duration = Duration::from_secs(15);

#[test]
fn an_alarm_of_the_broker_pauses_all_and_ends_nothing() {
    let broker = OwnBroker::start(OwnOptions::default()).unwrap();
    let flags = ["--name", "alarm", "--placement", "staged", "--client-timeout", "10s"];
    let cluster = Cluster::start_at(tempfile::tempdir().unwrap(), &broker.url(), &flags);
    let nodes = pids(&cluster);
    let (data, small) = (Data::generated(2, 100_000, &["2024-01"]), Data::small());
    let way = way_to(&cluster);
    let (mut child, out, job) = submitting(&cluster, &way, &data, 2 * MIB);
    cluster.wait_for_chunks(&job, 4);
    assert_eq!(cluster.says_of(&job, "state"), "uploading");
    broker.alarm(true).unwrap();
    thread::scope(|scope| {
        let late = scope.spawn(|| cluster.submit(small.path(), &[]));
        thread::sleep(ALARM);
        let waiting = [child.try_wait().unwrap().is_none(), !late.is_finished()];
        broker.alarm(false).unwrap();
        assert_eq!(waiting, [true, true], "whether they wait: who was there, and who came");
        assert_same(&late.join().unwrap(), small.path(), &[], "begun meanwhile");
    });
    way.throttle(None);
    assert_same(&ended(child, out), data.path(), &MOST, "begun before");
    assert_eq!(pids(&cluster), nodes, "no node has ended by that");
    let jobs = cluster.says(&["jobs"]);
    assert!(jobs.lines().count() == 2 && jobs.lines().all(|job| job.contains("  done  ")), "{jobs}");
    cluster.stop();
}
