//! Batch-stream pipelines over message queues.
pub use coffee_core as core;
pub use coffee_mom as mom;
pub use coffee_nodes as nodes;
