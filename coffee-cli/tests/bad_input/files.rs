//! Files as they come: their line ends, their compression, and what is broken in them.

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};

use super::{assert_refused, rejected, support::*};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// The transactions' header and these lines.
fn transactions(lines: &str) -> Vec<u8> {
    format!("{}\n{lines}", HEADERS[0].1).into_bytes()
}

const SALE: &str = "t9,1,7.0,99.5,2024-05-05 09:00:00";

#[test]
fn line_ends_of_all_kinds_and_empty_lines_work() {
    for text in [
        transactions(&format!("{SALE}\n")),
        transactions(SALE),
        transactions(&format!("{SALE}\r")),
        transactions(&format!("\n\n{SALE}\n\n")),
        String::from_utf8(transactions(&format!("{SALE}\n"))).unwrap().replace('\n', "\r\n").into_bytes(),
        String::from_utf8(transactions(&format!("\n\n{SALE}"))).unwrap().replace('\n', "\r\n").into_bytes(),
        [b"\xef\xbb\xbf".to_vec(), transactions(SALE)].concat(),
        [b"\xef\xbb\xbf".to_vec(), transactions(SALE).split(|&b| b == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..])]
            .concat(),
    ] {
        let data = Data::small();
        data.file("transactions", "b.csv", &text);
        assert_eq!(rejected(&data), Vec::<[String; 5]>::new());
        assert!(
            run(data.path(), &[]).done().file("q1.csv").contains("t9,99.5\n"),
            "{}",
            String::from_utf8_lossy(&text)
        );
    }
}

#[test]
fn empty_lines_before_the_header_work() {
    let data = Data::small();
    data.file("transactions", "b.csv", [b"\n\r\n".to_vec(), transactions(&format!("{SALE}\nbad\n"))].concat());
    let places: Vec<String> = rejected(&data).into_iter().map(|[_, line, ..]| line).collect();
    assert_eq!(places, ["5"]);
    assert!(run(data.path(), &[]).done().file("q1.csv").contains("t9,99.5\n"));
    data.file("stores", "b.csv", "\n\n");
    assert_refused(&data, &[], &["stores/b.csv", "no header line"]);
}

#[cfg(unix)]
#[test]
fn pipes_are_refused() {
    let data = Data::small();
    let pipe = data.path().join("stores/b.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_refused(&data, &[], &["stores/b.csv", "no file"]);
}

#[test]
fn each_file_has_its_own_header_and_other_columns_are_ignored() {
    let data = Data::small();
    data.file("transactions", "b.csv", "\"created_at\",x,final_amount,\"user_id\",y,store_id,transaction_id\n2024-05-05 09:00:00,\"a,b\",99.5,7,,1,t9\n");
    assert!(rejected(&data).is_empty());
    assert!(run(data.path(), &[]).done().file("q1.csv").ends_with("t9,99.5\n"));
}

#[test]
fn files_with_only_a_header_work() {
    for end in ["", "\n", "\r\n"] {
        let data = Data::new();
        for (table, header) in HEADERS {
            data.file(table, "a.csv", format!("{header}{end}"));
        }
        assert!(rejected(&data).is_empty());
    }
}

#[test]
fn an_empty_answer_is_a_file_with_its_header_alone() {
    let run = run(Data::small().path(), &["--years=1999"]).done();
    let headers = [
        ("q1.csv", "transaction_id,final_amount\n"),
        ("q2_best_selling.csv", "year_month_created_at,item_name,sellings_qty\n"),
        ("q2_most_profit.csv", "year_month_created_at,item_name,profit_sum\n"),
        ("q3.csv", "year_half_created_at,store_name,tpv\n"),
        ("q4.csv", "store_name,birthdate,purchases_qty\n"),
    ];
    let files: Vec<_> = run.files().into_iter().collect();
    assert_eq!(files, headers.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())));
}

#[test]
fn compressed_files_are_read_like_others() {
    let plain = Data::generated(2, 9_000, &["2024-01"]);
    let data = Data::generated(2, 9_000, &["2024-01"]);
    for (table, name) in [("transactions", "transactions_202401.csv"), ("users", "users_202401.csv")] {
        let text = fs::read(data.path().join(table).join(name)).unwrap();
        let (front, rear) = text.split_at(text.len() / 2);
        // Two members, as `cat a.gz b.gz` makes them.
        data.remove(&format!("{table}/{name}")).file(table, &format!("{name}.gz"), [gzip(front), gzip(rear)].concat());
    }
    assert!(rejected(&data).is_empty());
    assert_eq!(run(data.path(), &[]).done().files(), run(plain.path(), &[]).done().files());
}

#[test]
fn compressed_files_that_are_cut_off_fail_the_run() {
    let lines: String = (0..50_000).map(|n| format!("t{n},1,,{}.5,2024-01-01 10:00:00\n", n % 977)).collect();
    let whole = gzip(&transactions(&lines));
    let data = Data::small();
    data.file("transactions", "b.csv.gz", &whole[..whole.len() - 100]);
    for (placement, threads) in [("fused", "1"), ("fused", "7"), ("staged", "1"), ("staged", "7")] {
        let run = run(data.path(), &["--placement", placement, "--threads", threads]);
        let error = run.error(1);
        assert!(error.contains("transactions/b.csv.gz") && error.contains("no whole gzip file"), "{error}");
        assert!(run.files().is_empty());
    }
    data.file("transactions", "b.csv.gz", transactions(SALE));
    assert_refused(&data, &[], &["transactions/b.csv.gz", "gzip"]);
    data.file("transactions", "b.csv.gz", "");
    assert_refused(&data, &[], &["transactions/b.csv.gz"]);
}

#[test]
fn empty_files_are_refused() {
    let data = Data::small();
    data.file("stores", "b.csv", "");
    assert_refused(&data, &[], &["stores/b.csv", "empty"]);
    let data = Data::small();
    data.file("stores", "b.csv", "\n\n");
    assert_refused(&data, &[], &["stores/b.csv"]);
}

#[test]
fn files_cut_off_within_a_row_lose_that_row_alone() {
    let data = Data::small();
    data.file("transactions", "b.csv", transactions(&format!("{SALE}\nt10,1,7.0,99.5,2024-05-0")));
    let rejected = rejected(&data);
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0][..4], ["transactions/b.csv", "3", "created_at", "not a time"]);
}

#[test]
fn binary_files_are_refused_or_rejected_and_never_a_panic() {
    // A fixed sequence of all bytes, by a linear congruential generator.
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..300_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    for (table, header) in HEADERS {
        let data = Data::small();
        data.file(table, "b.csv", [header.as_bytes(), b"\n", &noise].concat());
        assert!(rejected(&data).len() > 100);
        data.file(table, "b.csv", &noise);
        assert_refused(&data, &[], &[table, "b.csv"]);
    }
}

#[test]
fn lines_of_more_than_64_kib_are_one_rejected_row() {
    let data = Data::small();
    let longest = format!("{},1,,99,2024-01-01 10:00:00", "x".repeat(65_536 - 26));
    assert_eq!(longest.len(), 65_536);
    let huge = "y,".repeat(2 << 20);
    data.file(
        "transactions",
        "b.csv",
        transactions(&format!("{longest}\r\nx{longest}\n{SALE}\n{huge}\n{SALE}\n{huge}")),
    );
    let rejected = rejected(&data);
    let lines: Vec<_> =
        rejected.iter().map(|[_, line, _, reason, raw]| (line.as_str(), reason.as_str(), raw.len())).collect();
    let reason = "line longer than 64 KiB";
    assert_eq!(lines, [("3", reason, 200), ("5", reason, 200), ("7", reason, 200)]);
}
