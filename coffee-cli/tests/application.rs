//! A pipeline that is not the coffee shops', as a command: the example `counts`, which cargo builds for the tests of the whole
//! package. Before this test alone, `cargo build --workspace --profile test --example counts` does.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

#[allow(dead_code, reason = "its main is the program's")]
#[path = "../examples/counts.rs"]
mod counts;
mod support;

use std::{fs, path::Path, process::Command};

use coffee_core::plan::Topology;
use coffee_nodes::{
    Stop,
    client::{Client, ClientOptions, Event},
    input::Table,
    job::Job,
};
use support::{
    cluster::{Cluster, broker},
    command,
    processes::example,
    said,
};

/// The example.
fn counts(arguments: &[&str]) -> Command {
    let mut command = command(example("counts"));
    command.args(arguments);
    command
}

/// What it prints; it has to succeed.
fn says(mut command: Command) -> String {
    let (code, stdout, stderr) = said(command.output().unwrap());
    assert_eq!((code, stderr.as_str()), (0, ""));
    stdout
}

/// Submits the table, and calls `on_the_way` once some of it is sent. Returns digits and how many numbers end with them.
fn submit(gateways: &str, data: &Path, on_the_way: impl FnOnce()) -> Vec<(u64, u64)> {
    let topology = Topology::of(counts::counts().unwrap()).unwrap();
    let job = Job::new(&topology, &()).unwrap().strict(true).table(Table::open(data, "numbers").unwrap());
    let (mut on_the_way, mut rows) = (Some(on_the_way), Vec::new());
    let client = Client::new(ClientOptions::new(vec![gateways.to_owned()]));
    let submitted = client.submit(&job, None, &Stop::new(), &mut |event| {
        match event {
            Event::Sent { .. } => on_the_way.take().into_iter().for_each(|act| act()),
            Event::Piece(piece) if piece.sink == "counted" => {
                rows.extend(piece.rows::<(u64, u64)>().map(Result::unwrap))
            }
            Event::NoResult { sink, reason } => panic!("{sink}: {reason}"),
            _ => {}
        }
        Ok(())
    });
    submitted.unwrap();
    assert!(on_the_way.is_none(), "it is sent in more than one step");
    rows
}

#[test]
fn a_plan_of_ones_own_is_a_cluster_whose_nodes_may_be_killed() {
    const LAST: u64 = 999_994;
    let (broker, state, data) = (broker(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lines: String = (0..=LAST).map(|number| format!("{number}\n")).collect();
    fs::create_dir(data.path().join("numbers")).unwrap();
    fs::write(data.path().join("numbers/all.csv"), "number\n".to_owned() + &lines).unwrap();

    let mut up = counts(&["up", "--listen", "127.0.0.1:0", "--shards", "2", "--name", "own-plan", "--state"]);
    up.arg(state.path()).env("COFFEE_BROKER", broker.url());
    let cluster = Cluster::start_by(up, state);
    let rows = submit(&cluster.gateways, data.path(), || {
        cluster.kill("level-1.0");
        cluster.kill("query-node");
    });
    let expected = (0..10).map(|digit| (digit, (digit..=LAST).step_by(10).count() as u64));
    assert_eq!(rows, expected.collect::<Vec<_>>());

    let mut jobs = counts(&["jobs"]);
    jobs.env("COFFEE_GATEWAY", &cluster.gateways);
    let jobs = says(jobs);
    assert!(jobs.lines().count() == 1 && jobs.contains("  done  "), "{jobs}");
    let state = cluster.state.path().to_str().unwrap().to_owned();
    let struck = said(
        counts(&["chaos", "--every", "10ms", "--for", "500ms", "--kinds", "level-1", "--state", &state])
            .output()
            .unwrap(),
    );
    assert!(struck.0 == 0 && struck.1.contains("level-1."), "{struck:?}");
    cluster.stop();
}

#[test]
fn help_and_errors_name_the_application() {
    let help = says(counts(&["--help"]));
    assert!(help.starts_with("Counts numbers by their last digit\n") && help.contains("Usage: counts "), "{help}");
    assert!(!help.contains("coffee") && !help.contains("sales") && !help.contains("generate"), "{help}");
    let node = says(counts(&["node", "--help"]));
    assert!(node.contains("Example:\n  counts node level-1 --shard 0 "), "{node}");
    for wrong in [&["run", "data"][..], &["up"], &["compose", "--placement", "fused"], &["node", "x", "--broker", "?"]]
    {
        let (code, _, error) = said(counts(wrong).output().unwrap());
        assert!(code == 2 && error.starts_with("counts: ") && error.lines().count() == 1, "{wrong:?}: {error}");
    }
}

#[test]
fn containers_run_the_application() {
    let file = says(counts(&["compose", "--shards", "2"]));
    let has = |text: &str| file.contains(text);
    assert!(
        has("${COFFEE_IMAGE:-counts}") && has("COFFEE_NAME: counts\n") && has("COFFEE_PLACEMENT: default\n"),
        "{file}"
    );
    assert!(has("command: [node, level-1, \"--shard\", \"1\"]") && !has("submit") && !has("`coffee"), "{file}");
}
