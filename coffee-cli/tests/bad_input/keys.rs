//! Keys that a table lacks, or has twice.

use super::{
    rejected,
    support::{reference::Params, *},
};

fn unmatched(data: &Data, table: &str) -> (u64, Run) {
    assert_exact(data.path(), &Params::default(), BOTH);
    let run = run(data.path(), &[]).done();
    (run.tables()[table][2], run)
}

#[test]
fn result_rows_of_an_unknown_store_are_counted_as_unmatched() {
    let data = Data::small();
    data.lines("transactions", &["t2,5,7,99,2024-01-03 10:00:00", "t3,5,7,99,2024-01-03 10:00:00"]);
    let (count, run) = unmatched(&data, "stores");
    assert_eq!(count, 2, "a row of q3 and one of q4, however many transactions they have");
    assert!(run.stderr.contains("unmatched: ") && run.stderr.contains("table stores does not have"), "{}", run.stderr);
    assert_eq!(run.file("q3.csv").lines().count(), 2);
    assert_eq!(run.file("q1.csv").lines().count(), 4, "q1 names no store");
}

#[test]
fn result_rows_of_an_unknown_product_are_counted_as_unmatched() {
    let data = Data::small();
    data.lines("transaction_items", &["t2,9,1,999,2024-01-03 10:00:00"]);
    let (count, run) = unmatched(&data, "menu_items");
    assert_eq!(count, 1, "it brought most, and sold less");
    assert_eq!(run.file("q2_most_profit.csv"), "year_month_created_at,item_name,profit_sum\n");
    assert_eq!(run.file("q2_best_selling.csv").lines().count(), 2);
}

#[test]
fn result_rows_of_an_unknown_user_are_counted_as_unmatched() {
    let data = Data::small();
    data.lines("transactions", &["t2,1,8,99,2024-01-03 10:00:00", "t3,1,8,99,2024-01-03 10:00:00"]);
    let (count, run) = unmatched(&data, "users");
    assert_eq!(count, 1);
    assert_eq!(run.file("q4.csv"), "store_name,birthdate,purchases_qty\nNorth,1990-01-02,1\n");
}

#[test]
fn of_rows_with_one_key_the_first_by_file_and_line_stays() {
    for (table, key, again, other) in [
        ("stores", "store_id", "1.0,\"South, again\"", "2,West"),
        ("menu_items", "item_id", "3,\"Latte, again\"", "4,Chai"),
        ("users", "user_id", "7,2000-02-02", "8,2001-01-01"),
    ] {
        let data = Data::small();
        data.lines(table, &[other, again, other]).file(table, "c.csv", format!("{}\n{again}\r\n", header_of(table)));
        let rejected = rejected(&data);
        let reason = "repeats the key of an earlier row";
        let row =
            |file: &str, line: &str, raw: &str| [&format!("{table}/{file}"), line, key, reason, raw].map(str::to_owned);
        assert_eq!(rejected, [row("b.csv", "3", again), row("b.csv", "4", other), row("c.csv", "2", again)]);
    }
}

#[test]
fn a_row_that_can_t_be_read_takes_no_key() {
    let data = Data::small();
    data.remove("stores/a.csv").lines("stores", &["1,North,more", "1,First", "1,Second"]);
    assert_eq!(rejected(&data).len(), 2);
    assert!(run(data.path(), &[]).done().file("q3.csv").contains("First"));
}

fn header_of(table: &str) -> &'static str {
    HEADERS.iter().find(|(name, _)| *name == table).map(|(_, header)| *header).unwrap()
}
