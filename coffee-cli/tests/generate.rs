//! `coffee generate`: what it writes, and what it leaves alone.
#![allow(clippy::unwrap_used, reason = "test code, which fails by panicking")]

mod support;

use std::fs;

use support::{Data, coffee, files, run, said};

#[test]
fn generate_gives_the_same_bytes_for_the_same_flags() {
    let place = tempfile::tempdir().unwrap();
    let generate = |name: &str, seed: &str| {
        let out = place.path().join(name);
        let flags = ["--months=2024-01,2024-03", "--transactions=200", "--users=50", "--seed", seed];
        let (code, stdout, stderr) = said(coffee().arg("generate").arg(&out).args(flags).output().unwrap());
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (0, "", 1), "{stderr}");
        let tables = ["transactions", "transaction_items", "stores", "menu_items", "users"];
        tables.map(|table| files(&out.join(table)))
    };
    let first = generate("first", "5");
    assert!(first[0].keys().eq(["transactions_202401.csv", "transactions_202403.csv"]));
    assert_eq!(first, generate("second", "5"));
    assert_ne!(first, generate("third", "6"));
}

#[test]
fn generate_leaves_a_folder_with_something_in_it_alone() {
    let data = Data::small();
    let (code, _, stderr) = said(coffee().arg("generate").arg(data.path()).arg("--transactions=1").output().unwrap());
    assert!(code == 2 && stderr.contains(data.path().to_str().unwrap()), "{stderr}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 5);
}

#[test]
fn what_generate_writes_can_be_run_at_once() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("data");
    let variables =
        [("COFFEE_MONTHS", "2025-02"), ("COFFEE_TRANSACTIONS", "100"), ("COFFEE_USERS", "20"), ("COFFEE_SEED", "3")];
    assert_eq!(said(coffee().arg("generate").arg(&out).envs(variables).output().unwrap()).0, 0);
    let run = run(&out, &["--strict"]).done();
    assert!(run.file("q2_best_selling.csv").contains("2025-02,"));
    assert!(run.tables().values().all(|[rows, rejected, unmatched]| *rows > 0 && rejected + unmatched == 0));
}
