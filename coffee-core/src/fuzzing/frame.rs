//! Frames and chunks: what is read and written again is the same.

use crate::{
    frame::{ChunkMeta, FrameReader, FrameWriter},
    source::Chunk,
};

/// A message body.
pub fn frame(bytes: &[u8]) {
    let Ok(mut reader) = FrameReader::new(bytes) else { return };
    let head = reader.head();
    let mut parts = Vec::new();
    while let Ok(Some(part)) = reader.part() {
        parts.push(part);
    }
    let Ok(head) = head else { return };
    let mut writer = FrameWriter::new(&head, Vec::new()).unwrap();
    for part in &parts {
        writer.part(&part.meta, part.payload).unwrap();
    }
    let written = writer.finish();
    let mut again = FrameReader::new(&written).unwrap();
    assert_eq!(again.head(), Ok(head));
    for part in parts {
        assert_eq!(again.part(), Ok(Some(part)));
    }
    assert_eq!(again.part(), Ok(None));
}

/// A part's payload that is a chunk.
pub fn chunk(bytes: &[u8]) {
    let Ok(Chunk { file, first_line, header, data }) = Chunk::decode(bytes) else { return };
    let mut written = data.to_vec();
    ChunkMeta { file, first_line, header }.append(&mut written).unwrap();
    let again = Chunk::decode(&written).unwrap();
    assert_eq!((again.file, again.first_line, again.header, again.data), (file, first_line, header, data));
    let lines = again.lines().map(|line| line.map_or_else(|rejection| rejection.line, |(line, _)| line));
    assert!(lines.zip(first_line..).all(|(line, number)| (line.file, line.number) == (file, number)));
}
