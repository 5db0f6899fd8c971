//! The summary at the end of a run, on stderr.

use coffee_nodes::sales::{Summary, TableSummary, Times};
use indicatif::{DecimalBytes, HumanCount};

use super::tables::aligned;
use crate::output::{print_error, printable};

/// Prints the summary to stderr.
pub fn print(summary: &Summary) {
    print_error(&show(summary));
}

fn show(summary: &Summary) -> String {
    let tables = summary.tables.iter().map(|table| row(&table.name, &[table.rows, table.rejected, table.unmatched]));
    let operators =
        summary.operators.iter().map(|operator| row(&operator.name, &[operator.rows_in, operator.rows_out]));
    let mut text = format!(
        "\n{}\n\n{}\n\n",
        aligned(&["table", "rows", "rejected", "unmatched"], tables),
        aligned(&["operator", "rows in", "rows out"], operators),
    );
    if !summary.stages.is_empty() {
        text += &format!("{}\n\n", aligned(&["stage", "busy s", "share"], busy(summary)));
    }
    text.extend(notes(summary).map(|note| note + "\n"));
    text
}

/// What was left out, where time went, and how fast it was: a line each.
pub fn notes(summary: &Summary) -> impl Iterator<Item = String> {
    let unmatched = summary.tables.iter().filter(|table| table.unmatched > 0).map(unmatched);
    unmatched.chain(rejected(summary)).chain(summary.times.map(times)).chain([speed(summary)])
}

/// By stage, how long its threads were at work.
fn busy(summary: &Summary) -> impl Iterator<Item = Vec<String>> {
    let all = summary.busy().as_secs_f64().max(f64::MIN_POSITIVE);
    summary.stages.iter().map(move |stage| {
        let busy = stage.busy.as_secs_f64();
        vec![printable(&stage.name), format!("{busy:.3}"), format!("{:.1}%", 100.0 * busy / all)]
    })
}

fn times(times: Times) -> String {
    let [upload, work, fetch] = [times.upload, times.work, times.fetch].map(|time| time.as_secs_f64());
    format!(
        "time: {upload:.3} s until all was sent, {work:.3} s until the last result came, {fetch:.3} s until it was here"
    )
}

fn row(name: &str, counts: &[u64]) -> Vec<String> {
    let counts = counts.iter().map(|count| HumanCount(*count).to_string());
    [name.to_owned()].into_iter().chain(counts).collect()
}

fn unmatched(table: &TableSummary) -> String {
    let lacked = match table.unmatched {
        1 => "1 result row that names".to_owned(),
        many => format!("{} result rows that name", HumanCount(many)),
    };
    format!("unmatched: left out {lacked} what table {} does not have", table.name)
}

fn rejected(summary: &Summary) -> Option<String> {
    let file = printable(&summary.rejected_file.as_ref()?.display().to_string());
    let all: u64 = summary.tables.iter().map(|table| table.rejected).sum();
    let rest = match summary.rejected_unlisted {
        0 => String::new(),
        rest => format!(", but for {} that it has no room for", HumanCount(rest)),
    };
    Some(format!("rejected: {} rows left out, listed in {file}{rest}", HumanCount(all)))
}

fn speed(summary: &Summary) -> String {
    let seconds = summary.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    format!(
        "{} rows, {} in {seconds:.3} s: {} rows/s, {}/s",
        HumanCount(summary.rows()),
        DecimalBytes(summary.bytes),
        HumanCount(summary.rows_per_second() as u64),
        DecimalBytes((summary.bytes as f64 / seconds) as u64),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coffee_nodes::sales::{OperatorSummary, StageSummary};

    use super::*;

    fn summary() -> Summary {
        let table =
            |name: &str, rows, rejected, unmatched| TableSummary { name: name.into(), rows, rejected, unmatched };
        Summary {
            tables: vec![table("transactions", 2_000_000, 0, 0), table("stores", 10, 0, 0)],
            operators: vec![OperatorSummary { name: "year".into(), rows_in: 2_000_000, rows_out: 1 }],
            results: Vec::new(),
            missing: Vec::new(),
            rejected_file: None,
            rejected_unlisted: 0,
            bytes: 250_000_000,
            elapsed: Duration::from_millis(500),
            times: None,
            stages: Vec::new(),
        }
    }

    #[test]
    fn speed_is_said_in_rows_and_bytes() {
        let text = show(&summary());
        assert!(text.ends_with("2,000,010 rows, 250.00 MB in 0.500 s: 4,000,020 rows/s, 500.00 MB/s\n"), "{text}");
        assert!(!text.contains("unmatched:") && !text.contains("rejected:"));
    }

    #[test]
    fn where_time_went_is_said_where_it_is_known() {
        let mut summary = summary();
        assert!(!show(&summary).contains("time:") && !show(&summary).contains("busy"));
        let [upload, work, fetch] = [1200, 3400, 50].map(Duration::from_millis);
        summary.times = Some(Times { upload, work, fetch });
        let stage = |name: &str, millis| StageSummary { name: name.into(), busy: Duration::from_millis(millis) };
        summary.stages = vec![stage("gateway", 3000), stage("groups", 1000)];
        let text = show(&summary);
        assert!(
            text.contains("time: 1.200 s until all was sent, 3.400 s until the last result came, 0.050 s until it"),
            "{text}"
        );
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(
            words.contains(&vec!["gateway", "3.000", "75.0%"]) && words.contains(&vec!["groups", "1.000", "25.0%"]),
            "{text}"
        );
    }

    #[test]
    fn what_was_left_out_is_said() {
        let mut summary = summary();
        summary.tables[0].rejected = 12_000;
        summary.tables[1].unmatched = 1;
        summary.rejected_file = Some("out/rejected.csv".into());
        summary.rejected_unlisted = 2_000;
        let text = show(&summary);
        assert!(text.contains("unmatched: left out 1 result row that names what table stores does not have"), "{text}");
        assert!(
            text.contains("rejected: 12,000 rows left out, listed in out/rejected.csv, but for 2,000 that"),
            "{text}"
        );
    }
}
