//! Batch-stream pipelines over message queues: one name for the crates that a program embeds.
//!
//! - [`core`]: records, operators with their laws, plans, and nodes as state machines; no I/O.
//! - [`mom`]: message-oriented middleware over queues and exchanges.
//! - [`nodes`]: the runner, the embedded engine, and the coffee-shop sales analytics.
//! - [`cli`]: a command out of any pipeline: each process of its cluster by name, from a `main` of one line.
//! - [`nodes::testkit`]: tries a plan of your own, as [`core::operator::laws`] tries an operator.
//! - [`prelude`]: what a program that embeds a pipeline usually needs.
//!
//! # Features
//!
//! - `cli`, on by default: [`cli`], and with it the parsing of arguments. A program that only embeds pipelines does without it by
//!   `default-features = false`.
//!
//! The README begins with what this is, and has a small pipeline; `examples/quickstart.rs` is a whole program.

#[cfg(feature = "cli")]
pub use coffee_cli as cli;
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
        plan::{Flow, Keyed, Placement, Plan, PlanBuilder, PlanError, SinkId, SourceId, Topology},
        rejection::Rejection,
        source::{Chunk, EncodedRows, Rows, Source},
    };
    pub use coffee_nodes::{
        Stop,
        client::{Client, ClientError, ClientOptions},
        embedded::{Embedded, EmbeddedError, Outcome, Report, RowsError},
        job::{Job, JobError},
        local::{LocalCluster, LocalError, LocalOptions},
    };
}

/// The README's examples are tests. Its links are those of the repository, so it is no part of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So are the guide's.
#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
struct Guide;
