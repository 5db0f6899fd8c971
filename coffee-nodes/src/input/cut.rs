//! Cuts one file into chunks of whole lines. Where the cuts fall depends on the content and the limits alone, never on
//! how much a read happened to return: the same file gives the same chunks on every run.

use std::sync::Arc;

use super::file::{Identity, InputFile, Opened};
use super::table::TableFile;
use super::{InputError, LINE_LIMIT};
use crate::job::Place;

/// What is kept of an overlong line: enough to be too long for any reader, even if the last byte kept is a CR and
/// doesn't count.
const KEPT_OF_OVERLONG: usize = LINE_LIMIT + 2;

/// What is passed over of an overlong line is read in pieces of this size, in bytes; less than a chunk has, as the end
/// of a piece may belong to the next one.
const SKIPPED_AT_ONCE: usize = 16 * 1024;

/// No chunk is larger, in bytes (1 GiB), so that a careless size doesn't ask for memory that no machine has.
const LARGEST_CHUNK: usize = 1 << 30;

/// The sizes, in bytes, that decide where a file is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most bytes of a chunk.
    chunk: usize,
    /// What is kept of a line that no chunk can hold; less than a chunk has.
    kept_of_overlong: usize,
}

impl Limits {
    /// Chunks of at most `chunk_size` bytes; brought up to what the longest line needs, and down to 1 GiB.
    pub fn new(chunk_size: usize) -> Self {
        Limits { chunk: chunk_size.clamp(KEPT_OF_OVERLONG + 1, LARGEST_CHUNK), kept_of_overlong: KEPT_OF_OVERLONG }
    }
}

/// What is known of a chunk beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkInfo {
    /// Which file of the table, counted from 0 in reading order.
    pub file: u32,
    /// The number in its file of the chunk's first line, counted from 1; the header is line 1.
    pub first_line: u64,
    /// How many lines the chunk has, empty ones included.
    pub lines: u64,
    /// Where the chunk begins in the file's content (uncompressed, the header line included), in bytes.
    pub offset: u64,
    /// The file's header line without its LF.
    pub header: Arc<[u8]>,
    /// How many bytes on disk were read of the whole table so far, for showing progress: at most
    /// [`Table::bytes`](super::Table::bytes).
    pub position: u64,
    /// Where the next chunk begins: [`Chunker::resume`](super::Chunker::resume) goes on there.
    pub next: Place,
}

impl ChunkInfo {
    /// Where the chunk itself begins.
    pub fn place(&self) -> Place {
        Place { file: self.file, offset: self.offset, line: self.first_line }
    }
}

/// A file that is being cut.
#[derive(Debug)]
pub(super) struct FileChunks {
    number: u32,
    file: InputFile,
    header: Arc<[u8]>,
    /// What it was when the table was opened.
    identity: Identity,
    /// What was read and belongs to the next chunk.
    carry: Vec<u8>,
    /// The next chunk's first line, and its place in the content.
    line: u64,
    offset: u64,
}

impl FileChunks {
    /// Opens a file of a table, which has that number in it.
    ///
    /// # Errors
    /// As [`InputFile::open_behind_header`], or if it isn't the file that the table was opened with.
    pub fn open(number: u32, known: &TableFile) -> Result<Self, InputError> {
        let mut carry = Vec::new();
        let Opened { file, header, line, offset } = InputFile::open_behind_header(known.path(), &mut carry)?;
        let identity = known.identity();
        if header != known.header() || file.identity()? != identity {
            return Err(InputError::Changed { path: known.path().to_owned() });
        }
        Ok(FileChunks { number, file, header: known.shared_header(), identity, carry, line, offset })
    }

    /// Goes on to a place in this file that a chunk of it ended at; false if the file has no such place behind its
    /// header, and then it is of no more use.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn go_to(&mut self, place: Place) -> Result<bool, InputError> {
        let Some(ahead) = place.offset.checked_sub(self.offset) else { return Ok(false) };
        let carried = self.carry.len().min(usize::try_from(ahead).unwrap_or(usize::MAX));
        self.carry.drain(..carried);
        (self.line, self.offset) = (place.line, place.offset);
        match ahead - carried as u64 {
            0 => Ok(true),
            rest => self.file.pass_over(rest),
        }
    }

    /// Appends the file's next chunk to `buffer`, which ends at `start` before that; `None` at the file's end. The
    /// position in the answer counts this file alone. After an error the buffer holds anything behind `start`.
    pub fn fill(
        &mut self,
        buffer: &mut Vec<u8>,
        start: usize,
        limits: Limits,
    ) -> Result<Option<ChunkInfo>, InputError> {
        buffer.reserve(limits.chunk);
        let carried = self.carry.len().min(limits.chunk);
        buffer.extend(self.carry.drain(..carried));
        let wanted = limits.chunk - carried;
        let at_end = self.carry.is_empty() && self.file.read(buffer, wanted)? < wanted;
        let chunk = buffer.get(start..).unwrap_or_default();
        if chunk.is_empty() {
            // One that was cut short while it was read must not pass for a whole one.
            return if self.file.identity()? == self.identity { Ok(None) } else { Err(self.file.changed()) };
        }
        let mut consumed = chunk.len();
        if !at_end {
            match memchr::memrchr(b'\n', chunk) {
                Some(last) => {
                    consumed = last + 1;
                    self.carry.splice(0..0, buffer.drain(start + consumed..));
                }
                None => {
                    consumed += self.skip_line()?;
                    buffer.truncate(start + limits.kept_of_overlong);
                    buffer.push(b'\n');
                }
            }
        }
        Ok(Some(self.pass(buffer.get(start..).unwrap_or_default(), consumed)))
    }

    /// How many bytes of the file, as it is on disk, were read so far.
    pub fn read_from_disk(&self) -> u64 {
        self.file.read_from_disk()
    }

    /// Passes over the rest of a line, its LF included; returns how many bytes that is.
    fn skip_line(&mut self) -> Result<usize, InputError> {
        let mut skipped = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.carry) {
                self.carry.drain(..=end);
                return Ok(skipped + end + 1);
            }
            skipped += self.carry.len();
            self.carry.clear();
            if self.file.read(&mut self.carry, SKIPPED_AT_ONCE)? == 0 {
                return Ok(skipped);
            }
        }
    }

    /// Goes on behind `chunk`, for which `consumed` bytes of the content were taken; returns what is known of it.
    fn pass(&mut self, chunk: &[u8], consumed: usize) -> ChunkInfo {
        let unended = u64::from(!chunk.ends_with(b"\n"));
        let lines = memchr::memchr_iter(b'\n', chunk).count() as u64 + unended;
        let info = ChunkInfo {
            file: self.number,
            first_line: self.line,
            lines,
            offset: self.offset,
            header: Arc::clone(&self.header),
            position: self.file.read_from_disk(),
            next: Place { file: self.number, offset: self.offset + consumed as u64, line: self.line + lines },
        };
        (self.line, self.offset) = (info.next.line, info.next.offset);
        info
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::Table;
    use crate::input::testing::{gzip, table};

    /// All chunks of a table's file.
    fn chunks(table: &Table, file: u32, limits: Limits) -> Vec<(ChunkInfo, Vec<u8>)> {
        let mut cut = FileChunks::open(file, &table.files()[file as usize]).unwrap();
        let mut chunks = Vec::new();
        let mut buffer = b"kept".to_vec();
        while let Some(info) = cut.fill(&mut buffer, 4, limits).unwrap() {
            chunks.push((info, buffer.split_off(4)));
            assert_eq!(buffer, b"kept");
        }
        assert_eq!(cut.fill(&mut buffer, 4, limits).unwrap(), None);
        chunks
    }

    /// A file with so many empty lines before its header, `h`.
    fn file(blank: usize, lines: &[String], ended: bool) -> Vec<u8> {
        let content = "\n".repeat(blank) + "h\n" + &lines.join("\n") + if ended { "\n" } else { "" };
        content.into_bytes()
    }

    /// What must come out for such a file: (first line, offset, bytes), found line by line.
    fn expected(content: &[u8], blank: usize, limits: Limits) -> Vec<(u64, u64, Vec<u8>)> {
        let mut chunks: Vec<(u64, u64, Vec<u8>)> = Vec::new();
        let mut offset = blank + 2;
        let first = blank as u64 + 2;
        let mut open_until = 0;
        for (number, line) in
            content.get(offset..).unwrap_or_default().split_inclusive(|&byte| byte == b'\n').enumerate()
        {
            let overlong = line.strip_suffix(b"\n").unwrap_or(line).len() >= limits.chunk;
            // That a full chunk ends with the file isn't seen: it ends behind its last LF.
            let unended = usize::from(!line.ends_with(b"\n"));
            if offset + line.len() + unended <= open_until {
                chunks.last_mut().unwrap().2.extend_from_slice(line);
            } else if overlong {
                chunks.push((number as u64 + first, offset as u64, [&line[..limits.kept_of_overlong], b"\n"].concat()));
                open_until = 0;
            } else {
                chunks.push((number as u64 + first, offset as u64, line.to_vec()));
                open_until = offset + limits.chunk;
            }
            offset += line.len();
        }
        chunks
    }

    /// Compares with [`expected`], for the plain and the compressed file.
    fn check(content: &[u8], blank: usize, limits: Limits) {
        let expected = expected(content, blank, limits);
        let (_data, table) = table(&[("a.csv", content.to_vec()), ("b.csv.gz", gzip(content))]);
        for file in [0, 1] {
            let chunks = chunks(&table, file, limits);
            let seen: Vec<_> = chunks.iter().map(|(info, data)| (info.first_line, info.offset, data.clone())).collect();
            assert_eq!(seen, expected);
            for pair in chunks.windows(2) {
                assert_eq!(pair[0].0.first_line + pair[0].0.lines, pair[1].0.first_line);
                assert_eq!(pair[0].0.next, pair[1].0.place());
                assert!(pair[0].0.position <= pair[1].0.position);
            }
            for (info, data) in &chunks {
                assert!(!data.is_empty() && data.len() <= limits.chunk);
                assert_eq!((info.file, &info.header[..]), (file, &b"h"[..]));
                assert!(info.position <= table.files()[file as usize].bytes());
            }
        }
    }

    proptest! {
        /// Short lines alone: the chunks are the content behind the header, and none but the last lacks an LF.
        #[test]
        fn chunks_are_the_content(lines in prop::collection::vec("[a-c,\r]{0,6}", 1..40), ended: bool, size in 9usize..80, blank in 0..3usize) {
            let content = file(blank, &lines, ended);
            let (_data, table) = table(&[("a.csv", content.clone())]);
            let limits = Limits { chunk: size, kept_of_overlong: 8 };
            let chunks = chunks(&table, 0, limits);
            let together: Vec<u8> = chunks.iter().flat_map(|(_, data)| data.clone()).collect();
            prop_assert_eq!(together, &content[blank + 2..]);
            for (_, data) in chunks.iter().rev().skip(1) {
                prop_assert!(data.ends_with(b"\n"));
            }
            check(&content, blank, limits);
        }

        #[test]
        fn overlong_lines_are_cut(lines in prop::collection::vec("[ab]{0,40}", 1..30), ended: bool, size in 11usize..50) {
            check(&file(0, &lines, ended), 0, Limits { chunk: size, kept_of_overlong: 10 });
        }
    }

    #[test]
    fn a_line_of_many_chunks_is_not_held_and_lines_behind_it_keep_their_numbers() {
        let long = vec![b'x'; 3 << 20];
        for cr in [&b""[..], b"\r"] {
            let content = [b"h\n1\n", &long[..], cr, b"\n2", cr, b"\n"].concat();
            let (_data, table) = table(&[("a.csv", content)]);
            let chunks = chunks(&table, 0, Limits::new(1));
            let seen: Vec<_> = chunks.iter().map(|(info, data)| (info.first_line, data.len())).collect();
            assert_eq!(seen, [(2, 2), (3, LINE_LIMIT + 3), (4, 2 + cr.len())]);
        }
    }

    #[test]
    fn a_line_at_the_limit_is_whole() {
        let line = vec![b'x'; LINE_LIMIT];
        let content = [b"h\n", &line[..], b"\r\n", &line[..], b"\r\n", &line[..], b"\r"].concat();
        let (_data, table) = table(&[("a.csv", content.clone())]);
        let together: Vec<u8> = chunks(&table, 0, Limits::new(1)).into_iter().flat_map(|(_, data)| data).collect();
        assert_eq!(together, content[2..]);
    }
}
