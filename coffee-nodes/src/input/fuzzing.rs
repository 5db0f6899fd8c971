//! A target for fuzzers: a table's file, plain or compressed.

#![expect(clippy::unwrap_used, reason = "a target fails by a panic")]

use std::{fs, io::Read};

use flate2::read::MultiGzDecoder;

use super::{Chunker, Table};

/// Chunks are as small as they can be.
const SMALLEST: usize = 1;

thread_local! {
    static FOLDER: tempfile::TempDir = {
        let folder = tempfile::tempdir().unwrap();
        ["plain", "gzip"].iter().for_each(|table| fs::create_dir(folder.path().join(table)).unwrap());
        folder
    };
}

/// No more of a file's content is compared, in bytes.
const MOST: usize = 1 << 20;

/// Whether it is compressed, then the file's bytes. Its chunks are its content behind the header.
pub(crate) fn file(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let (name, file) = if kind & 1 == 0 { ("plain", "a.csv") } else { ("gzip", "a.csv.gz") };
    let (table, content) = FOLDER.with(|folder| {
        let path = folder.path().join(name).join(file);
        // A file that is cut to nothing and written again has to be on the disk once it is closed: some file systems see to that.
        let _ = fs::remove_file(&path);
        fs::write(path, bytes).unwrap();
        (Table::open(folder.path(), name), content(kind & 1 == 1, bytes))
    });
    let Ok(table) = table else { return };
    let _ = table.manifest();
    let has_short_lines = content.split(|byte| *byte == b'\n').all(|line| line.len() <= super::LINE_LIMIT);
    if content.len() == MOST || !has_short_lines {
        return;
    }
    let mut chunks = Chunker::new(&table, SMALLEST);
    let mut read = Vec::new();
    let whole = loop {
        let mut chunk = Vec::new();
        match chunks.fill(&mut chunk) {
            Ok(Some(_)) => read.extend(chunk),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert!(!whole || behind_header(&content) == Some(&read));
}

/// What a file has, as far as it can be decompressed.
fn content(compressed: bool, bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    if compressed {
        // What came before an error is there.
        let _ = MultiGzDecoder::new(bytes).take(MOST as u64).read_to_end(&mut content);
    } else {
        content.extend_from_slice(bytes);
    }
    content
}

/// What follows the first line that isn't empty.
fn behind_header(mut content: &[u8]) -> Option<&[u8]> {
    loop {
        let end = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
        let (line, rest) = content.split_at(end);
        content = rest.strip_prefix(b"\n").unwrap_or(rest);
        if !matches!(line, b"" | b"\r") {
            return Some(content);
        }
        if rest.is_empty() {
            return None;
        }
    }
}
