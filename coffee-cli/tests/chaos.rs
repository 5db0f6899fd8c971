//! Clusters of real processes whose nodes are killed at random: their answers stay exact, and nothing is left behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use coffee_core::sales::fused;
use support::{
    Data,
    cluster::{Cluster, broker, kill, wait_until},
    coffee,
    leftovers::Leftovers,
    run, said,
};

const NAME: &str = "chaos";

/// By this seed each node, monitors among them, is drawn at least twice in the first 36 turns.
const SEED: &str = "18";

#[test]
fn answers_stay_exact_while_all_kinds_of_nodes_are_killed() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", NAME]);
    let chaos = chaos(cluster.state.path(), &["--every", "300ms", "--for", "12s", "--seed", SEED]);
    let over = AtomicBool::new(false);
    let done = thread::scope(|scope| {
        let (cluster, over) = (&cluster, &over);
        let clients = [1, 2].map(|seed| scope.spawn(move || submit_until(cluster, seed, over)));
        let (code, stdout, stderr) = said(chaos.wait_with_output().unwrap());
        over.store(true, Ordering::Relaxed);
        assert_eq!(code, 0, "{stderr}");
        assert_all_were_killed(cluster, &stdout, &stderr);
        clients.map(|client| client.join().unwrap())
    });
    assert!(done.iter().all(|done| *done > 1), "{done:?} jobs were done meanwhile");
    let states = cluster.says(&["jobs", "--json"]);
    assert!(states.lines().count() >= done.iter().sum::<usize>(), "{states}");
    assert!(states.lines().all(|job| job.contains("\"state\":\"done\"")), "{states}");
    let leftovers = Leftovers::of(broker.url(), NAME, fused().unwrap());
    leftovers.wait_until_all_is_forgotten();
    let state = cluster.stop();
    leftovers.assert_no_journal_has_any(state.path());
    leftovers.assert_queues_are_empty();
}

#[test]
fn only_nodes_of_the_wanted_kinds_are_killed_until_it_is_stopped() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "kinds"]);
    let mut chaos = chaos(cluster.state.path(), &["--every", "50ms", "--kinds", "maximizer,store-names"]);
    let mut lines = BufReader::new(chaos.stdout.take().unwrap()).lines();
    let killed: BTreeSet<String> = (0..10).map(|_| node_of(&lines.next().unwrap().unwrap()).to_owned()).collect();
    assert_eq!(killed.into_iter().collect::<Vec<_>>(), ["store-names.0", "tops.0"]);
    kill("TERM", chaos.id());
    let (code, _, stderr) = said(chaos.wait_with_output().unwrap());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("joiner ") && stderr.contains("; seed ") && stderr.lines().count() == 1, "{stderr}");
    wait_until("they come back", || cluster.nodes().iter().all(|(.., state)| state == "ready"));
    let state = cluster.stop();
    // The table is there still, and its processes may be anyone's.
    let (code, stdout, stderr) = said(self::chaos(state.path(), &["--every", "1ms"]).wait_with_output().unwrap());
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{stderr}");
    assert!(stderr.contains("no cluster runs by") && stderr.contains("start it"), "{stderr}");
}

#[test]
fn nodes_that_are_made_to_hang_are_replaced() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "hangs", "--silence", "2s"]);
    wait_until("a leader", || cluster.leader().is_some());
    let flags = ["--every", "300ms", "--for", "1500ms", "--kinds", "leader,tops,joiner", "--actions", "hang"];
    let (code, stdout, stderr) = said(chaos(cluster.state.path(), &flags).wait_with_output().unwrap());
    assert_eq!((code, stdout.lines().count()), (0, 5), "{stderr}");
    assert!(stderr.starts_with("0 kills and 5 hangs: "), "{stderr}");
    for line in stdout.lines() {
        let [_, "hang", node, pid] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        cluster.comes_back(node, pid.parse().unwrap());
    }
    cluster.stop();
}

#[test]
fn what_can_not_be_disturbed_is_bad_usage() {
    let folder = Path::new("/nowhere");
    for (flags, says) in [
        (&["--kinds", "filter"][..], "\"filter\"; there are: aggregator, gateway, groups, joiner"),
        (&["--kinds", "groups", "--placement", "staged"], "no node of the placement staged is one of \"groups\""),
        (&["--every", "0s"], "no time like 500ms"),
        (&["--actions", "stop"], "neither kill nor hang"),
        (&["--compose", "docker-compose.yml"], "cannot be used with"),
    ] {
        let (code, stdout, stderr) = said(chaos(folder, flags).wait_with_output().unwrap());
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
    let (code, _, stderr) = said(coffee().arg("chaos").output().unwrap());
    assert_eq!(code, 2);
    assert!(stderr.contains("--state") && stderr.contains("--compose"), "{stderr}");
}

fn chaos(state: &Path, flags: &[&str]) -> Child {
    let mut command = coffee();
    command.args(["chaos", "--state"]).arg(state).args(flags);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The node in a line of `coffee chaos`.
fn node_of(line: &str) -> &str {
    let [time, "kill", node, pid] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
    assert!(time.ends_with('Z') && pid.parse::<u32>().is_ok(), "{line:?}");
    node
}

fn assert_all_were_killed(cluster: &Cluster, stdout: &str, stderr: &str) {
    let killed: BTreeSet<&str> = stdout.lines().map(node_of).collect();
    let nodes = cluster.nodes();
    assert!(nodes.iter().all(|(name, ..)| killed.contains(name.as_str())), "{stdout}");
    assert!(stderr.starts_with(&format!("{} kills: ", stdout.lines().count())), "{stderr}");
    assert!(["gateway ", "query ", "results ", "monitor "].iter().all(|kind| stderr.contains(kind)), "{stderr}");
}

/// Submits the same data again and again, at last once without a disturbance; how many jobs were done.
fn submit_until(cluster: &Cluster, seed: u64, over: &AtomicBool) -> usize {
    let data = Data::generated(seed, 3_000, &["2024-01", "2025-06"]);
    let expected = run(data.path(), &[]).done();
    let mut done = 0;
    loop {
        let last = over.load(Ordering::Relaxed);
        let submitted = cluster.submit(data.path(), &[]).done();
        assert!(submitted.files() == expected.files(), "job {done} of seed {seed} has other files");
        assert_eq!(submitted.figures(), expected.figures(), "job {done} of seed {seed}");
        done += 1;
        if last {
            return done;
        }
    }
}
