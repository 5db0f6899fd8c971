//! Aligned tables of text, and the first rows of each result as such on stdout.

use coffee_nodes::sales::ResultSummary;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use indicatif::HumanCount;
use unicode_width::UnicodeWidthChar;

use crate::{
    failure::Failure,
    output::{self, printable},
};

/// Longer texts are cut: a name may be as long as a line of a file.
const WIDEST: usize = 60;

/// A rule under the header, and nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// Prints the first rows of each result to stdout.
pub fn print(results: &[ResultSummary]) -> Result<(), Failure> {
    let texts: Vec<String> = results.iter().map(show).collect();
    output::print(texts.join("\n").as_bytes())
}

fn show(result: &ResultSummary) -> String {
    let rows = result.shown.iter().map(|row| row.iter().map(|text| cut(&printable(text), WIDEST)).collect());
    let table = aligned(result.header, rows);
    let more = result.rows.saturating_sub(result.shown.len() as u64);
    let file = printable(&result.file.display().to_string());
    let rest = match (result.rows, more) {
        (0, _) => format!("no rows in {file}"),
        (_, 0) => format!("all of {file}"),
        _ => format!("... and {} more rows in {file}", HumanCount(more)),
    };
    format!("{}\n{table}\n {rest}\n", result.name)
}

/// A table without an end of its last line. Columns of numbers alone are aligned to the right.
pub fn aligned(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    let numeric = |column: usize| {
        let mut texts = rows.iter().filter_map(|row| row.get(column)).peekable();
        texts.peek().is_some() && texts.all(|text| is_number(text))
    };
    let numeric: Vec<bool> = (0..header.len()).map(numeric).collect();
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header).add_rows(rows);
    for (column, _) in table.column_iter_mut().zip(numeric).filter(|(_, numeric)| *numeric) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// Digits, as they are counted and as results have them: with a sign, commas between thousands, a point, a per cent sign.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let digits = digits.strip_suffix('%').unwrap_or(digits);
    digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || ".,".contains(c))
}

/// The text, or as much of it as fits into so many columns: some characters take two. None is taken to need no room, so
/// that what is cut has an end.
pub fn cut(text: &str, widest: usize) -> String {
    let mut ends = text.char_indices().scan(0, |width, (at, c)| {
        *width += c.width().unwrap_or_default().max(1);
        Some((at, *width))
    });
    match ends.find(|(_, width)| *width > widest) {
        Some((end, _)) => text.get(..end).unwrap_or(text).to_owned() + "…",
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(rows: u64, shown: &[[&str; 2]]) -> ResultSummary {
        let shown = shown.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        ResultSummary { name: "q3".into(), header: &["store", "tpv"], shown, rows, file: "out/q3.csv".into() }
    }

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let text = show(&result(1234, &[["Café", "7.5"], ["B\u{1b}", "-100.25"]]));
        let expected = "q3\n store       tpv\n────────────────────\n Café        7.5\n B\\u{1b} -100.25\n ... and 1,232 more rows in out/q3.csv\n";
        let squeezed = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(squeezed(&text.replace('─', "")), squeezed(&expected.replace('─', "")));
        let ends: Vec<usize> = text.lines().skip(1).take(4).map(|line| line.trim_end().chars().count()).collect();
        assert!(ends[0] == ends[2] && ends[2] == ends[3], "{text}");
    }

    #[test]
    fn a_result_without_rows_says_so() {
        assert!(show(&result(0, &[])).ends_with(" no rows in out/q3.csv\n"));
        assert!(show(&result(1, &[["A", "1.0"]])).ends_with(" all of out/q3.csv\n"));
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "é".repeat(100);
        assert_eq!(cut(&long, WIDEST).chars().count(), WIDEST + 1);
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("コーヒー", 5), "コー…", "two columns each");
        assert_eq!(cut(&"\u{301}".repeat(100), WIDEST).chars().count(), WIDEST + 1, "no columns each");
    }

    #[test]
    fn dates_are_no_numbers() {
        assert!(["1", "-2.5", "1,234", "7.5%"].into_iter().all(is_number));
        assert!(["2024-01", "", "-", "x1", "1990-01-02"].into_iter().all(|text| !is_number(text)));
    }
}
