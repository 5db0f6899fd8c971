//! The coffee-shop queries over a folder of CSV files, on the embedded engine.

mod error;
mod files;
mod rejected;
mod run;
mod summary;
mod tables;

pub use error::SalesError;
pub use run::{Progress, Queries, RunOptions, UnknownQuery, run};
pub use summary::{OperatorSummary, ResultSummary, Summary, TableSummary};
