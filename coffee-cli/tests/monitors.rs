//! Monitors of real clusters: they die and are replaced, and meanwhile what dies or hangs comes back, never twice on one state.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    net::UdpSocket,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use support::{
    Data,
    cluster::{Cluster, broker, ended, job_of, kill, wait_until},
    coffee, run, said,
};

/// The one with the highest index leads whenever it is there.
const LEADER: &str = "monitor-2";

fn leads(cluster: &Cluster, name: &str) {
    wait_until(&format!("{name} leads"), || cluster.leader().as_deref() == Some(name));
}

#[test]
fn monitors_that_are_killed_come_back_also_all_but_one_at_once() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "monitors"]);
    leads(&cluster, LEADER);
    for name in ["monitor-0", "monitor-1", LEADER] {
        let (before, _) = cluster.node(name);
        kill("KILL", before);
        cluster.comes_back(name, before);
        leads(&cluster, LEADER);
    }
    for alone in ["monitor-0", LEADER] {
        let all = ["monitor-0", "monitor-1", LEADER].into_iter().filter(|name| *name != alone);
        let killed: Vec<(&str, u32)> = all.chain(["tops.0"]).map(|name| (name, cluster.node(name).0)).collect();
        killed.iter().for_each(|(_, pid)| kill("KILL", *pid));
        killed.iter().for_each(|(name, before)| cluster.comes_back(name, *before));
        leads(&cluster, LEADER);
    }
    cluster.stop();
}

#[test]
fn nodes_come_back_while_the_leader_is_dead_or_hangs() {
    let (broker, data) = (broker(), Data::generated(3, 30_000, &["2024-01", "2025-06"]));
    let placement = ["--placement", "staged", "--replicas", "1", "--shards", "1"];
    let cluster = Cluster::start(&broker, &[&["--name", "leader", "--silence", "2s"], &placement[..]].concat());
    leads(&cluster, LEADER);
    let out = tempfile::tempdir().unwrap();
    let mut child = cluster.submitting(data.path(), out.path(), &[]);
    job_of(&mut child);
    let victims = ["filter-year-0", "aggregate-tpv.0"];
    for signal in ["KILL", "STOP"] {
        let (leader, _) = cluster.node(LEADER);
        let before = victims.map(|name| cluster.node(name).0);
        kill(signal, leader);
        before.into_iter().for_each(|pid| kill("KILL", pid));
        victims.into_iter().zip(before).for_each(|(name, before)| cluster.comes_back(name, before));
        cluster.comes_back(LEADER, leader);
        leads(&cluster, LEADER);
    }
    let submitted = ended(child, out).done();
    assert_eq!(submitted.files(), run(data.path(), &[]).done().files());
    cluster.stop();
}

#[test]
fn nodes_and_monitors_that_hang_are_replaced_and_the_answer_is_exact() {
    let (broker, data) = (broker(), Data::generated(4, 100_000, &["2024-01", "2025-06"]));
    let cluster = Cluster::start(&broker, &["--name", "hung", "--silence", "2s"]);
    let out = tempfile::tempdir().unwrap();
    let mut child = cluster.submitting(data.path(), out.path(), &[]);
    job_of(&mut child);
    let hung = ["groups.0", "results-node", "gateway-0"].map(|name| (name, cluster.node(name).0));
    hung.iter().for_each(|(_, pid)| kill("STOP", *pid));
    hung.iter().for_each(|(name, before)| cluster.comes_back(name, *before));
    let submitted = ended(child, out).done();
    assert_eq!(submitted.files(), run(data.path(), &[]).done().files());
    // Nobody is left who could order anything.
    let monitors = ["monitor-0", "monitor-1", LEADER].map(|name| (name, cluster.node(name).0));
    monitors.iter().for_each(|(_, pid)| kill("STOP", *pid));
    monitors.iter().for_each(|(name, before)| cluster.comes_back(name, *before));
    leads(&cluster, LEADER);
    cluster.stop();
}

/// Whether a process is there; one that nobody has waited for yet is not.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn a_node_never_runs_twice_on_one_state() {
    let (broker, data) = (broker(), Data::generated(5, 1_000, &["2024-01"]));
    let flags = ["--name", "twice", "--silence", "2s"];
    let cluster = Cluster::start(&broker, &flags);
    let (nodes, (stopped, _)) = (cluster.nodes(), cluster.node("groups.0"));
    // It can't follow its leash any more, and keeps its lock.
    kill("STOP", stopped);
    let state = cluster.kill_up();
    let gone = |(_, pid, _): &(String, u32, String)| *pid == stopped || !lives(*pid);
    wait_until("the others end, also monitors", || nodes.iter().all(gone));
    let (code, stdout, stderr) = said(up(state.path(), broker.url(), &flags).output().unwrap());
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    let last = stderr.lines().last().unwrap();
    assert!(last.contains("node groups.0 does not get ready") && last.contains("another process uses it"), "{stderr}");
    kill("CONT", stopped);
    wait_until("it follows its leash", || !lives(stopped));
    let cluster = Cluster::start_in(state, &broker, &flags);
    let submitted = cluster.submit(data.path(), &[]).done();
    assert_eq!(submitted.files(), run(data.path(), &[]).done().files());
    cluster.stop();
}

fn up(state: &Path, url: &str, flags: &[&str]) -> Command {
    let mut command = coffee();
    command.args(["up", "--listen", "127.0.0.1:0", "--state"]).arg(state).args(flags).env("COFFEE_BROKER", url);
    command
}

/// A monitor alone.
fn monitor(flags: &[&str], key: Option<&str>) -> Command {
    let mut command = coffee();
    command.arg("monitor").args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(key.map(|key| ("COFFEE_MONITOR_KEY", key)));
    command
}

#[test]
fn a_monitor_alone_needs_no_broker_and_stops_in_order() {
    let key = "00112233445566778899aabbccddeeff";
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let alone = ["--index", "0", "--monitors", &free];
    let mut child = monitor(&[&alone[..], &["-v"]].concat(), Some(key)).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(stderr.any(|line| line.contains("monitor 0 leads")));
    let since = Instant::now();
    kill("TERM", child.id());
    assert!(child.wait().unwrap().success() && since.elapsed() < Duration::from_secs(5));
    stdout.read_to_string(&mut line).unwrap();
    assert_eq!((line.as_str(), stderr.collect::<Vec<_>>()), ("ready\n", vec![]));
}

#[test]
fn what_can_be_no_monitor_is_refused_in_one_line() {
    let key = "00112233445566778899aabbccddeeff";
    let list = ["--index", "0", "--monitors", "127.0.0.1:9"];
    for (flags, key, code, says) in [
        (&list[..], None, 2, "COFFEE_MONITOR_KEY: is not set"),
        (&list, Some("secret"), 2, "COFFEE_MONITOR_KEY: a key has 32 hexadecimal digits"),
        (&["--index", "1", "--monitors", "127.0.0.1:9"], Some(key), 2, "there is no monitor 1: the list has 1"),
        (&["--index", "0", "--monitors", "127.0.0.1"], Some(key), 2, "HOST:PORT"),
        (&["--index", "0", "--monitors", "127.0.0.1:9", "--silence", "1s"], Some(key), 2, "below 2s"),
    ] {
        let (ended, stdout, stderr) = said(monitor(flags, key).output().unwrap());
        assert_eq!((ended, stdout.as_str(), stderr.lines().count()), (code, "", 1), "{stderr}");
        assert!(stderr.contains(says) && !stderr.contains("secret"), "{stderr}");
    }
}
