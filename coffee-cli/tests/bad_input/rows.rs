//! A row that can't be read is left out and listed, with its column and the reason.

use super::{rejected, support::reference::Params, support::*};

/// Asserts that each line of `b.csv` of a table is rejected, with this column and reason.
fn assert_rejected(table: &str, lines: &[(&str, &str, &str)]) {
    let data = Data::small();
    data.lines(table, &lines.iter().map(|(line, ..)| *line).collect::<Vec<_>>());
    let file = format!("{table}/b.csv");
    let expected: Vec<_> = (2..)
        .zip(lines)
        .map(|(number, (line, column, reason)): (u32, _)| {
            [file.clone(), number.to_string(), column.to_string(), reason.to_string(), line.to_string()]
        })
        .collect();
    assert_eq!(rejected(&data), expected);
}

#[test]
fn rows_with_another_number_of_fields_are_rejected() {
    let reason = "wrong number of fields";
    assert_rejected("transactions", &[("t,1,7,80,2024-01-01 10:00:00,more", "", reason), ("t,1,7,80", "", reason)]);
    assert_rejected("users", &[("x", "", reason), ("8,a,b", "", reason), (",,,", "", reason)]);
}

#[test]
fn numbers_that_are_none_are_rejected() {
    let (whole, digits) = ("not a whole number", "more than 18 digits");
    assert_rejected(
        "transactions",
        &[
            ("t,x,,80,2024-01-01 10:00:00", "store_id", whole),
            ("t,,,80,2024-01-01 10:00:00", "store_id", whole),
            ("t,+1,,80,2024-01-01 10:00:00", "store_id", whole),
            ("t,-1,,80,2024-01-01 10:00:00", "store_id", whole),
            ("t, 1,,80,2024-01-01 10:00:00", "store_id", whole),
            ("t,1.,,80,2024-01-01 10:00:00", "store_id", whole),
            ("t,1.00,,80,2024-01-01 10:00:00", "store_id", whole),
            ("t,1e2,,80,2024-01-01 10:00:00", "store_id", whole),
            ("t,1,7.5,80,2024-01-01 10:00:00", "user_id", whole),
            ("t,1,nan,80,2024-01-01 10:00:00", "user_id", whole),
            ("t,1234567890123456789,,80,2024-01-01 10:00:00", "store_id", digits),
            ("t,1,1234567890123456789.0,80,2024-01-01 10:00:00", "user_id", digits),
        ],
    );
    assert_rejected("transaction_items", &[("t,3,2.5,80,2024-01-01 10:00:00", "quantity", whole)]);
}

#[test]
fn amounts_that_are_none_are_rejected() {
    let none = "not an amount";
    let amounts = [
        ("", none),
        ("x", none),
        ("1,5", "wrong number of fields"),
        ("+1", none),
        (" 1", none),
        ("1 ", none),
        ("1.", none),
        (".5", none),
        ("-", none),
        ("1e3", none),
        ("1.5.0", none),
        ("NaN", none),
        ("1.23456", "more than four decimals"),
        ("100000000000000", "amount not below 10^14"),
        ("-100000000000000.0", "amount not below 10^14"),
    ];
    let lines = amounts.map(|(amount, reason)| (format!("t,1,7,{amount},2024-01-01 10:00:00"), reason));
    let column = |reason: &str| if reason.starts_with("wrong") { "" } else { "final_amount" };
    let lines: Vec<_> = lines.iter().map(|(line, reason)| (line.as_str(), column(reason), *reason)).collect();
    assert_rejected("transactions", &lines);
    assert_rejected(
        "transaction_items",
        &[("t,3,1,1.23456,2024-01-01 10:00:00", "subtotal", "more than four decimals")],
    );
}

#[test]
fn times_that_are_none_are_rejected() {
    let (none, date, time) = ("not a time", "no such date", "no such time of day");
    let times = [
        ("", none),
        ("2024-01-01", none),
        ("2024-01-01T10:00:00", none),
        ("2024-1-01 10:00:00", none),
        ("2024-01-01 10:00:00Z", none),
        ("2024-01-01 10:00:00.5", none),
        (" 2024-01-01 10:00:00", none),
        ("2024/01/01 10:00:00", none),
        ("2024-02-30 10:00:00", date),
        ("2023-02-29 10:00:00", date),
        ("2100-02-29 10:00:00", date),
        ("2024-13-01 10:00:00", date),
        ("2024-00-10 10:00:00", date),
        ("2024-01-00 10:00:00", date),
        ("2024-01-01 24:00:00", time),
        ("2024-01-01 10:60:00", time),
        ("2024-01-01 10:00:60", time),
    ];
    for (table, before) in [("transactions", "t,1,7,80,"), ("transaction_items", "t,3,1,80,")] {
        let lines = times.map(|(time, reason)| (format!("{before}{time}"), reason));
        let lines: Vec<_> = lines.iter().map(|(line, reason)| (line.as_str(), "created_at", *reason)).collect();
        assert_rejected(table, &lines);
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_rejected_in_used_columns_only() {
    let data = Data::small();
    let header = b"note,transaction_id,store_id,user_id,final_amount,created_at\n".to_vec();
    let unused = b"caf\xe9,t2,1,7,90,2024-01-01 10:00:00\n".to_vec();
    let used = b"cafe,t\xe9,1,7,90,2024-01-01 10:00:00\n".to_vec();
    data.file("transactions", "b.csv", [header, unused, used].concat());
    data.file("transaction_items", "b.csv", [HEADERS[1].1.as_bytes(), b"\nt\xff,3,1,5,2024-01-01 10:00:00\n"].concat());
    data.file("stores", "b.csv", b"store_id,store_name\n2,caf\xe9\n");
    data.file("users", "b.csv", b"user_id,birthdate\n\xe9,1990-01-01\n8,\xe9\n");
    let rejected = rejected(&data);
    let places: Vec<_> =
        rejected.iter().map(|[file, line, column, ..]| (file.as_str(), line.as_str(), column.as_str())).collect();
    assert_eq!(places.len(), 5);
    for place in [
        ("stores/b.csv", "2", "store_name"),
        ("users/b.csv", "2", "user_id"),
        ("users/b.csv", "3", "birthdate"),
        ("transactions/b.csv", "3", "transaction_id"),
        ("transaction_items/b.csv", "2", "transaction_id"),
    ] {
        assert!(places.contains(&place), "{place:?} in {places:?}");
    }
    assert!(rejected.iter().any(|[.., raw]| raw == "2,caf\u{fffd}"), "text that can be read all the same");
}

#[test]
fn quotes_hold_commas_and_quotes_and_must_be_closed_in_their_line() {
    let (unclosed, after) = ("unclosed quote", "text after a closing quote");
    assert_rejected(
        "stores",
        &[
            ("4,\"open", "", unclosed),
            ("5,\"x\" y", "", after),
            ("\"6\"6,x", "", after),
            ("7,\"\"\"", "", unclosed),
            ("\"8,x", "", unclosed),
        ],
    );
    let data = Data::small();
    data.file("stores", "b.csv", "store_id,store_name\n\"4\",\"a, \"\"b\"\"\"\n5,\"line\nbreak\"\n6,in\"side\n");
    assert_eq!(rejected(&data).len(), 2, "both halves of the broken line");
}

#[test]
fn all_columns_of_a_table_that_is_read_are_checked_whichever_queries_run() {
    let data = Data::small();
    let bad =
        ["t,x,,80,2024-01-01 10:00:00", "t,1,x,80,2024-01-01 10:00:00", "t,1,,x,2024-01-01 10:00:00", "t,1,,80,x"];
    data.lines("transactions", &bad);
    for query in ["q1", "q3", "q4"] {
        let params = Params { queries: vec![query.to_owned()], ..Params::default() };
        assert_eq!(assert_exact(data.path(), &params, BOTH).rejected.len(), 4);
    }
    let run = run(data.path(), &["--queries=q2"]).done();
    assert!(run.rejected().is_empty(), "the table is not read");
}

#[test]
fn raw_text_is_cut_at_200_bytes() {
    let data = Data::small();
    let long = "é".repeat(300);
    data.lines("stores", &[&format!("x,{long}")]);
    let rejected = rejected(&data);
    let expected = format!("x,{}", "é".repeat(99));
    assert_eq!(rejected[0][4], expected);
}

#[test]
fn strict_fails_at_a_rejected_row_and_leaves_no_file() {
    for (table, line, says) in [
        ("transactions", "t,1,,1.23456,2024-01-01 10:00:00", ["transactions/b.csv, line 2", "final_amount"]),
        ("stores", "x,North", ["stores/b.csv, line 2", "store_id"]),
        ("users", "7,again", ["users/b.csv, line 2", "user_id"]),
    ] {
        let data = Data::small();
        data.lines(table, &[line]);
        for placement in ["fused", "staged"] {
            let run = run(data.path(), &["--strict", "--placement", placement]);
            let error = run.error(1);
            assert!(says.iter().all(|part| error.contains(part)), "{error}");
            assert!(run.files().is_empty());
        }
    }
    assert!(run(Data::small().path(), &["--strict"]).done().rejected().is_empty());
}
