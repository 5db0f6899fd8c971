//! The operators of a pipeline: traits with their laws, and reusable implementations with parameters.
//!
//! An operator is a pure value: no I/O, threads or clocks. The laws are what makes an answer independent of batching,
//! arrival order, replicas and shards; [`laws`] checks them for any implementation.

mod aggregator;
mod filter;
mod joiner;
pub mod laws;
mod maximizer;
mod projection;

pub use aggregator::{Aggregator, Count, GroupBy, Measure, Sum};
pub use filter::{AtLeast, Between, Filter, OneOf};
pub use joiner::{Joiner, Lookup};
pub use maximizer::{Maximizer, TopBy};
pub use projection::Projection;

use serde::{Serialize, de::DeserializeOwned};

/// A row that can travel between nodes.
///
/// Law: serialising is faithful (decoding what was encoded gives an equal row) and equal rows have equal encodings; a
/// derived serde implementation over integers, text and such types has it, one over floats or hash maps has not.
pub trait Row: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

impl<R: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Row for R {}
