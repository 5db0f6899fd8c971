//! Input that can't be read: every row of the table of bad input, and files that are broken in other ways. What the
//! command says of bad usage is in `cli.rs`.
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod files;
mod keys;
mod listing;
mod missing;
mod rows;
#[path = "../support/mod.rs"]
mod support;

use support::{BOTH, Data, assert_exact, reference::Params, run};

/// Runs under both placements, compares with the reference, and returns the rejected rows, which are the same.
fn rejected(data: &Data) -> Vec<[String; 5]> {
    assert_exact(data.path(), &Params::default(), BOTH);
    run(data.path(), &[]).done().rejected()
}

/// Asserts that a run is refused before any work, and that the message has all of `names` in it.
fn assert_refused(data: &Data, flags: &[&str], names: &[&str]) {
    let run = run(data.path(), flags);
    let error = run.error(2);
    assert!(names.iter().all(|name| error.contains(name)), "{error}");
    assert!(run.files().is_empty(), "before any work");
}
