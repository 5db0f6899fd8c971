//! Takes a frame apart without copying. Every length is checked before it is used.

use super::{FORMAT, JobHead, Loss, PartMeta};
use crate::codec::{self, DecodeError};

/// A part of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// What it is.
    pub meta: PartMeta,
    /// Its rows, undecoded.
    pub payload: &'a [u8],
}

/// Reads the parts of a frame in order.
#[derive(Clone, Debug)]
pub struct FrameReader<'a> {
    head: &'a [u8],
    rest: &'a [u8],
}

impl<'a> FrameReader<'a> {
    /// Checks the version and finds the job head.
    ///
    /// # Errors
    /// Where the bytes are no frame of this version.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (version, mut rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        if *version != FORMAT {
            return Err(DecodeError::Version { found: *version });
        }
        let length = length(&mut rest)?;
        let head = take(&mut rest, length)?;
        Ok(FrameReader { head, rest })
    }

    /// The job head's encoding: equal for all frames of a job.
    pub fn head_bytes(&self) -> &'a [u8] {
        self.head
    }

    /// The job head.
    ///
    /// # Errors
    /// Where it can't be decoded.
    pub fn head(&self) -> Result<JobHead, DecodeError> {
        codec::decode(&mut { self.head })
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// Where a part is cut short or can't be decoded; nothing is known of what follows it.
    pub fn part(&mut self) -> Result<Option<Part<'a>>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let meta = length(&mut self.rest)?;
        let payload = length(&mut self.rest)?;
        let meta = codec::decode(&mut take(&mut self.rest, meta)?)?;
        let sound = match &meta {
            PartMeta::Empty { seqs, .. } => seqs.is_well_formed(),
            // The number behind it must exist: sets of numbers are half-open.
            PartMeta::Rows { seq, .. } | PartMeta::Lost { loss: Loss { seq, .. }, .. } => *seq < u64::MAX,
            PartMeta::End { .. } => true,
        };
        if !sound {
            return Err(DecodeError::Unknown("batches"));
        }
        Ok(Some(Part { meta, payload: take(&mut self.rest, payload)? }))
    }
}

fn length(bytes: &mut &[u8]) -> Result<usize, DecodeError> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*length) as usize)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    Ok(taken)
}
