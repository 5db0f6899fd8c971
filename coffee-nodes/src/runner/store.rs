//! Where a stateful node's records are kept.

use coffee_core::{frame::JobId, node::Record};

/// A store is of no more use.
#[derive(Debug, thiserror::Error)]
#[error("state can't be kept: {what}")]
pub struct StoreError {
    /// What could not be done, and where.
    pub what: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Keeps what a node absorbed and emitted: its state is what absorbing these records again makes of it.
pub trait Store {
    /// Makes the records durable together, those of a forgotten job too. Ok promises that all of them are there after a
    /// crash of the process. Blocks for the disk.
    ///
    /// # Errors
    /// Where they can't be written: none or all of them may be there after a crash, and absorbing one again is harmless.
    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError>;

    /// Deletes what is kept of a job. Ok promises that nothing of it is there after a crash. Blocks for the disk.
    ///
    /// # Errors
    /// Where it can't be deleted: all or nothing of it may still be there.
    fn forget(&mut self, job: JobId) -> Result<(), StoreError>;
}

/// Keeps nothing: for nodes that are stateless, or that end with their one job.
#[derive(Clone, Copy, Debug, Default)]
pub struct Volatile;

impl Store for Volatile {
    fn commit(&mut self, _records: &[Record]) -> Result<(), StoreError> {
        Ok(())
    }

    fn forget(&mut self, _job: JobId) -> Result<(), StoreError> {
        Ok(())
    }
}
