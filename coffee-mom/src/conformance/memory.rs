//! The in-process broker as a subject.

use std::sync::Arc;

use crate::broker::Broker;
use crate::memory::MemoryBroker;

use super::failure::Failure;
use super::subject::{Features, Subject};

/// One in-process broker.
#[derive(Debug, Default)]
pub struct MemorySubject(MemoryBroker);

impl Subject for MemorySubject {
    fn connect(&self) -> Result<Arc<dyn Broker>, Failure> {
        Ok(Arc::new(self.0.connect()))
    }

    fn features(&self) -> Features {
        Features::default()
    }
}
