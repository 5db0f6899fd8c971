//! The examples of the classic patterns, as they are started by hand, on both brokers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

use coffee::mom::testing::rabbitmq::TestBroker;

/// Examples are built along with all tests of the package, into a folder beside theirs.
fn program(example: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(example);
    assert!(program.exists(), "{example} is not built: cargo build --examples does it, as cargo test of all tests");
    program
}

fn run(example: &str) {
    let rabbitmq = TestBroker::shared().unwrap();
    for url in ["memory:", rabbitmq.url()] {
        let output = Command::new(program(example)).arg(url).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{example} failed: {told}");
    }
}

#[test]
fn work_queue() {
    run("work_queue");
}

#[test]
fn publish_subscribe() {
    run("publish_subscribe");
}

#[test]
fn routing() {
    run("routing");
}

#[test]
fn topics() {
    run("topics");
}

#[test]
fn rpc() {
    run("rpc");
}
