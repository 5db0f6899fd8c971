//! The examples, as they are started by hand, on both brokers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../coffee-cli/tests/support/processes.rs"]
mod processes;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use coffee::mom::testing::rabbitmq::TestBroker;
use processes::{command, example};

fn run(name: &str, arguments: &[&str]) {
    let rabbitmq = TestBroker::shared().unwrap();
    for url in ["memory:", rabbitmq.url()] {
        let output = command(example(name)).arg(url).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} failed with {arguments:?}: {told}");
    }
}

#[test]
fn work_queue() {
    run("work_queue", &[]);
}

#[test]
fn publish_subscribe() {
    run("publish_subscribe", &[]);
}

#[test]
fn routing() {
    run("routing", &[]);
}

#[test]
fn topics() {
    run("topics", &[]);
}

#[test]
fn rpc_sum() {
    ["1", "2", "3"].iter().for_each(|seed| run("rpc_sum", &[seed]));
}

#[test]
fn distributed_objects() {
    ["1", "2", "3"].iter().for_each(|seed| run("distributed_objects", &[seed]));
}

#[test]
fn lottery() {
    ["1", "2", "3"].iter().for_each(|seed| run("lottery", &["--seed", seed]));
}

#[test]
fn lottery_of_many_processes() {
    let rabbitmq = TestBroker::shared().unwrap();
    let arguments = ["--agencies", "3", "--bets", "500", "--seed", "4"];
    for url in ["memory:", rabbitmq.url()] {
        let state = tempfile::tempdir().unwrap();
        let mut server = command(example("lottery"));
        server.args(["server", url, "--state"]).arg(state.path()).args(arguments);
        let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(server.stdout.take().unwrap()).lines();
        let first = told.next().unwrap().unwrap();
        let address = first.strip_prefix("listening ").unwrap();
        let agency = |number| {
            let mut agency = command(example("lottery"));
            agency.args(["agency", number, "--server", address]).args(arguments).stdout(Stdio::null()).spawn().unwrap()
        };
        for mut agency in ["0", "1", "2"].map(agency) {
            assert!(agency.wait().unwrap().success());
        }
        let told: Vec<String> = told.map(Result::unwrap).collect();
        assert!(server.wait().unwrap().success());
        assert_eq!(told.iter().filter(|line| line.contains("has ended with 500 bets")).count(), 3, "{told:?}");
    }
}

#[test]
fn game_reviews() {
    ["1", "2", "3"].iter().for_each(|seed| run("game_reviews", &[seed]));
}

#[test]
fn quickstart() {
    run("quickstart", &[]);
}

/// A new example has to come to a test here.
#[test]
fn all_examples_are_run() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let own = include_str!("examples.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_one = path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists();
        assert!(!is_one || own.contains(&format!("\nfn {name}()")), "{name} is not run by a test");
    }
}
