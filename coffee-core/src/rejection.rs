//! Rows that were left out, and why.

use serde::{Deserialize, Serialize};

/// One row that was left out. Ordered by place: file, then line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rejection {
    /// The line's place.
    pub line: Line,
    /// The column that could not be read; empty where the whole row is meant.
    pub column: String,
    /// What is wrong, in words.
    pub reason: String,
    /// The row's text, at most [`RAW_LIMIT`] bytes of it; `None` where whoever rejects the row no longer has its
    /// text (a duplicate key, found by a join), which is then looked up in the file.
    pub raw: Option<Vec<u8>>,
}

impl Rejection {
    /// A whole line, for a reason in words; of its text what there is room for is kept.
    pub fn of_line(line: Line, reason: impl Into<String>, text: &[u8]) -> Self {
        let raw = text.get(..RAW_LIMIT).unwrap_or(text).to_vec();
        Rejection { line, column: String::new(), reason: reason.into(), raw: Some(raw) }
    }
}

/// At most this many bytes of a rejected row are kept.
pub const RAW_LIMIT: usize = 200;

/// The place of a line in a table: its file, counted from 0 in reading order, and its number there, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Line {
    /// Which file of the table.
    pub file: u32,
    /// Which line of the file; the header is line 1.
    pub number: u64,
}
