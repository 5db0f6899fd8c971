//! What a shard's process leaves behind when it dies.

use std::{cell::RefCell, rc::Rc};

use coffee_core::{frame::JobId, node::Record};

use crate::runner::{Store, StoreError};

/// A store in memory that outlasts the processes that use it: clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Rc<RefCell<Vec<Record>>>);

impl Disk {
    /// All records, marks of emission first.
    pub fn records(&self) -> Vec<Record> {
        let (marks, frames): (Vec<_>, Vec<_>) =
            self.0.borrow().iter().cloned().partition(|record| matches!(record, Record::Emitted { .. }));
        [marks, frames].concat()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

impl Store for Disk {
    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.0.borrow_mut().extend_from_slice(records);
        Ok(())
    }

    fn forget(&mut self, job: JobId) -> Result<(), StoreError> {
        self.0.borrow_mut().retain(|record| record.job() != job);
        Ok(())
    }
}
