//! Where a stateful node's absorbed frames are kept.

use bytes::Bytes;

/// A commit failed.
#[derive(Debug, thiserror::Error)]
#[error("state can't be committed")]
pub struct StoreError(#[from] pub std::io::Error);

/// Keeps what a node absorbed: its state is what absorbing these frames again makes of it.
pub trait Store {
    /// Makes the frames durable together. Ok promises that all of them are there after a crash.
    ///
    /// # Errors
    /// Where they can't be written: none, some or all of them may be there after a crash, and absorbing one again is
    /// harmless.
    fn commit(&mut self, frames: &[Bytes]) -> Result<(), StoreError>;
}

/// Keeps nothing: for nodes whose state lives and dies with their process, as in an embedded run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Volatile;

impl Store for Volatile {
    fn commit(&mut self, _frames: &[Bytes]) -> Result<(), StoreError> {
        Ok(())
    }
}
