//! What a process counts, as a page that Prometheus and what understands its text format fetch by HTTP.
//!
//! ```text
//! Sampler --> NodeStatistics --> page: METRICS, in the text format 0.0.4 --> MetricsServer: GET /metrics
//! ```
//! It is there where it is asked for, shows numbers and the names of nodes and stages, and takes nothing: whoever reaches it may
//! read it.

mod catalogue;
mod page;
mod request;
mod server;

pub use catalogue::{METRICS, Metric};
pub use page::page;
pub use server::MetricsServer;
