//! Batch-stream pipelines over message queues: one name for the crates that a program embeds.
//!
//! - [`core`]: records, operators with their laws, plans, and nodes as state machines; no I/O.
//! - [`mom`]: message-oriented middleware over queues and exchanges.
//! - [`nodes`]: the runner, the embedded engine, and the coffee-shop sales analytics.
//! - [`prelude`]: what a program that embeds a pipeline usually needs.
//!
//! The README begins with what this is, and has a small pipeline; `examples/visits.rs` is a whole program.

pub use coffee_core as core;
pub use coffee_mom as mom;
pub use coffee_nodes as nodes;

/// What a program that embeds a pipeline usually needs: `use coffee::prelude::*;`.
pub mod prelude {
    pub use coffee_core::{
        operator::{
            Aggregator, AtLeast, Between, Count, Filter, GroupBy, Joiner, Lookup, Maximizer, Measure, OneOf,
            Projection, Row, Sum, TopBy,
        },
        plan::{Flow, Placement, Plan, PlanBuilder, SinkId, SourceId, Topology},
        source::{EncodedRows, Source},
    };
    pub use coffee_nodes::embedded::{Embedded, EmbeddedError, Outcome, Report};
}

/// The README's examples are tests. Its links are those of the repository, so it is no part of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
