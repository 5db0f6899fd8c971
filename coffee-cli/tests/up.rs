//! `coffee up` and the nodes' settings: real processes, and what they were really told.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{collections::BTreeMap, fs};

use support::{
    Data,
    cluster::{Cluster, broker, ended, job_of, kill, wait_until},
    coffee, run, said,
};

/// The settings in a process's environment.
fn settings(pid: u32) -> BTreeMap<String, String> {
    let text = String::from_utf8(fs::read(format!("/proc/{pid}/environ")).unwrap()).unwrap();
    let pairs = text.split('\0').filter(|pair| pair.starts_with("COFFEE_")).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn nodes_get_what_was_resolved_and_nothing_besides() {
    let (broker, state) = (broker(), tempfile::tempdir().unwrap());
    let config = state.path().join("cluster.toml");
    let text = "name = 'told'\nlisten = '127.0.0.1:0'\nrunning = 3\nwaiting = 4\nconnections = 5\nkeep = '6s'\n";
    fs::write(&config, format!("broker = '{}'\n{text}", broker.url())).unwrap();
    let mut command = coffee();
    command.args(["up", "-v", "--keep", "2h", "--state"]).arg(state.path());
    command.env("COFFEE_CONFIG", config).env("COFFEE_WAITING", "7").env("COFFEE_KEEP", "9s");
    // For one process, each of them, which is this one.
    let own = ["COFFEE_READY_FILE", "COFFEE_REPLICA", "COFFEE_SHARD"];
    command.envs(own.map(|name| (name, "8")));
    let cluster = Cluster::start_by(command, state);
    let nodes = cluster.nodes();
    assert!(nodes.len() > 5, "{nodes:?}");
    for (name, pid, _) in nodes {
        let told = settings(pid);
        let is = |setting: &str| told.get(&format!("COFFEE_{setting}")).map(String::as_str);
        assert_eq!(is("BROKER"), Some(broker.url()), "{name}: the file, where nothing else says it");
        assert_eq!((is("NAME"), is("RUNNING"), is("CONNECTIONS")), (Some("told"), Some("3"), Some("5")), "{name}");
        assert_eq!(is("WAITING"), Some("7"), "{name}: the environment goes before the file");
        assert_eq!(is("KEEP"), Some("7200s"), "{name}: a flag goes before both");
        assert_eq!(is("CLIENT_TIMEOUT"), Some("600s"), "{name}: the default");
        assert_eq!(is("VERBOSE"), Some("1"), "{name}: -v");
        assert!(own.iter().chain(&["COFFEE_CONFIG"]).all(|name| !told.contains_key(*name)), "{name}: {told:?}");
    }
    assert!(cluster.logs().contains("INFO"), "{}", cluster.logs());
    cluster.stop();
}

#[test]
fn a_gateway_that_was_killed_is_found_where_it_was() {
    let (broker, data) = (broker(), Data::generated(6, 100_000, &["2024-01", "2025-06"]));
    let cluster = Cluster::start(&broker, &["--name", "found"]); // at any port that is free
    let out = tempfile::tempdir().unwrap();
    let mut child = cluster.submitting(data.path(), out.path(), &[]);
    let job = job_of(&mut child);
    let gateway = || cluster.nodes().into_iter().find(|(name, ..)| name == "gateway-0").unwrap();
    let (_, before, _) = gateway();
    kill("KILL", before);
    wait_until("the gateway", || {
        let (_, now, state) = gateway();
        now != before && state == "ready"
    });
    assert!(cluster.says(&["jobs"]).contains(&job), "a new connection to the old address");
    let submitted = ended(child, out);
    assert_eq!(submitted.code, 0, "{}", submitted.stderr);
    assert_eq!(submitted.files(), run(data.path(), &[]).done().files(), "what was interrupted goes on there");
    cluster.stop();
}

#[test]
fn a_wrong_file_is_refused_in_one_line_by_every_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    let missing = folder.path().join("missing.toml");
    let broker = "broker = 'amqp://me:hidden-word@localhost/'\n";
    for (text, says) in [
        ("runing = 4", "line 2: \"runing\" is no flag of a server command; did you mean running?"),
        ("running = 'four'", "line 2: invalid value 'four' for '--running <N>'"),
        ("running = [4]", "line 2: running can't be of type array"),
        ("running: 4", "line 2: no TOML"),
    ] {
        fs::write(&file, format!("{broker}{text}")).unwrap();
        for command in ["up", "query-node"] {
            let (code, stdout, stderr) = said(coffee().arg(command).arg("--config").arg(&file).output().unwrap());
            assert_eq!((code, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{command} {text}: {stderr}");
            assert!(stderr.contains(says) && stderr.contains("cluster.toml"), "{command} {text}: {stderr}");
            assert!(!stderr.contains("hidden-word"), "{command} {text}: {stderr}");
        }
    }
    for command in ["gateway", "results-node", "node"] {
        let (code, _, stderr) = said(coffee().arg(command).arg("--config").arg(&missing).output().unwrap());
        assert_eq!((code, stderr.lines().count()), (2, 1), "{command}: {stderr}");
        assert!(stderr.contains("missing.toml: can't be read"), "{command}: {stderr}");
    }
}
