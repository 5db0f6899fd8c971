//! Reads one line at a time, with all that CSV allows: the one authority for what is a row and what is rejected.

use super::header::Layout;
use super::split::Split;
use super::{Fields, Reason, Record};
use crate::rejection::{Line, Rejection};
use crate::source::Rows;
use crate::value::DateMemo;

/// A line that is longer than this many bytes, without its line end, is rejected.
pub const MAX_LINE: usize = 64 * 1024;

/// The careful way: one line at a time, with all that CSV allows.
pub(super) struct Careful<'a> {
    pub(super) layout: &'a Layout,
    pub(super) dates: &'a DateMemo,
    pub(super) split: &'a mut Split,
}

impl Careful<'_> {
    /// Reads or rejects the row in `text`, if there is one; a CR at its end is the line end's.
    #[inline(never)]
    pub(super) fn read_line<T: Record>(&mut self, text: &[u8], line: Line, rows: &mut Rows<'_, T>) {
        let text = without_line_end(text);
        if text.is_empty() {
            return;
        }
        match self.row(text, line) {
            Ok(row) => rows.push(row),
            Err((column, reason)) => rows.reject(rejection(text, line, column, reason)),
        }
    }

    /// The row, or the column's name (empty for the whole row) and what is wrong.
    fn row<T: Record>(&mut self, text: &[u8], line: Line) -> Result<T, (&'static str, Reason)> {
        if text.len() > MAX_LINE {
            return Err(("", Reason::TooLong));
        }
        self.split.split(text).map_err(|reason| ("", reason))?;
        if self.split.width() != self.layout.width {
            return Err(("", Reason::FieldCount));
        }
        let fields = Fields {
            bytes: &self.split.bytes,
            starts: &self.split.starts,
            places: &self.layout.places,
            line,
            dates: self.dates,
        };
        let row = fields.check_utf8().and_then(|()| T::parse(&fields));
        row.map_err(|error| (T::COLUMNS.get(error.column).copied().unwrap_or_default(), error.reason))
    }
}

/// The rejection of the row in `text`.
#[cold]
pub(super) fn rejection(text: &[u8], line: Line, column: &str, reason: Reason) -> Rejection {
    Rejection { column: column.to_owned(), ..Rejection::of_line(line, reason.to_string(), text) }
}

/// `text` without the LF, CR LF or CR at its end.
pub(super) fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}
