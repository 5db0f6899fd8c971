//! Chunks of a source as frames, made the same way wherever they come in.

use bytes::Bytes;
use coffee_core::{
    codec::EncodeError,
    frame::{FrameWriter, JobHead, PartMeta},
    plan::SourceInfo,
};

/// The frame of a source's chunk, written into `buffer`, which is emptied. `fill` appends the chunk's bytes and its
/// [`ChunkMeta`](coffee_core::frame::ChunkMeta); where it has no chunk there is no frame.
pub(crate) fn chunk_frame<T, E: From<EncodeError>>(
    head: &JobHead,
    source: &SourceInfo,
    seq: u64,
    buffer: Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<Option<T>, E>,
) -> Result<Option<(Vec<u8>, T)>, E> {
    let SourceInfo { port, stream, .. } = *source;
    let mut frame = FrameWriter::new(head, buffer)?;
    let part = frame.open(&PartMeta::Rows { port, stream, seq, rows: 0, counts: Vec::new() })?;
    let Some(filled) = fill(frame.payload())? else { return Ok(None) };
    frame.close(part);
    Ok(Some((frame.finish(), filled)))
}

/// The frame that ends a source behind so many chunks.
pub(crate) fn end_frame(head: &JobHead, source: &SourceInfo, chunks: u64) -> Result<Vec<u8>, EncodeError> {
    let SourceInfo { port, stream, .. } = *source;
    let mut frame = FrameWriter::new(head, Vec::new())?;
    frame.part(&PartMeta::End { port, stream, batches: chunks, counts: Vec::new(), failed: None }, &[])?;
    Ok(frame.finish())
}

/// A frame's memory, empty, where nobody else holds it any more: fresh memory costs as much as reading a chunk.
pub(crate) fn reclaim(frame: Bytes) -> Option<Vec<u8>> {
    let mut unique = frame.try_into_mut().ok()?;
    unique.clear();
    Some(unique.into())
}
