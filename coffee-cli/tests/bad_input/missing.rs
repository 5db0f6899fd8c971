//! Tables, files and columns that are not there, or can't be read: refused before any work.

use std::fs;

use super::{
    assert_refused,
    support::{reference::Params, *},
};

#[test]
fn a_missing_table_that_an_asked_query_needs_is_named() {
    for (table, _) in HEADERS {
        let data = Data::small();
        data.remove(table);
        assert_refused(&data, &[], &[table, "missing"]);
    }
}

#[test]
fn tables_that_only_other_queries_need_may_be_missing() {
    let all = HEADERS.map(|(table, _)| table);
    for (query, needed) in [
        ("q1", &["transactions"][..]),
        ("q2", &["transaction_items", "menu_items"]),
        ("q3", &["transactions", "stores"]),
        ("q4", &["transactions", "stores", "users"]),
    ] {
        let data = Data::small();
        for table in all.into_iter().filter(|table| !needed.contains(table)) {
            data.remove(table);
        }
        let params = Params { queries: vec![query.to_owned()], ..Params::default() };
        assert_exact(data.path(), &params, BOTH);
    }
}

#[test]
fn a_missing_used_column_is_named_with_its_file() {
    for (table, header) in HEADERS {
        for column in header.split(',') {
            let data = Data::small();
            data.file(table, "b.csv", header.replace(column, "other"));
            assert_refused(&data, &[], &[&format!("{table}/b.csv"), column]);
        }
    }
}

#[test]
fn a_header_that_is_no_csv_line_is_refused() {
    let data = Data::small();
    data.file("stores", "b.csv", "store_id,\"store_name\n1,x\n");
    assert_refused(&data, &[], &["stores/b.csv", "unclosed quote"]);
    data.file("stores", "b.csv", vec![b'x'; 100_000]);
    assert_refused(&data, &[], &["stores/b.csv", "header line of more than"]);
}

#[test]
fn a_table_without_files_is_named() {
    let data = Data::small();
    data.remove("users/a.csv").file("users", "readme.txt", "no table");
    assert_refused(&data, &[], &["users", "no .csv"]);
}

#[test]
fn a_data_folder_that_is_none_is_named() {
    let data = Data::new();
    let nowhere = data.path().join("nowhere");
    fs::write(data.path().join("file"), "").unwrap();
    for path in [nowhere, data.path().join("file")] {
        let run = run(&path, &[]);
        assert!(run.error(2).contains(path.to_str().unwrap()), "{}", run.stderr);
    }
}

#[cfg(unix)]
#[test]
fn an_unreadable_folder_or_file_is_named() {
    use std::os::unix::fs::symlink;
    // A link to itself is what no user can read; file modes don't hold for root.
    let data = Data::small();
    data.remove("users");
    symlink("users", data.path().join("users")).unwrap();
    assert_refused(&data, &[], &["users", "can't be read"]);
    let data = Data::small();
    symlink("b.csv", data.path().join("users/b.csv")).unwrap();
    assert_refused(&data, &[], &["users/b.csv", "can't be read"]);
}
