//! `rejected.csv`: its order, its limit, and that it is there only if needed.

use std::fs;

use super::support::{reference::Params, *};

#[test]
fn rejected_rows_are_in_table_file_line_order_under_every_placement() {
    let data = Data::generated(1, 9_000, &["2024-01", "2024-02"]);
    for (table, name) in [
        ("transactions", "transactions_202401.csv"),
        ("transactions", "transactions_202402.csv"),
        ("transaction_items", "transaction_items_202402.csv"),
        ("users", "users_202401.csv"),
        ("stores", "stores.csv"),
    ] {
        let text = fs::read_to_string(data.path().join(table).join(name)).unwrap();
        let spoil = |(at, line): (usize, &str)| match at % 97 {
            5 => format!("{line},"),
            50 => line.replacen(',', ",\"", 1),
            _ => line.to_owned(),
        };
        data.file(table, name, text.lines().enumerate().map(spoil).collect::<Vec<_>>().join("\n"));
    }
    let runs = [("fused", "1"), ("fused", "7"), ("staged", "2"), ("staged", "7")];
    assert_exact(data.path(), &Params::default(), &runs);
    let rejected = run(data.path(), &[]).done().rejected();
    let mut files: Vec<_> = rejected.iter().map(|[file, ..]| file).collect();
    files.dedup();
    assert_eq!(files.len(), 5, "each file's rows are together: {files:?}");
    let at = |name: &str| files.iter().position(|file| file.contains(name)).unwrap();
    assert!(at("transactions_202401") < at("transactions_202402"));
    let lines = |rows: &[[String; 5]]| rows.iter().map(|[_, line, ..]| line.parse().unwrap()).collect::<Vec<u64>>();
    assert!(rejected.chunk_by(|a, b| a[0] == b[0]).all(|rows| lines(rows).is_sorted()));
}

#[test]
fn at_most_10_000_rejected_rows_are_listed_and_the_rest_is_counted() {
    let data = Data::small();
    let bad: Vec<_> = (0..12_500).map(|n| format!("t{n},x,,80,2024-01-01 10:00:00")).collect();
    data.lines("transactions", &bad.iter().map(String::as_str).collect::<Vec<_>>());
    let runs = ["fused", "staged"].map(|placement| run(data.path(), &["--placement", placement, "--threads=3"]).done());
    for run in &runs {
        let rejected = run.rejected();
        let lines: Vec<u64> = rejected.iter().map(|[_, line, ..]| line.parse().unwrap()).collect();
        assert!(lines.into_iter().eq(2..10_002), "the first ones");
        assert_eq!(run.tables()["transactions"], [12_501, 12_500, 0]);
        assert!(run.stderr.contains("2,500"), "{}", run.stderr);
    }
    assert_eq!(runs[0].file("rejected.csv"), runs[1].file("rejected.csv"));
}

#[test]
fn the_limit_holds_over_all_tables_and_keeps_their_order() {
    let data = Data::small();
    let bad = |n: usize| vec!["x,x"; n];
    data.lines("users", &bad(6_000));
    data.lines("stores", &bad(1_000));
    data.lines("transactions", &bad(9_000));
    let runs = ["fused", "staged"].map(|placement| run(data.path(), &["--placement", placement, "--threads=3"]).done());
    assert_eq!(runs[0].rejected().len(), 10_000);
    assert_eq!(runs[0].file("rejected.csv"), runs[1].file("rejected.csv"));
    assert!(runs.iter().all(|run| run.stderr.contains("6,000 that")), "{}", runs[0].stderr);
}

#[test]
fn without_a_rejected_row_there_is_no_rejected_csv() {
    let data = Data::small();
    data.lines("stores", &["x,y"]);
    let first = run(data.path(), &[]).done();
    assert_eq!(first.rejected().len(), 1);
    assert!(first.stderr.contains("rejected.csv"));
    data.remove("stores/b.csv");
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("rejected.csv"), "of an earlier run").unwrap();
    let second = run_into(out, data.path(), &[]).done();
    assert!(!second.path("rejected.csv").exists());
    assert!(!second.stderr.contains("rejected.csv"));
}
