//! Records, exact operators with their laws, frames, coverage, plans and nodes as state machines.
//! No I/O, threads, brokers or clocks here.

pub mod codec;
pub mod coverage;
pub mod csv;
pub mod exec;
pub mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
#[expect(clippy::unwrap_used, reason = "a target fails by a panic")]
pub mod fuzzing;
pub mod hash;
pub mod node;
pub mod operator;
pub mod plan;
pub mod rejection;
pub mod sales;
pub mod source;
pub mod value;
