//! Clients and gateways that die in the middle of a job, and clients that never come back: real processes, with a proxy between
//! client and gateway that makes the middle long and counts the bytes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{process::Child, thread, time::Instant};

use coffee_core::sales::fused;
use coffee_mom::testing::{proxy::Proxy, rabbitmq::SharedBroker};
use support::{
    Data, Run,
    cluster::{Cluster, DEADLINE, Gateway, assert_same, broker, ended, job_of, wait_until},
    leftovers::{Leftovers, scratch_files},
};
use tempfile::TempDir;

/// All rows are results, which are then nearly as many bytes as the data.
const MOST: [&str; 4] = ["--queries", "q1", "--min-amount", "0"];

/// Bytes a second by which an upload takes some seconds.
const SLOW: u64 = 4 << 20;

/// The least bytes of a chunk that is not the last of its file.
const CHUNK: u64 = 1_000_000;

/// A submission under way.
struct Client {
    child: Child,
    out: TempDir,
    job: String,
}

impl Client {
    /// Starts a submission to these gateways.
    fn start(cluster: &Cluster, gateways: &str, data: &Data, flags: &[&str]) -> Client {
        let (mut child, out) = submitting(cluster, gateways, data, flags);
        let job = job_of(&mut child);
        Client { child, out, job }
    }

    /// Goes on with a job.
    fn resume(cluster: &Cluster, gateways: &str, data: &Data, job: String) -> Client {
        let (child, out) = submitting(cluster, gateways, data, &["--job", &job]);
        Client { child, out, job }
    }

    /// Kills it by SIGKILL; returns its job.
    fn kill(mut self) -> String {
        assert!(self.runs(), "it has ended before");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.job
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn ended(self) -> Run {
        ended(self.child, self.out)
    }
}

fn submitting(cluster: &Cluster, gateways: &str, data: &Data, flags: &[&str]) -> (Child, TempDir) {
    let out = tempfile::tempdir().unwrap();
    let flags: Vec<&str> = ["--gateway", gateways].iter().chain(flags).copied().collect();
    (cluster.submitting(data.path(), out.path(), &flags), out)
}

/// A proxy in front of a cluster's gateway, which is slow.
fn slow_way(cluster: &Cluster) -> Proxy {
    let way = Proxy::start(cluster.gateways.parse().unwrap()).unwrap();
    way.throttle(Some(SLOW));
    way
}

/// Where clients connect to it.
fn at(way: &Proxy) -> String {
    way.address().to_string()
}

#[test]
fn what_is_confirmed_is_not_sent_again() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "again"]);
    let data = Data::generated(1, 100_000, &["2024-01"]);
    let way = slow_way(&cluster);
    let client = Client::start(&cluster, &at(&way), &data, &[]);
    let known = cluster.wait_for_chunks(&client.job, 12);
    let job = client.kill();
    assert!(way.bytes_up() < data.size());

    // What it had sent still arrives, and counts.
    way.throttle(None);
    assert!(way.wait_for_connections(0, Instant::now() + DEADLINE));
    let before = way.bytes_up();
    let resumed = Client::resume(&cluster, &at(&way), &data, job.clone()).ended();
    let sent = way.bytes_up() - before;
    assert_same(&resumed, data.path(), &[], "resumed");
    // Each of the five files has one chunk that is smaller; a chunk has a head of some bytes, and a connection a manifest.
    let kept = (known - 5) * CHUNK;
    assert!(sent < data.size() - kept + CHUNK / 4, "{sent} of {} with {known} chunks confirmed", data.size());

    let before = way.bytes_up();
    let fetched = Client::resume(&cluster, &at(&way), &data, job).ended();
    assert_same(&fetched, data.path(), &[], "fetched again");
    assert!(way.bytes_up() - before < CHUNK / 4, "{} bytes of a job that is done", way.bytes_up() - before);
    cluster.stop();
}

#[test]
fn client_and_gateway_die_and_both_come_back() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "both", "--placement", "staged"]);
    let data = Data::generated(2, 100_000, &["2024-01"]);
    let way = slow_way(&cluster);
    let mut client = Client::start(&cluster, &at(&way), &data, &[]);
    for chunks in [4, 8] {
        cluster.wait_for_chunks(&client.job, chunks);
        let job = client.kill();
        cluster.kill("gateway-0");
        client = Client::resume(&cluster, &at(&way), &data, job);
    }
    assert_same(&client.ended(), data.path(), &[], "both died");
    cluster.stop();
}

#[test]
fn a_gateway_that_is_killed_again_and_again_costs_time_alone() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "gateway"]);
    let data = Data::generated(3, 500_000, &["2024-01"]);
    let way = slow_way(&cluster);
    let mut client = Client::start(&cluster, &at(&way), &data, &MOST);
    for chunks in [5, 12, 19] {
        cluster.wait_for_chunks(&client.job, chunks);
        assert_eq!(cluster.says_of(&client.job, "state"), "uploading");
        cluster.kill("gateway-0");
    }
    for time in 0..3 {
        // Of the results: nothing else is so long.
        assert!(way.wait_for_bytes_down(way.bytes_down() + CHUNK, Instant::now() + DEADLINE));
        assert!(client.runs(), "it had all before it was killed for the {time}th time");
        cluster.kill("gateway-0");
    }
    way.throttle(None);
    assert_same(&client.ended(), data.path(), &MOST, "killed again and again");
    cluster.stop();
}

#[test]
fn another_gateway_takes_over_for_one_that_died_for_good() {
    let broker = broker();
    let flags = ["--name", "second", "--placement", "staged"];
    let cluster = Cluster::start(&broker, &flags);
    let data = Data::generated(4, 60_000, &["2024-01"]);
    for results in [false, true] {
        let second = Gateway::start(broker.url(), &flags);
        let way = Proxy::start(second.at.parse().unwrap()).unwrap();
        way.throttle(Some(SLOW));
        let gateways = format!("{},{}", at(&way), cluster.gateways);
        let mut client = Client::start(&cluster, &gateways, &data, &MOST);
        if results {
            assert!(way.wait_for_bytes_down(CHUNK / 4, Instant::now() + DEADLINE), "results");
        } else {
            cluster.wait_for_chunks(&client.job, 1);
        }
        assert!(client.runs());
        drop(second);
        assert_same(&client.ended(), data.path(), &MOST, &format!("results: {results}"));
    }
    cluster.stop();
}

/// What becomes of a cluster while one of its clients is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    Stopped,
    Killed,
}

/// So much data that a node needs scratch files for it, and still more.
fn long() -> Data {
    let data = Data::generated(5, 40_000, &["2024-01"]);
    let folder = data.path().join("transactions");
    for number in 0..100 {
        std::fs::hard_link(folder.join("transactions_202401.csv"), folder.join(format!("{number}.csv"))).unwrap();
    }
    data
}

#[test]
fn of_a_client_that_never_comes_back_nothing_is_left() {
    let (broker, long) = (broker(), long());
    thread::scope(|scope| {
        for (name, meanwhile) in
            [("left", Meanwhile::Nothing), ("left-stopped", Meanwhile::Stopped), ("left-killed", Meanwhile::Killed)]
        {
            let (broker, long) = (&broker, &long);
            scope.spawn(move || nothing_is_left(broker, long, name, meanwhile));
        }
    });
}

fn nothing_is_left(broker: &SharedBroker, data: &Data, name: &str, meanwhile: Meanwhile) {
    let flags = ["--name", name, "--client-timeout", "10s"];
    let mut cluster = Cluster::start(broker, &flags);
    let client = Client::start(&cluster, &cluster.gateways, data, &MOST);
    wait_until("a scratch file", || scratch_files(&cluster) > 0);
    assert_eq!(cluster.says_of(&client.job, "state"), "uploading", "{meanwhile:?}");
    let job = client.kill();
    cluster = match meanwhile {
        Meanwhile::Nothing => cluster,
        Meanwhile::Stopped => Cluster::start_in(cluster.stop(), broker, &flags),
        Meanwhile::Killed => Cluster::start_in(cluster.crash(), broker, &flags),
    };
    assert_eq!(cluster.says_of(&job, "state"), "uploading", "it has its time again");
    wait_until("it is cancelled", || cluster.says_of(&job, "state") == "cancelled");
    assert!(cluster.says(&["jobs", &job]).contains("its client was away"), "{}", cluster.says(&["jobs", &job]));
    let leftovers = Leftovers::of(broker.url(), name, fused().unwrap());
    leftovers.wait_until_all_is_forgotten();
    assert_eq!(scratch_files(&cluster), 0, "{meanwhile:?}");
    assert_usable(&cluster);
    let state = cluster.stop();
    leftovers.assert_no_journal_has_any(state.path());
    leftovers.assert_no_results(state.path(), &job);
    leftovers.assert_queues_are_empty();
}

/// The cluster goes on to answer others.
fn assert_usable(cluster: &Cluster) {
    let data = Data::small();
    assert_same(&cluster.submit(data.path(), &[]), data.path(), &[], "another job");
}
