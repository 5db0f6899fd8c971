//! What the processes of a cluster count of their work, and say of themselves once a second, for people who watch: no answer
//! depends on it.
//!
//! ```text
//! runner --> Counted, CountedStore --> Counters --.
//!                                                 |            .--> `crate::metrics`: a page for Prometheus
//! broker, /proc ----------------------------------+--> Sampler --> Reporter --> exchange --> Board of each gateway
//! monitors -------------------- datagrams ------------------------------------------------>   |
//!                                                                     client <-- Overview <---'
//! ```
//! Counting costs a few relaxed additions a frame and a part, never a row.

mod board;
mod counted;
mod counters;
mod fit;
mod histogram;
mod overview;
mod process;
mod reporter;
mod sampler;
mod snapshot;
mod work;

pub use board::{Board, Flow};
pub(crate) use counted::{Counted, CountedStore};
pub(crate) use counters::GATEWAY;
pub use counters::{Counters, Statistics};
pub(crate) use fit::MOST_BYTES;
pub use histogram::{BOUNDS, Latencies};
pub use overview::{FedWork, JobView, NodeView, Overview, QueueView, StageWork};
pub(crate) use overview::{MOST_ERRORS, MOST_JOBS, MOST_STAGES, MOST_TABLES};
pub use process::{ProcessUse, process_use};
pub use reporter::Reporter;
pub use sampler::Sampler;
pub use snapshot::{BrokerStatistics, Identity, LoopStatistics, NodeKind, NodeStatistics, RESTARTS_VARIABLE};
pub use work::Work;
