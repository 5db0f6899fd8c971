//! Ctrl-C: the first ends a run in order, the second at once.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{Data, coffee, files, said};

/// Nothing that is waited for takes longer than this, on however slow a machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn start(data: &Path, out: &Path, flags: &[&str]) -> Child {
    let mut command = coffee();
    command.arg("run").arg(data).arg("--out").arg(out).args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn press_ctrl_c(child: &Child) {
    Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status().unwrap();
}

/// Looks again and again until it is so.
fn wait_until(mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < DEADLINE, "it takes too long");
        thread::yield_now();
    }
}

/// Data that no machine reads within the test: one file under many names.
fn endless() -> Data {
    let data = Data::generated(1, 40_000, &["2024-01"]);
    let folder = data.path().join("transactions");
    for number in 0..5_000 {
        fs::hard_link(folder.join("transactions_202401.csv"), folder.join(format!("{number}.csv"))).unwrap();
    }
    data
}

#[test]
fn the_first_ctrl_c_ends_the_run_and_leaves_no_file() {
    let data = endless();
    // With such a year no row goes further than to where it is read.
    for flags in [&[][..], &["--years=1990", "--queries=q1,q3"]] {
        interrupt(&data, flags);
    }
}

fn interrupt(data: &Data, flags: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("q1.csv"), "old").unwrap();
    let child = start(data.path(), out.path(), flags);
    let results = if flags.is_empty() { 5 } else { 2 };
    wait_until(|| fs::read_dir(out.path()).unwrap().count() > results); // its files, under other names until they are complete
    press_ctrl_c(&child);
    let (code, stdout, stderr) = said(child.wait_with_output().unwrap());
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (130, "", 1), "{stderr}");
    assert!(stderr.starts_with("coffee: interrupted"), "{stderr}");
    assert_eq!(files(out.path()).into_iter().collect::<Vec<_>>(), [("q1.csv".to_owned(), b"old".to_vec())]);
}

#[test]
fn ctrl_c_again_and_again_ends_the_run_as_well() {
    let (data, out) = (endless(), tempfile::tempdir().unwrap());
    let mut child = start(data.path(), out.path(), &[]);
    wait_until(|| fs::read_dir(out.path()).unwrap().count() > 1);
    wait_until(|| {
        press_ctrl_c(&child);
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!out.path().join("q1.csv").exists());
}
