//! Disks that are full for a while, folders that can't be used, and clusters that keep nothing: real processes over a real
//! RabbitMQ. A disk is filled up by the limit on the size of files, which needs no privileges: writes beyond it fail.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command},
};

use coffee_mom::testing::rabbitmq::SharedBroker;
use support::{
    Data, Run,
    cluster::{Cluster, broker, ended, job_of, kill, wait_until},
    run, said,
};
use tempfile::TempDir;

/// A cluster whose nodes see that a file may not grow, instead of being ended by a signal.
fn start_in(state: TempDir, broker: &SharedBroker, flags: &[&str]) -> Cluster {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_coffee")]);
    command.args(["up", "--listen", "127.0.0.1:0", "-v", "--retry-pause", "50ms..400ms", "--state"]);
    command.arg(state.path()).args(flags).env("COFFEE_BROKER", broker.url());
    Cluster::start_by(command, state)
}

fn pid_of(cluster: &Cluster, node: &str) -> u32 {
    let found = cluster.nodes().into_iter().find(|(name, ..)| name == node).unwrap();
    assert_eq!(found.2, "ready", "{node}");
    found.1
}

/// Sets how long the files of a process may become.
fn limit(pid: u32, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let done = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap();
    assert!(done.success(), "prlimit --pid {pid} {limit}");
}

/// Fills a node's disk up: nothing but the first bytes of a file can be written.
fn fill(cluster: &Cluster, node: &str) -> u32 {
    let pid = pid_of(cluster, node);
    limit(pid, "4096");
    pid
}

/// How often a node's log has that.
fn logged(cluster: &Cluster, node: &str, text: &str) -> usize {
    let log = fs::read_to_string(cluster.state.path().join("logs").join(format!("{node}.log"))).unwrap();
    log.matches(text).count()
}

/// What a process has read so far.
fn bytes_read(pid: u32) -> u64 {
    let counts = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    counts.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

fn data(seed: u64) -> Data {
    Data::generated(seed, 100_000, &["2024-01", "2025-06"])
}

fn assert_same(submitted: &Run, data: &Path, what: &str) {
    let expected = run(data, &[]).done();
    assert_eq!(submitted.code, 0, "{what}: {}", submitted.stderr);
    assert!(submitted.files() == expected.files(), "{what}: the answers differ");
    assert_eq!(submitted.figures(), expected.figures(), "{what}");
}

fn submitting(cluster: &Cluster, data: &Path) -> (Child, TempDir, String) {
    let out = tempfile::tempdir().unwrap();
    let mut child = cluster.submitting(data, out.path(), &[]);
    let job = job_of(&mut child);
    (child, out, job)
}

#[test]
fn a_node_whose_disk_is_full_waits_for_room_and_the_answer_is_exact() {
    let (broker, data) = (broker(), data(1));
    let cluster = start_in(tempfile::tempdir().unwrap(), &broker, &["--name", "full"]);
    for node in ["groups.0", "results-node", "query-node"] {
        let before = cluster.nodes();
        let (child, out, job) = submitting(&cluster, data.path());
        let pid = fill(&cluster, node);
        wait_until(node, || logged(&cluster, node, " is held: ") > 0);
        if node != "query-node" {
            wait_until("the report", || {
                cluster.says(&["jobs", &job]).contains("held until its disk can be written to")
            });
        }
        limit(pid, "unlimited");
        assert_same(&ended(child, out), data.path(), node);
        wait_until("the word that it goes on", || logged(&cluster, node, " goes on") > 0);
        assert_eq!(logged(&cluster, node, " is held: "), 1, "{node}: it is said once");
        assert_eq!(cluster.nodes(), before, "{node}: no process ended");
    }
    cluster.stop();
}

#[test]
fn nodes_that_are_held_stop_in_order_and_go_on_later() {
    let (broker, data) = (broker(), data(2));
    let flags = ["--name", "held"];
    let cluster = start_in(tempfile::tempdir().unwrap(), &broker, &flags);
    let (mut child, _out, job) = submitting(&cluster, data.path());
    // The query node last: without it the others don't get as far.
    for nodes in [&["groups.1", "results-node"][..], &["query-node"]] {
        for node in nodes {
            fill(&cluster, node);
        }
        wait_until("all of them", || nodes.iter().all(|node| logged(&cluster, node, " is held: ") > 0));
    }
    let state = cluster.stop();
    child.kill().unwrap();
    child.wait().unwrap();
    let cluster = start_in(state, &broker, &flags);
    assert_same(&cluster.submit(data.path(), &["--job", &job]), data.path(), "resumed");
    cluster.stop();
}

#[test]
fn a_folder_that_can_t_be_used_is_named_at_the_start() {
    let broker = broker();
    let cluster = Cluster::start(&broker, &["--name", "folders"]);
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "").unwrap();
    fs::create_dir(path("read-only")).unwrap();
    fs::set_permissions(path("read-only"), fs::Permissions::from_mode(0o555)).unwrap();
    let program = path("coffee");
    if fs::hard_link(env!("CARGO_BIN_EXE_coffee"), &program).is_err() {
        fs::copy(env!("CARGO_BIN_EXE_coffee"), &program).unwrap();
    }
    // Permissions don't bind root.
    let is_root = fs::write(path("read-only").join("x"), "").is_ok();
    let nodes: [&[&str]; 3] = [&["query-node"], &["results-node"], &["node", "groups", "--shard", "0"]];
    for node in nodes {
        for (state, why) in [(path("file").join("below"), "Not a directory"), (path("read-only"), "Permission denied")]
        {
            let mut command = Command::new(if is_root { "setpriv".as_ref() } else { program.as_os_str() });
            if is_root {
                command.args(["--reuid=65534", "--clear-groups"]).arg(&program);
            }
            command.args(node).args(["--name", "folders", "--state"]).arg(&state);
            let (code, stdout, stderr) = said(command.env("COFFEE_BROKER", broker.url()).output().unwrap());
            assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
            let last = stderr.lines().last().unwrap();
            assert!(last.starts_with("coffee: ") && last.contains(why), "{stderr}");
            assert!(last.contains(state.to_str().unwrap()), "{stderr}");
        }
    }
    assert_eq!(cluster.submit(Data::small().path(), &[]).code, 0);
    cluster.stop();
}

#[test]
fn a_volatile_cluster_keeps_nothing_and_a_death_fails_the_jobs() {
    let (broker, data) = (broker(), data(3));
    let cluster = Cluster::start(&broker, &["--name", "volatile", "--volatile"]);
    assert_same(&cluster.submit(data.path(), &[]), data.path(), "volatile");
    for node in ["groups.0", "results-node"] {
        let (child, out, job) = submitting(&cluster, data.path());
        // Only a job that it has kept something of is lost with it. The client stands still so that the job does not end.
        wait_until("the upload", || bytes_read(child.id()) > 8_000_000);
        kill("STOP", child.id());
        wait_until("some chunks", || !cluster.says(&["jobs", &job]).contains("  0 chunks"));
        let pid = pid_of(&cluster, node);
        kill("KILL", pid);
        kill("CONT", child.id());
        let failed = ended(child, out);
        assert!(failed.error(1).contains("lost the store"), "{}", failed.stderr);
        wait_until(node, || {
            cluster.nodes().iter().any(|(name, now, state)| name == node && *now != pid && state == "ready")
        });
        assert_same(&cluster.submit(data.path(), &[]), data.path(), "the next job");
    }
    let state = cluster.stop();
    let found = Command::new("find").arg(state.path()).args(["-name", "*.redb"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}
