//! The stages' queues of a cluster: the same for all of its processes.

use coffee_core::plan::Topology;
use coffee_mom::Broker;

use super::Names;
use crate::runner::{Links, LinksError};

/// Frames that a queue holds before its publishers have to wait; at 256 KiB each, 32 MiB of the broker's memory.
pub const QUEUE_FRAMES: usize = 128;

/// Declares the queues of all stages.
///
/// # Errors
/// Where a queue can't be declared; others may be.
pub fn declare_links(broker: &dyn Broker, topology: &Topology, names: &Names) -> Result<Links, LinksError> {
    Links::declare(broker, topology, names.prefix(), QUEUE_FRAMES)
}
