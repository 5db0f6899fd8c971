//! The coffee-shop queries over a folder of CSV files: answered in this process, or by a cluster.

mod error;
mod files;
mod progress;
mod queries;
mod rejected;
mod request;
mod results;
mod run;
mod submit;
mod summary;
mod tables;
mod times;

#[cfg(test)]
mod tests;

pub use error::SalesError;
pub use progress::Progress;
pub use queries::{Queries, UnknownQuery};
pub use request::{Request, check_parameters};
pub use run::{RunOptions, run};
pub use submit::{SubmitOptions, submit, upload};
pub use summary::{MissingResult, OperatorSummary, ResultSummary, StageSummary, Summary, TableSummary};
pub use times::Times;
