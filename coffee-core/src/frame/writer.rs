//! Puts a frame together.

use super::{FORMAT, JobHead, PartMeta};
use crate::codec::{self, EncodeError};

/// A frame that is being written: parts side by side (invariant 1: never merged).
#[derive(Debug)]
pub struct FrameWriter {
    bytes: Vec<u8>,
}

impl FrameWriter {
    /// A frame without parts, in `buffer`, which is emptied.
    ///
    /// # Errors
    /// Never for a head that serialises.
    pub fn new(head: &JobHead, mut buffer: Vec<u8>) -> Result<Self, EncodeError> {
        buffer.clear();
        buffer.push(FORMAT);
        buffer.extend_from_slice(&[0; 4]);
        codec::encode(head, &mut buffer)?;
        let length = buffer.len() - 5;
        patch(&mut buffer, 1, length);
        Ok(FrameWriter { bytes: buffer })
    }

    /// Adds a part.
    ///
    /// # Errors
    /// Never for parts of the plan.
    pub fn part(&mut self, meta: &PartMeta, payload: &[u8]) -> Result<(), EncodeError> {
        let open = self.open(meta)?;
        self.bytes.extend_from_slice(payload);
        self.close(open);
        Ok(())
    }

    /// Starts a part whose payload is then appended to [`FrameWriter::payload`]; [`FrameWriter::close`] ends it.
    ///
    /// # Errors
    /// Never for parts of the plan.
    pub fn open(&mut self, meta: &PartMeta) -> Result<OpenPart, EncodeError> {
        let lengths = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 8]);
        let start = self.bytes.len();
        codec::encode(meta, &mut self.bytes)?;
        let length = self.bytes.len() - start;
        patch(&mut self.bytes, lengths, length);
        Ok(OpenPart { lengths, payload: self.bytes.len() })
    }

    /// Where an open part's payload goes: append only.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends an open part.
    pub fn close(&mut self, part: OpenPart) {
        let length = self.bytes.len() - part.payload;
        patch(&mut self.bytes, part.lengths + 4, length);
    }

    /// Takes back every part that was added since the frame had this size.
    pub fn truncate(&mut self, size: usize) {
        self.bytes.truncate(size);
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The frame.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A part whose payload is being written.
#[derive(Debug)]
#[must_use]
pub struct OpenPart {
    lengths: usize,
    payload: usize,
}

/// Writes a length that was left open. Frames stay far below 4 GiB: they are cut at a fraction of `MAX_FRAME`.
fn patch(bytes: &mut [u8], at: usize, length: usize) {
    if let Some(slot) = bytes.get_mut(at..at + 4) {
        slot.copy_from_slice(&(length as u32).to_le_bytes());
    }
}
