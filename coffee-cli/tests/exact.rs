//! The answers are those of the reference, to the byte, however they are worked out. Data that can't all be read is
//! here only as far as the answers go; what is said about it is in `bad_input.rs`.

mod support;

use std::fs;

use support::{BOTH, Data, assert_exact, reference::Params};

const MONTHS: &[&str] = &["2023-12", "2024-01", "2024-06", "2024-07", "2025-12", "2026-01"];

/// Both placements, and few, some and many threads.
const ALL: &[(&str, &str)] =
    &[("fused", "1"), ("fused", "2"), ("fused", "7"), ("staged", "1"), ("staged", "2"), ("staged", "7")];

#[test]
fn generated_data_of_several_seeds() {
    for seed in 1..=3 {
        let data = Data::generated(seed, 1500, MONTHS);
        let expected = assert_exact(data.path(), &Params::default(), ALL);
        assert!(expected.files.values().all(|file| file.split(|&byte| byte == b'\n').count() > 4));
    }
}

#[test]
fn files_of_many_chunks() {
    let data = Data::generated(4, 40_000, &["2024-02", "2025-02"]);
    assert!(fs::metadata(data.path().join("transaction_items/transaction_items_202402.csv")).unwrap().len() > 4 << 20);
    assert_exact(data.path(), &Params::default(), ALL);
}

#[test]
fn every_subset_of_the_queries() {
    let data = Data::generated(5, 600, MONTHS);
    for subset in 1..16 {
        let names = ["q1", "q2", "q3", "q4"].into_iter().enumerate().filter(|(at, _)| subset >> at & 1 == 1);
        let queries = names.map(|(_, name)| name.to_owned()).collect();
        assert_exact(data.path(), &Params { queries, ..Params::default() }, BOTH);
    }
}

#[test]
fn other_parameters_than_the_defaults() {
    let data = Data::generated(6, 1000, MONTHS);
    let usual = Params::default;
    let others = [
        Params { years: vec![2024], ..usual() },
        Params { years: vec![2026, 2023], ..usual() },
        Params { years: vec![1999], ..usual() },
        Params { from: "00:00:00".into(), to: "23:59:59".into(), ..usual() },
        Params { from: "06:00:01".into(), to: "22:59:59".into(), ..usual() },
        Params { from: "23:00:00".into(), to: "23:00:00".into(), ..usual() },
        Params { min_amount: "0".into(), ..usual() },
        Params { min_amount: "74.999".into(), ..usual() },
        Params { min_amount: "75.0001".into(), ..usual() },
        Params { min_amount: "-3".into(), ..usual() },
        Params { min_amount: "99999999999999".into(), ..usual() },
        Params { top: 1, ..usual() },
        Params { top: 5, ..usual() },
        Params { top: 1000, ..usual() },
    ];
    for params in others {
        assert_exact(data.path(), &params, BOTH);
    }
}

/// A placement that is none of those that ship: other stages, so many shards, rows combined before they travel or not.
fn placement(shards: u16, combine: bool) -> String {
    let stage = |name: &str, operators: &str, more: &str| {
        let operators: Vec<_> = operators.split(' ').collect();
        format!("[[stage]]\nname = {name:?}\noperators = {operators:?}\n{more}\n")
    };
    let spread = format!("shards = {shards}\ncombine = {combine}");
    [
        stage("read", "transactions year transaction_items stores menu_items users", "replicas = 3\ncombine = false"),
        stage("cut", "items-year hour amount sale", &format!("combine = {combine}")),
        stage("sums", "tpv purchases", &spread),
        stage("items", "items", &spread),
        stage("partial-tops", "top-buyers:partial best-selling:partial", &spread),
        stage("tops", "top-buyers best-selling most-profit", &spread),
        stage("stores", "tpv-stores buyers-stores", &spread),
        stage("others", "buyers-users best-selling-names most-profit-names", &spread),
        stage("results", "q1 q2_best_selling q2_most_profit q3 q4 rejected", ""),
    ]
    .concat()
}

#[test]
fn placements_of_a_file_with_other_shard_counts() {
    let data = Data::generated(7, 1500, MONTHS);
    let files = tempfile::tempdir().unwrap();
    let paths = [(1, true), (1, false), (2, false), (5, true), (5, false)].map(|(shards, combine)| {
        let path = files.path().join(format!("{shards}-{combine}.toml"));
        fs::write(&path, placement(shards, combine)).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let runs: Vec<_> = paths.iter().map(|path| (path.as_str(), "2")).chain([("fused", "2")]).collect();
    assert_exact(data.path(), &Params::default(), &runs);
}

#[test]
fn winners_that_the_tables_lack_are_not_replaced() {
    let data = Data::generated(8, 1500, MONTHS);
    for (table, name) in [("stores", "stores.csv"), ("menu_items", "menu_items.csv"), ("users", "users_202312.csv")] {
        let text = fs::read_to_string(data.path().join(table).join(name)).unwrap();
        let kept: Vec<_> = text.lines().enumerate().filter(|(at, _)| at % 4 != 1).map(|(_, line)| line).collect();
        data.file(table, name, kept.join("\n"));
    }
    let expected = assert_exact(data.path(), &Params::default(), ALL);
    assert!(expected.unmatched["stores"] > 0 && expected.unmatched["users"] > 0);
}

#[test]
fn ties_go_to_the_lower_id() {
    let data = Data::small();
    let sale = |user: u32| format!("t{user},1,{user}.0,80,2024-03-01 08:00:00");
    let sales: Vec<_> = [31, 4, 200, 9, 1000].map(sale).into_iter().collect();
    data.lines("transactions", &sales.iter().map(String::as_str).collect::<Vec<_>>());
    data.lines("users", &["31,a", "4,b", "200,c", "9,d", "1000,e"]);
    data.lines("menu_items", &["20,Latte", "100,Chai"]);
    data.lines("transaction_items", &["t,100,5,9.5,2024-03-01 08:00:00", "t,20,5,9.50,2024-03-01 08:00:00"]);
    let expected = assert_exact(data.path(), &Params::default(), ALL);
    let file = |name: &str| String::from_utf8(expected.files[name].clone()).unwrap();
    assert_eq!(file("q4.csv"), "store_name,birthdate,purchases_qty\nNorth,b,1\nNorth,1990-01-02,1\nNorth,d,1\n");
    assert!(file("q2_best_selling.csv").ends_with("2024-03,Latte,5\n"));
    assert!(file("q2_most_profit.csv").ends_with("2024-03,Latte,9.5\n"));
}

#[test]
fn sums_are_exact_far_beyond_floats() {
    let data = Data::small();
    let large = "99999999999999.9999";
    let at = "2024-07-01 12:00:00";
    let mut sales: Vec<_> = (0..2000).map(|n| format!("big{n},1,,{large},{at}")).collect();
    sales.extend((0..1999).map(|n| format!("low{n},1,,-{large},{at}")));
    sales.push(format!("tiny,1,,0.0001,{at}"));
    data.lines("transactions", &sales.iter().map(String::as_str).collect::<Vec<_>>());
    let most = "999999999999999999";
    let items: Vec<_> = (0..50).map(|_| format!("t,3,{most},{large},{at}")).collect();
    data.lines("transaction_items", &items.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = assert_exact(data.path(), &Params::default(), BOTH);
    let file = |name: &str| String::from_utf8(expected.files[name].clone()).unwrap();
    assert!(file("q3.csv").ends_with("2024-H2,North,100000000000000.0\n"));
    assert!(file("q2_best_selling.csv").ends_with("2024-07,Mocha,49999999999999999950\n"));
}

#[test]
fn results_are_in_the_order_of_bytes_and_quoted_where_needed() {
    let data = Data::small();
    let stores =
        ["2,\"a, b\"", "3,\"say \"\"hi\"\"\"", "4,North", "5,école", "6,", "7,Zoo", "8, lead", "9,\"x\"", "10,#1"];
    data.lines("stores", &stores);
    let ids = ["é", "Z", "a", "10", "9", "\"q,r\"", "", "\"two \"\"\"", "a"];
    let sales: Vec<_> =
        ids.iter().zip(2..).map(|(id, store)| format!("{id},{store},7,{store}00,2024-01-01 07:00:00")).collect();
    data.lines("transactions", &sales.iter().map(String::as_str).collect::<Vec<_>>());
    assert_exact(data.path(), &Params::default(), ALL);
}
