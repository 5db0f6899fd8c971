//! A whole cluster on one machine: each node a child process of this one.
//!
//! ```text
//! this process: starts, hears "ready", writes nodes.tsv, starts again what dies, stops all
//!   child: stdin: its leash   stdout: "ready"   stderr: its log
//! ```

mod child;
mod log;
mod supervisor;
mod table;

pub use child::READY;
pub(crate) use supervisor::is_running;
pub use supervisor::{NodeCommand, UpError, UpOptions, up};
pub(crate) use table::read as read_table;
pub use table::{NoLine, NodeLine, NodeState};
