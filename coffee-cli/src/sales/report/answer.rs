//! A result as the page shows it, out of its file: bounded, however large that is.

use coffee_nodes::sales::ResultSummary;
use csv::ByteRecord;

use super::{
    ReportError,
    figure::Figure,
    view::{Charts, View},
};
use crate::{output::printable, sales::tables::cut};

/// Longer texts are cut: a name may be as long as a line of a file.
const WIDEST: usize = 200;

/// Longer parts of a bar's label are cut.
const LABEL: usize = 26;

/// Columns for a bar's label and its figure. Where that is not enough, the label is cut.
const ROOM: usize = 44;

/// Bars of a chart: two years of months, or ten stores with three customers each, are whole.
const BARS: usize = 36;

/// Charts of a result: four years of half-years are whole.
const CHARTS: usize = 8;

/// A result.
#[derive(Debug)]
pub struct Answer<'a> {
    /// How it is shown.
    pub view: &'a View,
    /// How many rows it has, and where.
    pub result: &'a ResultSummary,
    /// Its first rows.
    pub rows: Vec<Row>,
    /// Its charts.
    pub charts: Vec<Chart>,
    /// Whether it has more charts than that.
    pub charts_cut: bool,
}

/// A row of a result.
#[derive(Debug)]
pub struct Row {
    /// All texts but the last.
    pub texts: Vec<String>,
    /// The last one.
    pub figure: Figure,
}

/// A chart of bars.
#[derive(Debug)]
pub struct Chart {
    /// The part of the result that it shows; empty for all of it.
    pub part: String,
    /// Its bars, in the file's order; the longest ones, if it has no room for all.
    pub bars: Vec<Bar>,
    /// How many bars there would be.
    pub all: u64,
}

/// A bar.
#[derive(Debug)]
pub struct Bar {
    /// What it is about.
    pub label: String,
    /// How long it is.
    pub figure: Figure,
}

impl<'a> Answer<'a> {
    /// Reads a result's file: to its end only if that is to be drawn.
    pub fn read(view: &'a View, result: &'a ResultSummary) -> Result<Self, ReportError> {
        let failed = |error| ReportError::Read { path: result.file.clone(), error };
        let mut answer = Answer { view, result, rows: Vec::new(), charts: Vec::new(), charts_cut: false };
        let mut reader = csv::Reader::from_path(&result.file).map_err(failed)?;
        let mut record = ByteRecord::new();
        while answer.takes_more() && reader.read_byte_record(&mut record).map_err(failed)? {
            answer.take(Row::of(&record).ok_or_else(|| ReportError::NoFigure {
                path: result.file.clone(),
                line: record.position().map_or(0, csv::Position::line),
            })?);
        }
        Ok(answer)
    }

    fn takes_more(&self) -> bool {
        self.view.charts != Charts::None || self.rows.len() < self.view.table_limit()
    }

    fn take(&mut self, row: Row) {
        match (self.view.charts, row.texts.as_slice()) {
            (Charts::ByFirst, [part, label @ ..]) => self.draw(part, label, &row.figure),
            (Charts::One, label) => self.draw("", label, &row.figure),
            _ => {}
        }
        if self.rows.len() < self.view.table_limit() {
            self.rows.push(row);
        }
    }

    fn draw(&mut self, part: &str, label: &[String], figure: &Figure) {
        if self.charts.last().is_none_or(|chart| chart.part != part) {
            if self.charts.len() == CHARTS {
                self.charts_cut = true;
                return;
            }
            self.charts.push(Chart { part: part.to_owned(), bars: Vec::new(), all: 0 });
        }
        if let Some(chart) = self.charts.last_mut() {
            let parts: Vec<String> = label.iter().map(|text| cut(text, LABEL)).collect();
            let room = ROOM.saturating_sub(figure.to_string().len());
            chart.take(Bar { label: cut(&parts.join(" · "), room), figure: figure.clone() });
        }
    }
}

impl Row {
    /// `None` if the last field is no figure.
    fn of(record: &ByteRecord) -> Option<Self> {
        let show = |field| cut(&printable(&String::from_utf8_lossy(field)), WIDEST);
        let mut texts: Vec<String> = record.iter().map(show).collect();
        let figure = Figure::read(&texts.pop()?)?;
        Some(Row { texts, figure })
    }
}

impl Chart {
    /// The shortest bar gives way; of those that are alike, the last.
    fn take(&mut self, bar: Bar) {
        self.all += 1;
        self.bars.push(bar);
        if self.bars.len() <= BARS {
            return;
        }
        let lengths = self.bars.iter().map(|bar| bar.figure.length()).enumerate().rev();
        if let Some((shortest, _)) = lengths.min_by(|(_, one), (_, other)| one.total_cmp(other)) {
            self.bars.remove(shortest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write, fs};

    use super::*;
    use crate::sales::report::view::VIEWS;

    fn read(name: &str, rows: &str) -> Result<Answer<'static>, ReportError> {
        let view = VIEWS.iter().find(|view| view.name == name).unwrap();
        let view: &'static View = Box::leak(Box::new(View { ..*view }));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("result.csv");
        fs::write(&file, format!("{}\n{rows}", view.columns.join(","))).unwrap();
        let rows = rows.lines().count() as u64;
        let result = ResultSummary { name: name.into(), header: &[], shown: Vec::new(), rows, file };
        Answer::read(view, Box::leak(Box::new(result)))
    }

    #[test]
    fn q3_has_a_chart_for_each_half_year() {
        let answer = read("q3", "2024-H1,A,1.5\n2024-H1,B,-2.0\n2024-H2,A,3.0\n").unwrap();
        let charts: Vec<_> = answer.charts.iter().map(|chart| (chart.part.as_str(), chart.bars.len())).collect();
        assert_eq!(charts, [("2024-H1", 2), ("2024-H2", 1)]);
        assert_eq!((answer.charts[0].bars[1].label.as_str(), answer.charts[0].bars[1].figure.exact()), ("B", "-2.0"));
        assert_eq!((answer.rows.len(), answer.charts_cut), (3, false));
    }

    #[test]
    fn of_many_stores_the_longest_bars_are_drawn_in_their_order() {
        let stores = 3 * BARS;
        let rows = (0..stores).fold(String::new(), |mut rows, store| {
            let value = store * 7919 % stores; // each value once, in no order
            writeln!(rows, "2024-H1,store {store},{value}.0").unwrap();
            rows
        });
        let answer = read("q3", &rows).unwrap();
        let chart = &answer.charts[0];
        assert_eq!((chart.bars.len(), chart.all, answer.rows.len()), (BARS, stores as u64, stores));
        assert!(chart.bars.iter().all(|bar| bar.figure.length() >= (stores - BARS) as f64));
        let numbers: Vec<usize> = chart.bars.iter().map(|bar| bar.label[6..].parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }

    #[test]
    fn charts_and_rows_are_bounded() {
        let rows: String = (0..2000).map(|year| format!("{year}-H1,A,1.0\n")).collect();
        let answer = read("q3", &rows).unwrap();
        assert_eq!((answer.charts.len(), answer.charts_cut, answer.rows.len()), (CHARTS, true, 1000));
        let rows: String = (0..2000).map(|id| format!("t{id},80.5\n")).collect();
        let answer = read("q1", &rows).unwrap();
        assert_eq!((answer.charts.len(), answer.rows.len(), answer.result.rows), (0, 100, 2000));
        let answer = read("q4", &format!("{},1990-01-02,5\n", "é".repeat(5000))).unwrap();
        assert_eq!(answer.rows[0].texts[0].chars().count(), WIDEST + 1);
        assert_eq!(answer.charts[0].bars[0].label, format!("{}… · 1990-01-02", "é".repeat(LABEL)));
    }

    #[test]
    fn a_file_that_was_tampered_with_is_an_error() {
        assert!(matches!(read("q3", "2024-H1,A,1.0\n2024-H1,A,many\n"), Err(ReportError::NoFigure { line: 3, .. })));
        assert!(matches!(read("q3", "2024-H1,A\n"), Err(ReportError::Read { .. })));
    }
}
