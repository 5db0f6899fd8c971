//! The stages' queues of a cluster: the same for all of its processes.

use std::sync::Arc;

use coffee_core::plan::Topology;
use coffee_mom::Broker;

use super::Names;
use crate::runner::{Links, LinksError};

/// Frames that wait in a queue before its publishers wait as well; at 256 KiB each, 32 MiB of the broker's memory. It may be
/// more by an eighth for each publisher that saw the same room.
pub const QUEUE_FRAMES: usize = 128;

/// Declares the queues of all stages.
///
/// # Errors
/// Where a queue can't be declared; others may be.
pub fn declare_links(broker: &Arc<dyn Broker>, topology: &Topology, names: &Names) -> Result<Links, LinksError> {
    Links::declare_lasting(broker, topology, names.prefix(), names.queue_kind(), QUEUE_FRAMES)
}
