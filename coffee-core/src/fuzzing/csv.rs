//! CSV: a table is the same however it is cut into chunks, and each of its lines is a row or a rejection.

use std::fmt::Debug;

use crate::{
    csv::{CsvSource, Record},
    rejection::Rejection,
    sales::records::{MenuItem, Store, Transaction, TransactionItem, User},
    source::{Chunk, RowSink, Rows, Source},
};

/// Which table it is, and whether its header is the usual one or the first line; then its lines.
pub fn csv(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    match kind >> 1 {
        0 => table::<Store>(kind & 1 == 0, text),
        1 => table::<MenuItem>(kind & 1 == 0, text),
        2 => table::<User>(kind & 1 == 0, text),
        3 => table::<Transaction>(kind & 1 == 0, text),
        _ => table::<TransactionItem>(kind & 1 == 0, text),
    }
}

fn table<T: Record + Clone + PartialEq + Debug>(usual: bool, text: &[u8]) {
    let columns = T::COLUMNS.join(",");
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let (header, data) = match text.split_at_checked(end) {
        Some((header, data)) if !usual => (header, data.strip_prefix(b"\n").unwrap_or(data)),
        _ => (columns.as_bytes(), text),
    };
    let whole = Read::of(CsvSource::<T>::new(), [Chunk { file: 1, first_line: 2, header, data }]);
    let lines = (2..).zip(data.split_inclusive(|byte| *byte == b'\n'));
    let lines = lines.map(|(first_line, data)| Chunk { file: 1, first_line, header, data });
    assert_eq!(Read::of(CsvSource::<T>::new(), lines), whole);

    let all = Chunk { file: 1, first_line: 2, header, data };
    let filled = all.lines().filter(|line| !line.as_ref().is_ok_and(|(_, text)| text.is_empty())).count();
    assert_eq!(whole.rows.len() + whole.rejections.len(), filled);
}

/// What came of some chunks.
#[derive(PartialEq, Debug)]
struct Read<T> {
    rows: Vec<T>,
    rejections: Vec<Rejection>,
}

impl<T: Record + Clone> Read<T> {
    fn of<'a>(mut source: CsvSource<T>, chunks: impl IntoIterator<Item = Chunk<'a>>) -> Self {
        let (mut block, mut read) = (Vec::new(), Read { rows: Vec::new(), rejections: Vec::new() });
        let mut rows = Rows::new(&mut block, &mut read);
        chunks.into_iter().for_each(|chunk| source.read(&chunk, &mut rows));
        rows.finish();
        read
    }
}

impl<T: Clone> RowSink<T> for Read<T> {
    fn rows(&mut self, rows: &[T]) {
        self.rows.extend_from_slice(rows);
    }

    fn reject(&mut self, rejection: Rejection) {
        self.rejections.push(rejection);
    }
}
