//! A pipeline of one's own as a command: numbers of a CSV table, counted by their last digit. Any node of its cluster is this
//! program.
//!
//! ```text
//! COFFEE_BROKER=amqp://me:secret@localhost/%2f cargo run --release -p coffee-cli --example counts -- up
//! ```
//!
//! Jobs are submitted by `coffee_nodes::client::Client`, as in the test `application.rs`.

use std::process::ExitCode;

use coffee_cli::Application;
use coffee_core::{
    csv::{CsvSource, FieldError, Fields, Record},
    operator::Count,
    plan::{Plan, PlanBuilder, PlanError},
};
use serde::{Deserialize, Serialize};

/// A row of the table `numbers`.
#[derive(Clone, Serialize, Deserialize)]
struct Number(u64);

impl Record for Number {
    const COLUMNS: &'static [&'static str] = &["number"];

    fn parse(fields: &Fields<'_>) -> Result<Self, FieldError> {
        Ok(Number(fields.whole_number(0)?))
    }
}

/// How often each digit is a number's last.
pub fn counts() -> Result<Plan, PlanError> {
    let plan = PlanBuilder::<()>::new();
    let numbers = plan.source("numbers", |()| CsvSource::<Number>::new());
    numbers.key(|number| number.0 % 10).aggregate("by-digit", |()| Count).sink("counted");
    plan.build()
}

fn main() -> ExitCode {
    Application::new("counts", counts).about("Counts numbers by their last digit").main()
}
