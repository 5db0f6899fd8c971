//! Whole clusters of real processes over a real RabbitMQ: what they answer is what `coffee run` answers.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{path::Path, thread};

use support::{
    Data,
    cluster::{Cluster, assert_same, broker, ended, job_of},
};

/// Generated rows, rows that can't be read, and ids that no table has.
fn data(seed: u64, transactions: u64) -> Data {
    let data = Data::generated(seed, transactions, &["2024-01", "2025-06"]);
    data.lines("transactions", &["t1,1,7.0,80.5,2024-13-02 10:00:00", "t2,99,7.0,80.5,2024-01-02 10:00:00"]);
    data.lines("users", &["7,1990-01-02", "7,1990-01-03"]);
    data
}

#[test]
fn every_placement_answers_alike() {
    let (broker, data) = (broker(), data(1, 20_000));
    let clusters: [(&str, &[&str]); 3] = [
        ("fused", &["--name", "fused"]),
        ("one shard", &["--name", "one", "--shards", "1"]),
        ("staged", &["--name", "staged", "--placement", "staged", "--replicas", "3,filter-year=2", "--shards", "3"]),
    ];
    for (what, flags) in clusters {
        let cluster = Cluster::start(&broker, flags);
        for flags in [&[][..], &["--queries", "q2,q4", "--years", "2025", "--top", "5"], &["--years", "1990"]] {
            assert_same(&cluster.submit(data.path(), flags), data.path(), flags, &format!("{what} {flags:?}"));
        }
        cluster.stop();
    }
}

#[test]
fn many_clients_at_once_are_served_alike_whatever_the_others_do() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "many", "--running", "6"]);
    let endless = data(9, 200_000);
    let out = tempfile::tempdir().unwrap();
    let mut gone = cluster.submitting(endless.path(), out.path(), &[]);
    job_of(&mut gone);
    let cancelled_out = tempfile::tempdir().unwrap();
    let mut cancelled = cluster.submitting(endless.path(), cancelled_out.path(), &[]);
    let job = job_of(&mut cancelled);
    thread::scope(|scope| {
        for client in 0..14_u64 {
            let cluster = &cluster;
            scope.spawn(move || {
                let data = data(client, 2_000 + 500 * client);
                let amount = format!("--min-amount={}", 50 + client);
                let flags = [amount.as_str(), "--from", "07:30:00"];
                assert_same(&cluster.submit(data.path(), &flags), data.path(), &flags, &format!("client {client}"));
            });
        }
        cluster.says(&["cancel", &job]);
        gone.kill().unwrap();
    });
    gone.wait().unwrap();
    let cancelled = ended(cancelled, cancelled_out);
    // Done before it was cancelled, it would be no test of that.
    assert_eq!(cancelled.code, 1, "{}", cancelled.stderr);
    assert!(cancelled.error(1).contains("cancelled"), "{}", cancelled.stderr);
    assert!(cancelled.files().is_empty());
    cluster.stop();
}

#[test]
fn clusters_of_two_names_share_a_broker() {
    let broker = broker();
    let clusters = ["red", "blue"].map(|name| Cluster::start(&broker, &["--name", name]));
    thread::scope(|scope| {
        for (seed, cluster) in (20..).zip(&clusters) {
            scope.spawn(move || {
                let data = data(seed, 5_000);
                assert_same(&cluster.submit(data.path(), &[]), data.path(), &[], &cluster.gateways);
            });
        }
    });
    assert!(clusters.iter().all(|cluster| cluster.says(&["jobs"]).lines().count() == 1));
    clusters.into_iter().for_each(|cluster| drop(cluster.stop()));
}

#[test]
fn what_is_stopped_goes_on_where_it_was() {
    let (broker, data) = (broker(), data(3, 100_000));
    let flags = ["--name", "again", "--placement", "staged"];
    let cluster = Cluster::start(&broker, &flags);
    let out = tempfile::tempdir().unwrap();
    let mut first = cluster.submitting(data.path(), out.path(), &[]);
    let job = job_of(&mut first);
    let state = cluster.stop();
    first.kill().unwrap();
    first.wait().unwrap();
    let cluster = Cluster::start_in(state, &broker, &flags);
    let resumed = cluster.submit(data.path(), &["--job", &job]);
    assert_same(&resumed, data.path(), &[], "resumed");
    let again = cluster.submit(data.path(), &["--job", &job]);
    assert_same(&again, data.path(), &[], "fetched again");
    let other = cluster.submit(data.path(), &["--job", &job, "--top", "4"]);
    assert!(other.error(2).contains("begun with other"), "{}", other.stderr);
    cluster.stop();
}

#[test]
fn nodes_that_are_killed_come_back_and_nothing_is_lost_or_twice() {
    let (broker, data) = (broker(), data(4, 150_000));
    let cluster = Cluster::start(&broker, &["--name", "killed", "--placement", "staged"]);
    let out = tempfile::tempdir().unwrap();
    let mut child = cluster.submitting(data.path(), out.path(), &[]);
    job_of(&mut child);
    let nodes: Vec<String> = cluster.nodes().into_iter().map(|(name, ..)| name).collect();
    for name in nodes.iter().filter(|name| name.as_str() != "gateway-0") {
        cluster.kill(name);
    }
    assert_same(&ended(child, out), data.path(), &[], "killed");
    cluster.stop();
}

#[test]
fn a_job_is_left_and_fetched_or_fails_alone() {
    let (broker, data) = (broker(), data(5, 3_000));
    let cluster = Cluster::start(&broker, &["--name", "left"]);
    let left = cluster.submit(data.path(), &["--detach"]);
    assert_eq!((left.code, left.stderr.as_str()), (0, ""), "the id alone, on stdout");
    let job = left.stdout.trim();
    assert_same(&cluster.submit(data.path(), &["--job", job]), data.path(), &[], "fetched");
    let strict = cluster.submit(data.path(), &["--strict"]);
    assert!(strict.stderr.contains("rejected"), "{}", strict.stderr);
    assert_eq!(strict.code, 1);
    assert!(strict.files().is_empty());
    let jobs = cluster.says(&["jobs", "--json"]);
    let states: Vec<bool> = jobs.lines().map(|job| job.contains("\"done\"")).collect();
    assert_eq!(states, [true, false], "{jobs}");
    cluster.stop();
}

#[test]
fn what_can_not_be_started_says_why() {
    let broker = broker();
    let up = |url: &str, state: &Path| {
        let mut command = support::coffee();
        command.args(["up", "--listen", "127.0.0.1:0", "--name", "refused", "--state"]).arg(state);
        support::said(command.env("COFFEE_BROKER", url).output().unwrap())
    };
    let state = tempfile::tempdir().unwrap();
    let (user, _) = broker.url().split_once('@').unwrap();
    let wrong = broker.url().replace(user, "amqp://nobody:hidden-word");
    for (url, code, why) in [(wrong.as_str(), 1, "credentials"), ("http://localhost", 2, "--broker")] {
        let (is, stdout, stderr) = up(url, state.path());
        assert_eq!((is, stdout.as_str()), (code, ""), "{stderr}");
        // Before that a slow broker may have been waited for, which is said.
        let last = stderr.lines().last().unwrap();
        assert!(last.starts_with("coffee: ") && last.contains(why), "{stderr}");
        assert!(!stderr.contains("hidden-word"), "{stderr}");
    }
    let cluster = Cluster::start(&broker, &["--name", "taken"]);
    let (code, _, stderr) = up(broker.url(), cluster.state.path());
    assert_eq!(code, 1);
    assert!(stderr.contains("in use"), "{stderr}");
    assert!(cluster.nodes().iter().all(|(_, pid, state)| *pid > 0 && state == "ready"), "{:?}", cluster.nodes());
    cluster.stop();
}
