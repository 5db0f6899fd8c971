use std::{fs, time::Duration};

use coffee_core::sales::Query;
use coffee_nodes::sales::{MissingResult, OperatorSummary, Queries, ResultSummary, TableSummary};
use tempfile::TempDir;

use super::{figure::Figure, view::VIEWS, *};

/// Results by name, with their rows.
const RESULTS: [(&str, &str); 5] = [
    ("q1", "t1,80.5\nt2,1234.0\n"),
    ("q2_best_selling", "2024-01,Mocha,7\n2024-02,Latte,1200\n"),
    ("q2_most_profit", "2024-01,Mocha,70.25\n2024-02,Latte,9000.0\n"),
    ("q3", "2024-H1,North,1000.0\n2024-H1,South,500.0\n2024-H2,North,12160503.315\n"),
    ("q4", "North,1990-01-02,9\nSouth,1991-02-03,4\n"),
];

/// A finished run with these results.
fn finished(results: &[(&str, &str)]) -> (TempDir, Summary) {
    let folder = tempfile::tempdir().unwrap();
    let result = |&(name, rows): &(&str, &str)| {
        let file = folder.path().join(format!("{name}.csv"));
        let columns = VIEWS.iter().find(|view| view.name == name).unwrap().columns;
        fs::write(&file, format!("{}\n{rows}", columns.join(","))).unwrap();
        let rows = rows.lines().count() as u64;
        ResultSummary { name: name.into(), header: &[], shown: Vec::new(), rows, file }
    };
    let summary = Summary {
        tables: vec![TableSummary { name: "stores".into(), rows: 2_000, rejected: 3, unmatched: 1 }],
        operators: vec![OperatorSummary { name: "year".into(), rows_in: 5_000, rows_out: 4_000 }],
        results: results.iter().map(result).collect(),
        missing: Vec::new(),
        rejected_file: Some("out/rejected.csv".into()),
        rejected_unlisted: 0,
        bytes: 1_000_000,
        elapsed: Duration::from_millis(500),
        times: None,
        stages: Vec::new(),
    };
    (folder, summary)
}

fn request() -> Request {
    let years = vec![2024, 2031];
    let (from, to) = ("06:00:00".parse().unwrap(), "23:00:00".parse().unwrap());
    let query = Query { years, from, to, min_amount: "75".parse().unwrap(), top: 3 };
    Request { data: "da<ta".into(), out: "out".into(), query, queries: Queries::ALL, strict: false }
}

fn page_of(summary: &Summary) -> String {
    page::page(&request(), summary).unwrap().into_string()
}

/// A section of the page.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let start = page.find(&format!("<section id=\"{name}\">")).unwrap();
    page[start..].split("</section>").next().unwrap()
}

#[test]
fn the_page_has_each_row_and_each_bar() {
    let (_folder, summary) = finished(&RESULTS);
    let page = page_of(&summary);
    for (name, rows) in RESULTS {
        let section = section(&page, name);
        for row in rows.lines() {
            let (texts, figure) = row.rsplit_once(',').unwrap();
            let shown = Figure::read(figure).unwrap();
            let cells: String = texts.split(',').map(|text| format!("<td>{text}</td>")).collect();
            let cells = format!("<tr>{cells}<td class=\"number\"><data value=\"{figure}\">{shown}</data></td></tr>");
            assert!(section.contains(&cells), "{cells}: {section}");
            if name != "q1" {
                let label = if name == "q3" { texts[8..].to_owned() } else { texts.replace(',', " · ") };
                assert!(section.contains(&format!("{label}: {shown}")), "{label}: {section}");
            }
        }
        assert_eq!(section.matches("<svg").count(), [0, 1, 2][usize::from(name != "q1") + usize::from(name == "q3")]);
        assert_eq!(section.matches("<title").count(), section.matches("<svg").count(), "each has a title");
    }
}

#[test]
fn the_page_says_what_was_asked_and_how_it_went() {
    let (_folder, summary) = finished(&RESULTS);
    let page = page_of(&summary);
    for text in ["2024, 2031", "06:00:00 to 23:00:00", "da&lt;ta", "rejected: 3 rows left out", "4,000 rows/s"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let run = section(&page, "run");
    assert!(run.contains("<th scope=\"row\">stores</th><td class=\"number\">2,000</td>"), "{run}");
    assert!(run.contains("<th scope=\"row\">year</th><td class=\"number\">5,000</td>"), "{run}");
}

#[test]
fn texts_out_of_the_data_stay_texts() {
    let name = "</title><script>alert('1')</script>\u{1b}\u{0}&";
    let (_folder, mut summary) =
        finished(&[("q3", &format!("2024-H1,\"{name}\"\"\",1.0\n")), ("q1", &format!("{name},80.0\n"))]);
    summary.missing.push(MissingResult { name: "q4".into(), reason: name.into() });
    summary.tables[0].name = "<script>".into();
    let page = page_of(&summary);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert"), "{page}");
    assert!(!page.contains(['\u{1b}', '\u{0}']), "no control codes");
    assert_eq!(page.matches("</title>").count(), 2, "the page's and the chart's");
    assert!(page.contains("\\u{1b}\\u{0}&amp;&quot;"), "{page}");
}

#[test]
fn nothing_is_loaded_or_run() {
    let (_folder, summary) = finished(&RESULTS);
    let page = page_of(&summary);
    assert!(
        ["http://", "https://", "<script", "<link", "<img", "url(", "@import"].iter().all(|word| !page.contains(word))
    );
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn empty_results_are_said() {
    let (_folder, summary) = finished(&RESULTS.map(|(name, _)| (name, "")));
    let page = page_of(&summary);
    for (name, _) in RESULTS {
        assert!(section(&page, name).contains("Nothing in the data fits"), "{page}");
    }
    assert!(!page.contains("<svg"));
}

#[test]
fn results_that_were_not_asked_for_have_no_section() {
    let (_folder, summary) = finished(&RESULTS[3..4]);
    let page = page_of(&summary);
    assert_eq!(page.matches("<section").count(), 2, "{page}");
    assert!(page.contains("<section id=\"q3\">"));
}

#[test]
fn more_than_the_page_has_room_for_is_said() {
    let stores: String = (0..500).map(|store| format!("2024-H1,store {store},{store}.0\n")).collect();
    let sales: String = (0..500).map(|id| format!("t{id},80.5\n")).collect();
    let halves: String = (2000..2100).map(|year| format!("{year}-H1,A,1.0\n")).collect();
    let (folder, summary) = finished(&[("q3", &stores), ("q1", &sales)]);
    let page = page_of(&summary);
    assert!(section(&page, "q3").contains("the largest 36 of 500"), "{page}");
    let file = folder.path().join("q1.csv");
    assert!(section(&page, "q1").contains(&format!("The first 100 of 500 rows in {}", file.display())), "{page}");
    let (_folder, summary) = finished(&[("q3", &halves)]);
    assert!(section(&page_of(&summary), "q3").contains("Only the first 8 are drawn"));
}

fn report(path: &Path) -> Result<Report, Failure> {
    ReportArgs { report: Some(path.to_owned()) }.create()
}

#[test]
fn where_some_results_are_missing_the_page_says_so() {
    let (folder, mut summary) = finished(&RESULTS[..4]);
    summary.missing.push(MissingResult { name: "q4".into(), reason: "given up".into() });
    summary.missing.push(MissingResult { name: "rejected".into(), reason: "lost too".into() });
    let path = folder.path().join("page.html");
    report(&path).unwrap().write(&request(), &Err(SalesError::NoResult(Box::new(summary)))).unwrap();
    let page = fs::read_to_string(path).unwrap();
    assert!(section(&page, "q4").contains("There is no answer: given up"), "{page}");
    assert!(section(&page, "run").contains("rejected: lost too"), "{page}");
    assert!(section(&page, "q3").contains("<svg"), "the others are there");
}

#[test]
fn after_a_failure_the_old_page_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    fs::write(&path, "old").unwrap();
    report(&path).unwrap().write(&request(), &Err(SalesError::Interrupted)).unwrap();
    let (results, summary) = finished(&RESULTS);
    drop(results);
    let failure = report(&path).unwrap().write(&request(), &Ok(summary)).unwrap_err();
    assert!(failure.line().contains("page.html") && failure.line().contains("q2_best_selling.csv"), "{failure:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
