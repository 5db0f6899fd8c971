//! A table that fits any width: of its columns the least important are left out first.

use unicode_width::UnicodeWidthStr;

/// Columns between two.
pub const GAP: usize = 2;

/// No column that may be cut is narrower than that, where it is longer.
const LEAST: usize = 16;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Above it.
    pub title: &'static str,
    /// Whether it is set to the right, as numbers are.
    pub right: bool,
    /// Of those that don't fit together the one with the highest rank goes first.
    pub rank: u8,
    /// Whether it may be cut, as what it says is seen elsewhere: it takes what the others leave.
    pub cut: bool,
}

impl Column {
    /// One of texts.
    pub const fn text(title: &'static str, rank: u8) -> Self {
        Column { title, right: false, rank, cut: false }
    }

    /// One of long texts.
    pub const fn long(title: &'static str, rank: u8) -> Self {
        Column { title, right: false, rank, cut: true }
    }

    /// One of numbers.
    pub const fn number(title: &'static str, rank: u8) -> Self {
        Column { title, right: true, rank, cut: false }
    }
}

/// How a row is to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As the others.
    #[default]
    Plain,
    /// Of something that is over, or does nothing.
    Faint,
    /// Of something that is wrong.
    Bad,
}

/// A row, with a cell for each column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// By column.
    pub cells: Vec<String>,
    /// How it is to be seen.
    pub tone: Tone,
}

/// Columns and rows. No cell has a control code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// From left to right.
    pub columns: Vec<Column>,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

impl Table {
    /// The columns that fit, by index, with their widths.
    pub fn fit(&self, width: usize) -> Vec<(usize, usize)> {
        let wide = |at: usize, column: &Column| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| cell.width());
            cells.chain([column.title.width()]).max().unwrap_or_default()
        };
        let natural: Vec<usize> = self.columns.iter().enumerate().map(|(at, column)| wide(at, column)).collect();
        let least = |column: &Column, wide: usize| if column.cut { wide.min(LEAST) } else { wide };
        let columns = self.columns.iter().zip(&natural).enumerate();
        let mut fit: Vec<(usize, usize, u8)> =
            columns.map(|(at, (column, wide))| (at, least(column, *wide), column.rank)).collect();
        let total = |fit: &[(usize, usize, u8)]| fit.iter().map(|(_, wide, _)| wide + GAP).sum::<usize>();
        while fit.len() > 1 && total(&fit) > width + GAP {
            let Some(least) = fit.iter().enumerate().max_by_key(|(_, (.., rank))| *rank).map(|(place, _)| place) else {
                break;
            };
            fit.remove(least);
        }
        let left = (width + GAP).saturating_sub(total(&fit));
        let grown = |at: usize, wide: usize| natural.get(at).map_or(wide, |natural| (*natural).min(wide + left));
        fit.into_iter().map(|(at, wide, _)| (at, grown(at, wide).min(width))).collect()
    }

    /// A line of cells, as wide as these columns; the last is not filled up.
    pub fn line<'a>(&self, fit: &[(usize, usize)], cell: impl Fn(usize) -> &'a str) -> String {
        let mut line = String::new();
        for (at, wide) in fit {
            let (text, gap) = (cut(cell(*at), *wide), if line.is_empty() { 0 } else { GAP });
            let fill = wide.saturating_sub(text.width());
            let right = self.columns.get(*at).is_some_and(|column| column.right);
            let (before, after) = if right { (gap + fill, 0) } else { (gap, fill) };
            line.extend(std::iter::repeat_n(' ', before).chain(text.chars()).chain(std::iter::repeat_n(' ', after)));
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// The line above.
    pub fn header(&self, fit: &[(usize, usize)]) -> String {
        self.line(fit, |at| self.columns.get(at).map_or("", |column| column.title))
    }

    /// A row's line.
    pub fn row(&self, fit: &[(usize, usize)], row: &Row) -> String {
        self.line(fit, |at| row.cells.get(at).map_or("", String::as_str))
    }
}

/// A text's beginning, as wide as that, with a sign where it goes on.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for letter in text.chars() {
        cut.push(letter);
        if cut.width() >= width {
            cut.pop();
            break;
        }
    }
    if width > 0 {
        cut.push('~');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_important_columns_go_first() {
        let columns = vec![Column::text("NODE", 0), Column::number("PID", 2), Column::number("ROWS", 1)];
        let row = |cells: [&str; 3]| Row { cells: cells.map(str::to_owned).into(), tone: Tone::Plain };
        let table = Table { columns, rows: vec![row(["groups.0", "4711", "7"]), row(["é", "1", "12345"])] };
        let lines = |width: usize| {
            let fit = table.fit(width);
            let rows = table.rows.iter().map(|row| table.row(&fit, row));
            [table.header(&fit)].into_iter().chain(rows).collect::<Vec<_>>()
        };
        assert_eq!(lines(80), ["NODE       PID   ROWS", "groups.0  4711      7", "é            1  12345"]);
        assert_eq!(lines(21), lines(80));
        assert_eq!(lines(20), ["NODE       ROWS", "groups.0      7", "é         12345"]);
        assert_eq!(lines(14), ["NODE", "groups.0", "é"]);
        assert_eq!(lines(5), ["NODE", "grou~", "é"]);
        assert_eq!(table.fit(0), [(0, 0)]);
    }

    #[test]
    fn long_texts_take_what_is_left() {
        let row = Row { cells: vec!["12:00:00".into(), "a text that is long".into()], tone: Tone::Plain };
        let table = Table { columns: vec![Column::text("AT", 1), Column::long("WHAT", 0)], rows: vec![row] };
        let line = |width: usize| table.row(&table.fit(width), &table.rows[0]);
        assert_eq!(line(80), "12:00:00  a text that is long");
        assert_eq!(line(27), "12:00:00  a text that is l~");
        assert_eq!((line(25), line(4)), ("a text that is long".to_owned(), "a t~".to_owned()));
        assert_eq!([0, 1, 2].map(|width| cut("日本", width)), ["", "~", "~"]);
    }
}
