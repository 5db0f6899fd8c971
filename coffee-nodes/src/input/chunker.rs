//! Cuts a table into chunks, file by file. How one file is cut is not decided here.

use std::sync::Arc;

use super::cut::{ChunkInfo, FileChunks, Limits};
use super::table::TableFile;
use super::{InputError, Table};
use crate::job::Place;

/// Cuts one table into chunks, in order.
///
/// Reads the files one after the other. A chunk is whole lines of one file; a file without lines behind its header has
/// none. A line that no chunk can hold is cut to a little more than [`LINE_LIMIT`](super::LINE_LIMIT) bytes, stands in a
/// chunk of its own, and the rest of it is passed over; shorter lines are never changed, so readers must check the
/// length themselves.
#[derive(Debug)]
pub struct Chunker {
    table: String,
    files: Arc<[TableFile]>,
    limits: Limits,
    /// The file to open next.
    next: usize,
    /// Where in it to begin, if not at its first line.
    start: Option<Place>,
    open: Option<FileChunks>,
    /// Bytes on disk of the files that are done.
    done_bytes: u64,
    failed: bool,
}

impl Chunker {
    /// Starts at the table's first line. `chunk_size` is the most bytes that a chunk has; a size that could not hold
    /// the longest line is raised until it can, and one above 1 GiB is lowered to that. Touches no file yet.
    pub fn new(table: &Table, chunk_size: usize) -> Self {
        Chunker {
            table: table.name().to_owned(),
            files: table.shared_files(),
            limits: Limits::new(chunk_size),
            next: 0,
            start: None,
            open: None,
            done_bytes: 0,
            failed: false,
        }
    }

    /// Starts at a place that a chunk of the table ended at, on an earlier run as well: what comes is what would have
    /// come behind that chunk. Up to there plain files are passed over, and only compressed ones are read. Touches no
    /// file yet; that the table has no such place is an error of the first [`fill`](Self::fill).
    pub fn resume(table: &Table, chunk_size: usize, place: Place) -> Self {
        let next = usize::try_from(place.file).unwrap_or(usize::MAX);
        let done_bytes = table.files().iter().take(next).map(TableFile::bytes).sum();
        // The default place is behind the header, wherever that ends.
        let start = (place != Place::default()).then_some(place);
        Chunker { next, start, done_bytes, ..Chunker::new(table, chunk_size) }
    }

    /// Appends the next chunk to `buffer`, behind what is in it; `None` when the table is at its end. Every line of a
    /// chunk ends with an LF, except a file's last one that has none. Blocks for the disk. A reused buffer saves the
    /// system the work of finding fresh memory, which is a good part of the time.
    ///
    /// # Errors
    /// A file that can't be read, is damaged, or isn't the one that the table was opened with. `buffer` is then as it
    /// was before the call, and each further call fails as well: a table is never taken for finished when it isn't.
    pub fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<Option<ChunkInfo>, InputError> {
        if self.failed {
            return Err(InputError::Stopped { table: self.table.clone() });
        }
        let start = buffer.len();
        let result = self.fill_behind(buffer, start);
        if result.is_err() {
            buffer.truncate(start);
            self.failed = true;
            self.open = None;
        }
        result
    }

    fn fill_behind(&mut self, buffer: &mut Vec<u8>, start: usize) -> Result<Option<ChunkInfo>, InputError> {
        loop {
            let Some(open) = &mut self.open else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(info) = open.fill(buffer, start, self.limits)? {
                let position = self.done_bytes + info.position;
                return Ok(Some(ChunkInfo { position, ..info }));
            }
            self.done_bytes += open.read_from_disk();
            self.open = None;
        }
    }

    /// Opens the next file; false if there is none.
    fn open_next(&mut self) -> Result<bool, InputError> {
        let start = self.start.take();
        let Some(file) = self.files.get(self.next) else {
            return start.map_or(Ok(false), |place| Err(self.no_place(place)));
        };
        // A table of more files than that can't be held, let alone listed.
        let number = u32::try_from(self.next).unwrap_or(u32::MAX);
        let mut open = FileChunks::open(number, file)?;
        if let Some(place) = start.filter(|place| place.offset > 0)
            && !open.go_to(place)?
        {
            return Err(self.no_place(place));
        }
        self.open = Some(open);
        self.next += 1;
        Ok(true)
    }

    fn no_place(&self, place: Place) -> InputError {
        InputError::NoPlace { table: self.table.clone(), place }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::input::testing::{gzip, table};

    #[test]
    fn files_follow_each_other_and_those_without_lines_have_no_chunk() {
        let (_data, table) = table(&[
            ("a.csv", b"\xef\xbb\xbfx,y\r\n1,2\r\n3,4".to_vec()),
            ("b.csv", b"x,y".to_vec()),
            ("c.csv", b"x,y\n".to_vec()),
            ("d.csv.gz", [gzip(b"y,x\n5,"), gzip(b"6\n\n")].concat()),
        ]);
        let mut chunker = Chunker::new(&table, 1 << 20);
        let mut buffer = Vec::new();
        let first = chunker.fill(&mut buffer).unwrap().unwrap();
        assert_eq!((first.file, first.first_line, first.lines, first.offset), (0, 2, 2, 8));
        assert_eq!(&first.header[..], b"\xef\xbb\xbfx,y\r");
        assert_eq!(buffer, b"1,2\r\n3,4");
        let second = chunker.fill(&mut buffer).unwrap().unwrap();
        assert_eq!((second.file, second.first_line, second.lines), (3, 2, 2));
        assert_eq!(second.position, table.bytes());
        assert_eq!(buffer, b"1,2\r\n3,45,6\n\n");
        assert_eq!(chunker.fill(&mut buffer).unwrap(), None);
    }

    fn rest(chunker: &mut Chunker) -> Vec<(ChunkInfo, Vec<u8>)> {
        let mut chunks = Vec::new();
        let mut buffer = Vec::new();
        while let Some(info) = chunker.fill(&mut buffer).unwrap() {
            chunks.push((info, std::mem::take(&mut buffer)));
        }
        chunks
    }

    proptest! {
        /// The law of [`Chunker::resume`]: behind every chunk, the rest is the same as without the stop.
        #[test]
        fn from_each_place_on_the_chunks_are_the_same(
            files in prop::collection::vec((prop::collection::vec(0usize..90_000, 0..9), any::<bool>(), any::<bool>()), 1..4),
        ) {
            let content = |lines: &[usize], ended: bool| {
                let lines: Vec<_> = lines.iter().enumerate().map(|(n, length)| n.to_string().repeat(*length)).collect();
                ["\n\nh\n", &lines.join("\n"), if ended { "\n" } else { "" }].concat().into_bytes()
            };
            let files: Vec<_> = files.iter().enumerate().map(|(n, (lines, ended, zip))| {
                let content = content(lines, *ended);
                if *zip { (format!("{n}.csv.gz"), gzip(&content)) } else { (format!("{n}.csv"), content) }
            }).collect();
            let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.clone())).collect();
            let (_data, table) = table(&files);
            // Chunks of about 64 KiB: the lines make them of all kinds, overlong ones included.
            let whole = rest(&mut Chunker::new(&table, 1));
            prop_assert_eq!(&rest(&mut Chunker::resume(&table, 1, Place::default())), &whole);
            for (at, (info, _)) in whole.iter().enumerate() {
                prop_assert_eq!(&rest(&mut Chunker::resume(&table, 1, info.place())), &whole[at..]);
                prop_assert_eq!(&rest(&mut Chunker::resume(&table, 1, info.next)), &whole[at + 1..]);
            }
        }
    }

    #[test]
    fn a_place_that_the_table_does_not_have_is_an_error() {
        let content = b"x\n1\n2".to_vec();
        let (_data, table) = table(&[("a.csv", content.clone()), ("b.csv.gz", gzip(&content))]);
        let begin = |file, offset| {
            Chunker::resume(&table, 1, Place { file, offset, line: 2 }).fill(&mut Vec::new()).map(|info| info.is_some())
        };
        assert!(begin(0, 2).unwrap() && begin(0, 4).unwrap() && begin(0, 5).unwrap() && begin(1, 4).unwrap());
        assert!(!begin(1, 5).unwrap());
        for (file, offset) in [(0, 1), (0, 6), (0, u64::MAX), (1, 1), (1, 6), (2, 0), (u32::MAX, 2)] {
            assert!(matches!(begin(file, offset), Err(InputError::NoPlace { .. })), "{file} {offset}");
        }
    }

    #[test]
    fn a_damaged_gzip_file_stops_the_table_for_good() {
        let content: Vec<u8> = (0..200_000u32)
            .flat_map(|number| format!("{}\n", number.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        let whole = gzip(&content);
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0xff;
        for damaged in [whole[..whole.len() / 2].to_vec(), whole[..whole.len() - 3].to_vec(), flipped] {
            let (_data, table) = table(&[("a.csv.gz", damaged)]);
            let mut chunker = Chunker::new(&table, 1 << 17);
            let mut buffer = Vec::new();
            let error = loop {
                match chunker.fill(&mut buffer) {
                    Ok(Some(_)) => buffer.clear(),
                    Ok(None) => panic!("a damaged file was read to its end"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, InputError::Gzip { path, .. } if path.ends_with("a.csv.gz")));
            assert!(buffer.is_empty());
            assert!(matches!(chunker.fill(&mut buffer), Err(InputError::Stopped { table }) if table == "t"));
        }
    }

    #[test]
    fn a_file_that_is_cut_short_while_it_is_read_is_not_taken_for_a_whole_one() {
        let lines = "1,2\n".repeat(100_000);
        let (data, table) = table(&[("a.csv", format!("a,b\n{lines}").into_bytes())]);
        let mut chunker = Chunker::new(&table, 1 << 17);
        let mut buffer = Vec::new();
        assert!(chunker.fill(&mut buffer).unwrap().is_some());
        let file = fs::File::options().write(true).open(data.path().join("t/a.csv")).unwrap();
        file.set_len(200_000).unwrap();
        let error = loop {
            match chunker.fill(&mut buffer) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it was taken for whole"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, InputError::Changed { path } if path.ends_with("a.csv")));
    }

    #[test]
    fn a_file_that_has_changed_is_noticed() {
        let (data, table) = table(&[("a.csv", b"a,b\n1,2".to_vec())]);
        fs::write(data.path().join("t/a.csv"), "b,a\n1,2").unwrap();
        let error = Chunker::new(&table, 1).fill(&mut Vec::new()).unwrap_err();
        assert!(matches!(error, InputError::Changed { .. }));
    }
}
