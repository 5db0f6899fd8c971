//! `--report`: the page has what the result files have.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, which fails by panicking")]

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use support::{Data, Run, coffee, run, run_into, said};

/// Runs with a report, which is returned.
fn reported(data: &Path, flags: &[&str]) -> (Run, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let run = run(data, &[&["--report", path.to_str().unwrap()], flags].concat()).done();
    let page = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    (run, page)
}

/// The records of a result file.
fn records(run: &Run, name: &str) -> Vec<Vec<String>> {
    let reader = csv::Reader::from_path(run.path(name)).unwrap();
    reader.into_records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// A section of the page.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let start = page.find(&format!("<section id=\"{name}\">")).unwrap_or_else(|| panic!("{name}: {page}"));
    page[start..].split("</section>").next().unwrap()
}

/// All texts between two marks.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before).skip(1).map(|rest| rest.split(after).next().unwrap()).collect()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

/// The bars of a section's charts: label and figure as drawn, and its length.
fn bars(section: &str) -> Vec<(String, String, f64)> {
    let charts = section.split("</desc>").skip(1);
    charts.flat_map(|chart| between(chart, "<rect ", "<rect ").into_iter().map(bar)).collect()
}

/// A rectangle and the two texts behind it.
fn bar(shapes: &str) -> (String, String, f64) {
    let texts = between(shapes, "<text ", "</text>");
    let text = |at: usize| unescaped(texts[at].split_once('>').unwrap().1.trim());
    let width = between(shapes, "width=\"", "\"")[0].parse().unwrap();
    (text(0), text(1).replace(',', ""), width)
}

#[test]
fn tables_and_charts_are_those_of_the_files() {
    let data = Data::generated(5, 3000, &["2024-01", "2024-08", "2025-03"]);
    let (run, page) = reported(data.path(), &["--quiet"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    for name in ["q1", "q2_best_selling", "q2_most_profit", "q3", "q4"] {
        let section = section(&page, name);
        let records = records(&run, &format!("{name}.csv"));
        let figures: Vec<&str> = records.iter().map(|record| record.last().unwrap().as_str()).collect();
        let shown = between(section, "<data value=\"", "\"");
        assert!(!shown.is_empty() && shown == figures[..shown.len()], "{name}: {shown:?}");
        if name == "q1" {
            assert_eq!(shown.len(), records.len().min(100));
            continue;
        }
        assert_eq!(shown.len(), records.len(), "{name}: each row");
        let bars = bars(section);
        assert!(bars.iter().map(|bar| &bar.1).eq(&figures), "{name}: {bars:?}");
        let value = |text: &str| text.parse::<f64>().unwrap();
        let longest = figures.iter().map(|figure| value(figure)).fold(0.0, f64::max);
        let widest = bars.iter().map(|bar| bar.2).fold(0.0, f64::max);
        for ((label, figure, width), record) in bars.iter().zip(&records) {
            assert!((width - value(figure) / longest * widest).abs() <= 2.0, "{name}: {label} {figure} {width}");
            let name = &record[record.len() - 2];
            assert!(label.contains(name.chars().take(8).collect::<String>().as_str()), "{label}: {record:?}");
        }
    }
    for (table, rows) in rows_read(&data) {
        assert!(
            section(&page, "run").contains(&format!("<th scope=\"row\">{table}</th><td class=\"number\">{rows}</td>")),
            "{table}"
        );
    }
}

/// Rows read by table, as the terminal has them.
fn rows_read(data: &Data) -> BTreeMap<String, String> {
    let [tables, _] = run(data.path(), &[]).done().figures();
    tables.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
}

#[test]
fn names_are_escaped_and_empty_answers_said() {
    let data = Data::small();
    data.file("stores", "a.csv", "store_id,store_name\n1,\"<script>alert('it''s \"\"me\"\"')</script>\"\n");
    let (run, page) = reported(data.path(), &[]);
    assert!(run.file("q3.csv").contains("<script>") && !page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;"), "{page}");
    let (_, page) = reported(data.path(), &["--years=2031", "--queries=q2,q3"]);
    assert_eq!(page.matches("Nothing in the data fits").count(), 3, "{page}");
    assert!(!page.contains("id=\"q4\""), "not asked for");
}

#[test]
fn a_report_that_can_not_be_had_is_bad_usage() {
    let data = Data::small();
    fs::create_dir(data.path().join("folder.html")).unwrap();
    let out = data.path().join("out");
    for (path, says) in [
        ("none/page.html", "No such file"),
        ("q1.csv", ".html"),
        ("folder.html", "folder"),
        ("users/a.csv/page.html", "Not a directory"),
    ] {
        for command in [&["run"][..], &["submit", "--gateway", "127.0.0.1:1"]] {
            let mut coffee = coffee();
            coffee.args(command).arg(data.path()).arg("--out").arg(&out).arg("--report").arg(data.path().join(path));
            let (code, _, stderr) = said(coffee.output().unwrap());
            assert!(code == 2 && stderr.lines().count() == 1 && stderr.contains(says), "{path}: {stderr}");
            assert!(stderr.contains("--report"), "{stderr}");
            assert!(!out.exists(), "before any work");
        }
    }
}

#[test]
fn a_run_that_fails_leaves_the_old_report() {
    let data = Data::small();
    data.lines("stores", &["x,y"]);
    let out = tempfile::tempdir().unwrap();
    let page = out.path().join("page.html");
    fs::write(&page, "old").unwrap();
    let run = run_into(out, data.path(), &["--strict", "--report", page.to_str().unwrap()]);
    run.error(1);
    assert_eq!(run.files().into_iter().collect::<Vec<_>>(), [("page.html".to_owned(), b"old".to_vec())]);
}
