//! Where rows come from: a source turns the chunks of one table into rows, and says which rows it could not read.

use std::marker::PhantomData;

use crate::{
    codec::{self, DecodeError},
    csv::{MAX_LINE, Reason},
    operator::Row,
    rejection::{Line, Rejection},
};

/// Rows are handed on in blocks of this many: small enough that a block stays in the second-level cache,
/// large enough that the per-block costs vanish.
pub const BLOCK: usize = 1024;

/// A piece of one file of a table: whole rows, cut at row ends, never spanning two files.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Which file of the table, counted from 0 in reading order.
    pub file: u32,
    /// The number in its file of the chunk's first line, counted from 1.
    pub first_line: u64,
    /// The file's header line, without its line end; empty for sources that need none.
    pub header: &'a [u8],
    /// The rows.
    pub data: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Its lines and their places, without their line ends: LF, CR and LF, or a last CR. Err: the rejection of a line of more than
    /// [`MAX_LINE`] bytes, of which there may be a part only.
    pub fn lines(&self) -> impl Iterator<Item = Result<(Line, &'a [u8]), Rejection>> + use<'a> {
        let file = self.file;
        let lines = self.data.split_inclusive(|byte| *byte == b'\n');
        (self.first_line..).zip(lines).map(move |(number, text)| {
            let (line, text) = (Line { file, number }, text.strip_suffix(b"\n").unwrap_or(text));
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let too_long = || Rejection::of_line(line, Reason::TooLong.to_string(), text);
            if text.len() > MAX_LINE { Err(too_long()) } else { Ok((line, text)) }
        })
    }
}

/// Reads the rows of one table out of its chunks.
///
/// Law: what a chunk yields depends on that chunk alone, in the chunk's order; so it may be read by any replica, and
/// read again after a crash.
///
/// ```
/// use coffee_core::{rejection::Rejection, source::{Chunk, Rows, Source}};
///
/// /// Whole numbers, one a line.
/// struct Numbers;
///
/// impl Source for Numbers {
///     type Row = u64;
///
///     fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, u64>) {
///         for line in chunk.lines() {
///             let number = line.and_then(|(line, text)| {
///                 let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
///                 number.ok_or_else(|| Rejection::of_line(line, "not a number", text))
///             });
///             rows.take(number);
///         }
///     }
/// }
/// ```
pub trait Source: Send + 'static {
    /// What it yields.
    type Row;

    /// Reads one chunk. A row that can't be read goes to [`Rows::reject`], and reading goes on behind it; nothing in
    /// the data is an error of the source.
    fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, Self::Row>);
}

/// Takes what a [`Source`] reads, block by block.
pub trait RowSink<R> {
    /// A block of rows, in order.
    fn rows(&mut self, rows: &[R]);
    /// A row that could not be read.
    fn reject(&mut self, rejection: Rejection);
}

/// Where a [`Source`] puts its rows; full blocks go to a [`RowSink`].
pub struct Rows<'a, R> {
    block: &'a mut Vec<R>,
    sink: &'a mut dyn RowSink<R>,
}

impl<'a, R> Rows<'a, R> {
    /// Collects into `block` (emptied first) and passes it to `sink` whenever it holds [`BLOCK`] rows.
    pub fn new(block: &'a mut Vec<R>, sink: &'a mut dyn RowSink<R>) -> Self {
        block.clear();
        block.reserve(BLOCK);
        Rows { block, sink }
    }

    /// Adds a row.
    #[inline(always)]
    pub fn push(&mut self, row: R) {
        self.block.push(row);
        if self.block.len() == BLOCK {
            self.hand_over();
        }
    }

    /// Reports a row that could not be read.
    #[cold]
    pub fn reject(&mut self, rejection: Rejection) {
        self.sink.reject(rejection);
    }

    /// Adds a row, or reports that it could not be read.
    #[inline]
    pub fn take(&mut self, row: Result<R, Rejection>) {
        match row {
            Ok(row) => self.push(row),
            Err(rejection) => self.reject(rejection),
        }
    }

    /// Hands over the last, partly filled block.
    pub fn finish(mut self) {
        if !self.block.is_empty() {
            self.hand_over();
        }
    }

    #[inline(never)]
    fn hand_over(&mut self) {
        self.sink.rows(self.block);
        self.block.clear();
    }
}

/// Reads chunks that hold encoded rows: for pipelines whose rows are made by the program itself.
#[derive(Debug)]
pub struct EncodedRows<R>(PhantomData<fn() -> R>);

impl<R> EncodedRows<R> {
    /// A reader of such chunks.
    pub fn new() -> Self {
        EncodedRows(PhantomData)
    }
}

impl<R> Default for EncodedRows<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Row> Source for EncodedRows<R> {
    type Row = R;

    fn read(&mut self, chunk: &Chunk<'_>, rows: &mut Rows<'_, R>) {
        let mut data = chunk.data;
        let mut number = chunk.first_line;
        while !data.is_empty() {
            let before = data.len();
            let error = match codec::decode(&mut data) {
                // Rows of a type that takes no bytes would never end.
                Ok(_) if data.len() == before => DecodeError::Unknown("more bytes than rows"),
                Ok(row) => {
                    rows.push(row);
                    number += 1;
                    continue;
                }
                Err(error) => error,
            };
            // Where the next row would begin is not known.
            let line = Line { file: chunk.file, number };
            rows.reject(Rejection { line, column: String::new(), reason: error.to_string(), raw: None });
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_take_no_bytes_end() {
        #[derive(Default)]
        struct Read(usize, Vec<Rejection>);

        impl RowSink<()> for Read {
            fn rows(&mut self, rows: &[()]) {
                self.0 += rows.len();
            }

            fn reject(&mut self, rejection: Rejection) {
                self.1.push(rejection);
            }
        }

        let (mut block, mut read) = (Vec::new(), Read::default());
        let mut rows = Rows::new(&mut block, &mut read);
        EncodedRows::<()>::new().read(&Chunk { file: 0, first_line: 1, header: b"", data: b"x" }, &mut rows);
        rows.finish();
        assert_eq!((read.0, read.1.len()), (0, 1));
    }

    #[test]
    fn a_chunk_s_lines_have_their_numbers_and_no_line_ends() {
        let lines = |data: &[u8]| -> Vec<(u64, Vec<u8>)> {
            let chunk = Chunk { file: 3, first_line: 7, header: b"h", data };
            chunk.lines().map(Result::unwrap).map(|(line, text)| (line.number, text.to_vec())).collect()
        };
        assert_eq!(lines(b""), []);
        assert_eq!(lines(b"a\r\n\nb\rc"), [(7, b"a".to_vec()), (8, vec![]), (9, b"b\rc".to_vec())]);
        assert_eq!(lines(b"a\n"), lines(b"a\r"));
        let data = [&[b'x'; MAX_LINE][..], b"\n", &[b'y'; MAX_LINE + 1], b"\nz"].concat();
        let chunk = Chunk { file: 3, first_line: 7, header: b"h", data: &data };
        let found: Vec<_> = chunk.lines().map(|line| line.map(|(line, text)| (line.number, text.len()))).collect();
        assert_eq!((&found[0], &found[2]), (&Ok((7, MAX_LINE)), &Ok((9, 1))));
        assert_eq!(found[1].as_ref().unwrap_err().line, Line { file: 3, number: 8 });
    }
}
