//! What is kept of a job's results beside their pieces.

use coffee_core::{
    coverage::Coverage,
    frame::{Count, Loss, PartMeta, Port},
};
use serde::{Deserialize, Serialize};

/// A job of which results have come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The ports of the results that it asked for.
    pub wanted: Vec<Port>,
    /// When all of them were settled, in milliseconds since 1970.
    pub settled_ms: Option<u64>,
    /// Whether the query node knows that they are.
    pub told: bool,
    /// When the client had taken all of them, in milliseconds since 1970.
    pub taken_ms: Option<u64>,
}

/// What has come of one result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Arrived {
    pub coverage: Coverage,
    pub batches: Option<u64>,
    pub failed: Option<Loss>,
    pub counts: Vec<Count>,
}

impl Arrived {
    /// Takes a part in; returns its number where it brings rows that are new (invariant 2).
    pub fn take(&mut self, meta: &PartMeta) -> Option<u64> {
        match meta {
            PartMeta::Rows { seq, counts, .. } => {
                let new = self.coverage.insert(*seq);
                if new {
                    Count::add_all(&mut self.counts, counts);
                }
                return new.then_some(*seq);
            }
            PartMeta::Empty { seqs, .. } => self.coverage.extend(seqs),
            PartMeta::End { batches, counts, failed, .. } => {
                if self.batches.replace(*batches).is_none() {
                    Count::add_all(&mut self.counts, counts);
                    self.failed = self.failed.take().or_else(|| failed.clone());
                }
            }
            PartMeta::Lost { loss, .. } => self.failed = self.failed.take().or_else(|| Some(loss.clone())),
        }
        None
    }

    /// Whether nothing of it will change any more: it is complete, or will never be.
    pub fn is_settled(&self) -> bool {
        self.failed.is_some() || self.batches.is_some_and(|batches| self.coverage.is_exactly(batches))
    }
}
