//! What travels: a frame is one message body, with parts of one job side by side (invariants 1 and 7).
//!
//! ```text
//! frame   := version:u8  length:u32le  JobHead  part*
//! part    := length:u32le(meta)  length:u32le(payload)  PartMeta  payload
//! ```
//! `JobHead` and `PartMeta` are postcard; a payload is rows in postcard, back to back, or a raw chunk of a source.
//! For each port and stream, what is sent is, in any order and with repetitions,
//! `(Rows | Empty | Lost)* End`: every `seq` below `End.batches` is answered by one of the three.

mod chunk;
mod ids;
mod reader;
mod writer;

pub use chunk::ChunkMeta;
pub use ids::{JobHead, JobId, JobIdError, Port, Sinks, Stream};
pub use reader::{FrameReader, Part};
pub use writer::FrameWriter;

use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;

/// The version of everything on the wire.
pub const FORMAT: u8 = 2;

/// No frame is longer than this many bytes: RabbitMQ 4's default limit of a message.
pub const MAX_FRAME: usize = 16 << 20;

/// Rows in and out of one operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The operator's index in the plan.
    pub operator: u16,
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that went out.
    pub rows_out: u64,
    /// Rows that were rejected, with or without their text.
    pub rejected: u64,
}

impl Count {
    /// Adds what was counted elsewhere for the same operator.
    pub fn add(&mut self, other: &Count) {
        // No count of rows comes near the end of 64 bits; a foreign frame's could.
        self.rows_in = self.rows_in.saturating_add(other.rows_in);
        self.rows_out = self.rows_out.saturating_add(other.rows_out);
        self.rejected = self.rejected.saturating_add(other.rejected);
    }

    /// Adds counts of several operators to those known.
    pub fn add_all(counts: &mut Vec<Count>, more: &[Count]) {
        for count in more {
            match counts.iter_mut().find(|known| known.operator == count.operator) {
                Some(known) => known.add(count),
                None => counts.push(*count),
            }
        }
    }
}

/// Why a batch was given up (invariant 9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The stream of the batch.
    pub stream: Stream,
    /// Its number.
    pub seq: u64,
    /// What happened, in words.
    pub reason: String,
}

/// What a part is, and what it says of its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartMeta {
    /// The answer to one batch; the payload holds its rows.
    Rows {
        /// Where it goes.
        port: Port,
        /// The stream of the batch that it answers.
        stream: Stream,
        /// The batch's number.
        seq: u64,
        /// How many rows the payload holds.
        rows: u32,
        /// Rows in and out of the operators on the way, on one part a batch only.
        counts: Vec<Count>,
    },
    /// Batches that nothing is left of.
    Empty {
        /// Where it goes.
        port: Port,
        /// The stream of the batches.
        stream: Stream,
        /// Their numbers.
        seqs: Coverage,
    },
    /// Closes a stream.
    End {
        /// Where it goes.
        port: Port,
        /// The stream.
        stream: Stream,
        /// How many batches it has.
        batches: u64,
        /// What its origin counted, on one part only.
        counts: Vec<Count>,
        /// Set where the origin lacks a batch, so that what depends on it fails.
        failed: Option<Loss>,
    },
    /// A batch that was given up: counts as arrived, and taints what depends on it.
    Lost {
        /// Where it goes.
        port: Port,
        /// Which batch, and why.
        loss: Loss,
    },
}

impl PartMeta {
    /// Where the part goes.
    pub fn port(&self) -> Port {
        match self {
            PartMeta::Rows { port, .. }
            | PartMeta::Empty { port, .. }
            | PartMeta::End { port, .. }
            | PartMeta::Lost { port, .. } => *port,
        }
    }

    /// The batch whose rows it brings, if it does.
    pub fn batch(&self) -> Option<(Stream, u64)> {
        match self {
            PartMeta::Rows { stream, seq, .. } => Some((*stream, *seq)),
            PartMeta::Empty { .. } | PartMeta::End { .. } | PartMeta::Lost { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
