//! A raw chunk of a source as a part's payload: the data, then what is known of it, then that part's length. The
//! description comes last so that a reader of files can put the data straight into the message.

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, DecodeError, EncodeError},
    source::Chunk,
};

/// What a chunk says of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkMeta<'a> {
    /// Which file of the table, counted from 0 in reading order.
    pub file: u32,
    /// The number in its file of the chunk's first line, counted from 1.
    pub first_line: u64,
    /// The file's header line.
    #[serde(borrow)]
    pub header: &'a [u8],
}

impl ChunkMeta<'_> {
    /// Ends the payload whose data was appended to `out` before.
    ///
    /// # Errors
    /// Never for a header that fits a message.
    pub fn append(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        codec::encode(self, out)?;
        let length = (out.len() - start) as u32; // a header line is at most 64 KiB
        out.extend_from_slice(&length.to_le_bytes());
        Ok(())
    }
}

impl<'a> Chunk<'a> {
    /// Takes a payload apart.
    ///
    /// # Errors
    /// Where the bytes are no chunk.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (rest, length) = payload.split_last_chunk::<4>().ok_or(DecodeError::Truncated)?;
        let at = rest.len().checked_sub(u32::from_le_bytes(*length) as usize).ok_or(DecodeError::Truncated)?;
        let (data, mut meta) = rest.split_at(at);
        let ChunkMeta { file, first_line, header } = codec::decode(&mut meta)?;
        // Clients say where a chunk begins; its lines, and the one behind the last, must have numbers. Each has a byte.
        if first_line.checked_add(data.len() as u64 + 1).is_none() {
            return Err(DecodeError::Unknown("lines"));
        }
        Ok(Chunk { file, first_line, header, data })
    }
}
