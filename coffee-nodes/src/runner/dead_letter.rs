//! What was given up, or no node makes anything of, as it travels to where people find it (invariant 9).

use bytes::Bytes;
use coffee_core::{
    codec::{self, EncodeError},
    frame::{JobId, Loss, MAX_FRAME},
};
use serde::{Deserialize, Serialize};

/// Room in a message for what the broker's protocol has beside the body.
const MARGIN: usize = 1 << 16;

/// Losses that a letter names which would be too long.
const MOST_LOSSES: usize = 1000;

/// Something that a node gave up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The node.
    pub node: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The job; `None` where that can't be read.
    pub job: Option<JobId>,
    /// Why.
    pub reason: String,
    /// Which batches; none where not even that can be read.
    pub losses: Vec<Loss>,
    /// The frame that they came in; empty where it is too long, or many were kept before.
    #[serde(with = "serde_bytes")]
    pub frame: Vec<u8>,
}

impl DeadLetter {
    /// As a message has it.
    ///
    /// # Errors
    /// None that is known: it is plain data.
    pub fn encode(mut self) -> Result<Bytes, EncodeError> {
        let mut bytes = Vec::new();
        codec::encode(&self, &mut bytes)?;
        if bytes.len() > MAX_FRAME - MARGIN {
            self.frame.clear();
            self.losses.truncate(MOST_LOSSES);
            bytes.clear();
            codec::encode(&self, &mut bytes)?;
        }
        Ok(bytes.into())
    }
}
