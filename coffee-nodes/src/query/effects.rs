//! What a decision wants done: kept before anybody hears of it, then told.

use std::collections::BTreeMap;

use coffee_core::frame::JobId;

use crate::{cluster::Control, job::ErrorReport};

/// What happened to the record of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is new.
    Minted,
    /// The job is further on its way.
    Moved,
    /// It is not needed any more.
    Dropped,
}

/// What follows from a decision.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// By the job's number: to be kept durably, all or none, before the decision is told to anybody.
    pub changes: BTreeMap<u64, Change>,
    /// To be published, in this order, once the changes are kept.
    pub tell: Vec<Control>,
    /// For the log of errors.
    pub notes: Vec<ErrorReport>,
    /// For the node's log: what has happened to jobs, in words.
    pub happened: Vec<(JobId, String)>,
}

impl Effects {
    /// The job's record is new.
    pub fn minted(&mut self, number: u64) {
        self.changes.insert(number, Change::Minted);
    }

    /// The job moved on. A new record stays new.
    pub fn moved(&mut self, number: u64) {
        self.changes.entry(number).or_insert(Change::Moved);
    }

    /// The job's record is to go.
    pub fn dropped(&mut self, number: u64) {
        self.changes.insert(number, Change::Dropped);
    }
}
