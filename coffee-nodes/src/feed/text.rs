//! Text in memory as a feed: what one file of a table would hold.

use std::sync::Arc;

use flate2::Crc;
use memchr::{memchr, memchr_iter, memrchr};

use super::{Chunks, Feed, FeedError, Position};
use crate::{
    input::LINE_LIMIT,
    job::{FileManifest, Place, TableManifest},
};

/// A header line and the lines behind it.
pub(crate) struct TextFeed<T> {
    name: String,
    text: T,
}

impl<T: AsRef<[u8]>> TextFeed<T> {
    /// The text of the source of that name.
    pub fn new(name: &str, text: T) -> Self {
        TextFeed { name: name.to_owned(), text }
    }

    /// The first line that isn't empty, without its LF, and the place behind it.
    fn header(&self) -> (Arc<[u8]>, Place) {
        let text = self.text.as_ref();
        let mut place = Place { file: 0, offset: 0, line: 1 };
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            place = behind(place, line);
            let header = line.strip_suffix(b"\n").unwrap_or(line);
            if !matches!(header, b"" | b"\r") {
                return (header.into(), place);
            }
        }
        (Arc::default(), place)
    }

    fn cut(&self, chunk_bytes: usize, from: Place) -> TextChunks<'_> {
        let (header, first) = self.header();
        let at = if from == Place::default() { first } else { from };
        TextChunks { text: self.text.as_ref(), header, chunk_bytes, at }
    }
}

impl<T: AsRef<[u8]> + Send + Sync> Feed for TextFeed<T> {
    fn manifest(&self, chunk_bytes: u32) -> Result<TableManifest, FeedError> {
        let mut chunks = self.cut(chunk_bytes as usize, Place::default());
        if chunks.header.len() > LINE_LIMIT {
            return Err(FeedError::HeaderTooLong { name: self.name.clone(), bytes: chunks.header.len() });
        }
        while let Some((position, chunk)) = chunks.next() {
            if chunk.len() > chunk_bytes as usize {
                let (name, row) = (self.name.clone(), position.at.line);
                return Err(FeedError::TooLarge { name, row, bytes: chunk.len(), chunk_bytes });
            }
        }
        let mut crc = Crc::new();
        crc.update(chunks.text);
        let (name, bytes) = (self.name.clone(), chunks.text.len() as u64);
        let file = FileManifest { name, bytes, ends: crc.sum().into(), header: chunks.header.to_vec() };
        Ok(TableManifest { name: self.name.clone(), files: vec![file] })
    }

    fn chunks(&self, chunk_bytes: usize, from: Place) -> Result<Box<dyn Chunks + '_>, FeedError> {
        Ok(Box::new(self.cut(chunk_bytes, from)))
    }

    fn bytes(&self) -> u64 {
        self.text.as_ref().len() as u64
    }
}

/// Cuts text behind line ends.
struct TextChunks<'a> {
    text: &'a [u8],
    header: Arc<[u8]>,
    chunk_bytes: usize,
    at: Place,
}

impl<'a> TextChunks<'a> {
    fn next(&mut self) -> Option<(Position, &'a [u8])> {
        let rest = usize::try_from(self.at.offset).ok().and_then(|offset| self.text.get(offset..))?;
        let end = match rest.get(..self.chunk_bytes) {
            // A line that is longer stands alone.
            Some(fits) => memrchr(b'\n', fits).or_else(|| memchr(b'\n', rest)).map_or(rest.len(), |end| end + 1),
            None => rest.len(),
        };
        let chunk = rest.get(..end).filter(|chunk| !chunk.is_empty())?;
        let (at, next) = (self.at, behind(self.at, chunk));
        self.at = next;
        Some((Position { at, next, header: self.header.clone(), bytes: next.offset }, chunk))
    }
}

impl Chunks for TextChunks<'_> {
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Position>, FeedError> {
        Ok(self.next().map(|(position, chunk)| {
            buffer.extend_from_slice(chunk);
            position
        }))
    }
}

/// The place behind whole lines.
fn behind(at: Place, lines: &[u8]) -> Place {
    let line = at.line + memchr_iter(b'\n', lines).count() as u64;
    Place { offset: at.offset + lines.len() as u64, line, ..at }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rest(feed: &dyn Feed, chunk_bytes: usize, from: Place) -> Vec<(Position, String)> {
        let mut chunks = feed.chunks(chunk_bytes, from).unwrap();
        let mut all = Vec::new();
        let mut buffer = Vec::new();
        while let Some(position) = chunks.fill(&mut buffer).unwrap() {
            all.push((position, String::from_utf8(std::mem::take(&mut buffer)).unwrap()));
        }
        all
    }

    proptest! {
        /// The law of [`Feed`]; lines keep their numbers, and no chunk is longer than it may be unless it is one line.
        #[test]
        fn from_each_place_on_the_chunks_are_the_same(lines in prop::collection::vec("[a-z]{0,9}", 1..40), chunk_bytes in 0..40usize) {
            let text = format!("\r\nheader\n{}", lines.join("\n"));
            let feed = TextFeed::new("words", &text);
            let whole = rest(&feed, chunk_bytes, Place::default());
            for (at, (position, chunk)) in whole.iter().enumerate() {
                prop_assert_eq!(&rest(&feed, chunk_bytes, position.at), &whole[at..]);
                prop_assert_eq!(&rest(&feed, chunk_bytes, position.next), &whole[at + 1..]);
                prop_assert!(chunk.len() <= chunk_bytes || chunk.lines().count() == 1);
                prop_assert_eq!(&*position.header, b"header");
                let first = text.lines().nth(position.at.line as usize - 1);
                prop_assert_eq!(first, chunk.lines().next());
            }
            let all: String = whole.into_iter().map(|(_, chunk)| chunk).collect();
            prop_assert_eq!(all, lines.join("\n"));
        }
    }

    #[test]
    fn other_text_has_another_manifest_and_what_no_chunk_holds_is_refused() {
        let manifest = |text: &str, chunk| TextFeed::new("n", text).manifest(chunk);
        let one = manifest("h\n1\n2\n", 4).unwrap();
        assert_eq!((one.files[0].bytes, &*one.files[0].header), (6, &b"h"[..]));
        assert_ne!(one, manifest("h\n2\n1\n", 4).unwrap());
        let error = manifest("h\n1\nlong\n", 4).unwrap_err();
        assert!(matches!(error, FeedError::TooLarge { row: 3, bytes: 5, .. }), "{error}");
        assert!(manifest(&"h".repeat(LINE_LIMIT), 4).is_ok());
        let error = manifest(&"h".repeat(LINE_LIMIT + 1), 4).unwrap_err();
        assert!(matches!(error, FeedError::HeaderTooLong { bytes, .. } if bytes == LINE_LIMIT + 1), "{error}");
        assert!(rest(&TextFeed::new("n", ""), 9, Place::default()).is_empty());
    }
}
