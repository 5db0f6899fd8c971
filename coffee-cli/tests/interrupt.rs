//! Ctrl-C: the first ends a run in order, the second at once.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{Data, coffee, files, said};

/// Nothing that is waited for takes longer than this, on however slow a machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn start(data: &Path, out: &Path) -> Child {
    let mut command = coffee();
    command.arg("run").arg(data).arg("--out").arg(out).stdout(Stdio::piped()).stderr(Stdio::piped());
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
    let (data, out) = (endless(), tempfile::tempdir().unwrap());
    fs::write(out.path().join("q1.csv"), "old").unwrap();
    let child = start(data.path(), out.path());
    wait_until(|| fs::read_dir(out.path()).unwrap().count() > 5); // its files, under other names until they are complete
    press_ctrl_c(&child);
    let (code, stdout, stderr) = said(child.wait_with_output().unwrap());
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (130, "", 1), "{stderr}");
    assert!(stderr.starts_with("coffee: interrupted"), "{stderr}");
    assert_eq!(files(out.path()).into_iter().collect::<Vec<_>>(), [("q1.csv".to_owned(), b"old".to_vec())]);
}

#[test]
fn the_second_ctrl_c_ends_a_run_that_hangs() {
    let (data, out) = (Data::small(), tempfile::tempdir().unwrap());
    let pipe = data.path().join("transactions/b.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = start(data.path(), out.path());
    // Waits until the run reads the pipe, which it does in vain.
    let mut writer = OpenOptions::new().write(true).open(&pipe).unwrap();
    writer.write_all(b"transaction_id").unwrap();
    wait_until(|| {
        press_ctrl_c(&child);
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(files(out.path()).is_empty());
}
