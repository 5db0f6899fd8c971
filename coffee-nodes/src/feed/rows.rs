//! Rows that the program makes as a feed: encoded back to back, as [`EncodedRows`](coffee_core::source::EncodedRows) reads them.

use std::sync::Arc;

use coffee_core::{codec, operator::Row};
use flate2::Crc;

use super::{Chunks, Feed, FeedError, Position};
use crate::job::{FileManifest, Place, TableManifest};

/// Rows that can be gone through again.
pub(crate) struct RowsFeed<I> {
    name: String,
    rows: I,
}

impl<R: Row, I> RowsFeed<I>
where
    I: IntoIterator<Item = R, IntoIter: Send> + Clone,
{
    /// The rows of the source of that name.
    pub fn new(name: &str, rows: I) -> Self {
        RowsFeed { name: name.to_owned(), rows }
    }
}

impl<R: Row, I> Feed for RowsFeed<I>
where
    I: IntoIterator<Item = R, IntoIter: Send> + Clone + Send + Sync,
{
    fn manifest(&self, chunk_bytes: u32) -> Result<TableManifest, FeedError> {
        let mut chunks = RowChunks::new(&self.name, self.rows.clone().into_iter(), chunk_bytes as usize);
        let (mut crc, mut buffer, mut bytes) = (Crc::new(), Vec::new(), 0);
        while let Some(position) = chunks.fill(&mut buffer)? {
            if buffer.len() > chunk_bytes as usize {
                let (name, row, bytes) = (self.name.clone(), position.at.line, buffer.len());
                return Err(FeedError::TooLarge { name, row, bytes, chunk_bytes });
            }
            crc.update(&buffer);
            bytes = position.bytes;
            buffer.clear();
        }
        let ends = u64::from(crc.sum()) << 32 | chunks.passed & u64::from(u32::MAX);
        let file = FileManifest { name: self.name.clone(), bytes, ends, header: Vec::new() };
        Ok(TableManifest { name: self.name.clone(), files: vec![file] })
    }

    fn chunks(&self, chunk_bytes: usize, from: Place) -> Result<Box<dyn Chunks + '_>, FeedError> {
        let mut chunks = RowChunks::new(&self.name, self.rows.clone().into_iter(), chunk_bytes);
        chunks.pass_over(from.offset);
        Ok(Box::new(chunks))
    }

    fn bytes(&self) -> u64 {
        0
    }
}

/// Cuts rows into chunks. A place's offset is the number of rows before it.
pub(super) struct RowChunks<'a, I> {
    name: &'a str,
    rows: I,
    chunk_bytes: usize,
    /// The row that did not fit into the last chunk, encoded.
    carry: Vec<u8>,
    /// Rows that are in the chunks so far.
    passed: u64,
    bytes: u64,
}

impl<'a, R: Row, I: Iterator<Item = R>> RowChunks<'a, I> {
    pub fn new(name: &'a str, rows: I, chunk_bytes: usize) -> Self {
        RowChunks { name, rows, chunk_bytes, carry: Vec::new(), passed: 0, bytes: 0 }
    }

    fn pass_over(&mut self, rows: u64) {
        for _ in 0..rows {
            if self.rows.next().is_none() {
                break;
            }
        }
        self.passed = rows;
    }
}

/// The place behind so many rows.
fn place(passed: u64) -> Place {
    Place { file: 0, offset: passed, line: passed + 1 }
}

impl<R: Row, I: Iterator<Item = R> + Send> Chunks for RowChunks<'_, I> {
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Position>, FeedError> {
        let (start, at) = (buffer.len(), place(self.passed));
        self.passed += u64::from(!self.carry.is_empty());
        buffer.append(&mut self.carry);
        for row in self.rows.by_ref() {
            let before = buffer.len();
            codec::encode(&row, buffer)?;
            if buffer.len() == before {
                return Err(FeedError::NoContent(self.name.to_owned()));
            }
            if buffer.len() - start > self.chunk_bytes && before > start {
                self.carry.extend_from_slice(&buffer[before..]);
                buffer.truncate(before);
                break;
            }
            self.passed += 1;
        }
        self.bytes += (buffer.len() - start) as u64;
        let position = Position { at, next: place(self.passed), header: Arc::default(), bytes: self.bytes };
        Ok((buffer.len() > start).then_some(position))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rest(feed: &dyn Feed, chunk_bytes: usize, from: Place) -> Vec<(Position, Vec<u8>)> {
        let mut chunks = feed.chunks(chunk_bytes, from).unwrap();
        let mut all = Vec::new();
        let mut buffer = Vec::new();
        while let Some(position) = chunks.fill(&mut buffer).unwrap() {
            all.push((Position { bytes: 0, ..position }, std::mem::take(&mut buffer)));
        }
        all
    }

    proptest! {
        /// The law of [`Feed`], and that no chunk is longer than it may be unless it has one row.
        #[test]
        fn from_each_place_on_the_chunks_are_the_same(rows in prop::collection::vec("[a-z]{0,9}", 0..40), chunk_bytes in 1..40usize) {
            let feed = RowsFeed::new("words", rows.iter().cloned());
            let whole = rest(&feed, chunk_bytes, Place::default());
            let mut decoded = Vec::new();
            for (at, (position, chunk)) in whole.iter().enumerate() {
                prop_assert_eq!(&rest(&feed, chunk_bytes, position.at), &whole[at..]);
                prop_assert_eq!(&rest(&feed, chunk_bytes, position.next), &whole[at + 1..]);
                let begin = decoded.len();
                prop_assert_eq!(position.at.offset, begin as u64);
                let mut bytes = chunk.as_slice();
                while !bytes.is_empty() {
                    decoded.push(codec::decode::<String>(&mut bytes).unwrap());
                }
                prop_assert!(chunk.len() <= chunk_bytes || decoded.len() == begin + 1);
            }
            prop_assert_eq!(decoded, rows);
        }
    }

    #[test]
    fn other_rows_have_another_manifest() {
        let manifest = |rows: &[u32]| RowsFeed::new("n", rows.iter().copied()).manifest(1 << 16).unwrap();
        assert_eq!(manifest(&[1, 2, 300]), manifest(&[1, 2, 300]));
        let one = &manifest(&[1, 2, 300]).files[0];
        assert_eq!((one.bytes, &*one.name), (4, "n"));
        for other in [&[1, 2][..], &[1, 3, 300], &[2, 1, 300], &[]] {
            assert_ne!(&manifest(other).files[0], one);
        }
    }

    #[test]
    fn what_no_chunk_can_hold_or_tell_is_refused() {
        let rows = ["short".to_owned(), "x".repeat(100)];
        let error = RowsFeed::new("words", rows.iter().cloned()).manifest(64).unwrap_err();
        assert!(matches!(error, FeedError::TooLarge { row: 2, bytes: 101, .. }), "{error}");
        let error = RowsFeed::new("nothing", [(), ()]).manifest(64).unwrap_err();
        assert!(matches!(error, FeedError::NoContent(name) if name == "nothing"));
    }
}
