//! Records, exact operators with their laws, frames, coverage, plans and nodes as state machines.
//! No I/O, threads, brokers or clocks here.

pub mod csv;
pub mod rejection;
pub mod sales;
pub mod source;
pub mod value;
