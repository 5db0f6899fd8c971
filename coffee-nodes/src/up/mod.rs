//! A whole cluster on one machine: each node a child process of this one.
//!
//! ```text
//! this process: starts all, hears "ready", writes nodes.tsv, tells the monitors what ends and does what their leader orders,
//!               starts monitors again itself, stops all
//!   child: stdin: its leash   stdout: "ready"   stderr: its log
//! ```

mod agent;
mod child;
mod log;
mod options;
mod seat;
mod supervisor;
mod table;

pub use agent::free_addresses;
pub use child::READY;
pub use options::{NodeCommand, UpError, UpOptions};
pub(crate) use supervisor::is_running;
pub use supervisor::up;
pub(crate) use table::read as read_table;
pub use table::{NoLine, NodeLine, NodeRole, NodeState};
