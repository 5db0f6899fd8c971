//! `coffee generate`: a data set to try the queries on.

use std::path::PathBuf;

use clap::Args;
use coffee_nodes::generate::{GenerateOptions, Month, generate};
use indicatif::{DecimalBytes, HumanCount};

use crate::{failure::Failure, output};

/// Writes a data set of the coffee shops' schema; the same flags give the same bytes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  coffee generate data --months 2024-01,2024-02 --transactions 10000 --seed 7")]
pub struct GenerateArgs {
    /// The folder to write to: a new or an empty one
    out: PathBuf,
    /// The months that sales are generated for
    #[arg(long, env = "COFFEE_MONTHS", value_name = "LIST", value_delimiter = ',', default_value = "2024-01,2025-01")]
    months: Vec<Month>,
    /// How many transactions a month has, besides a few on the boundaries of the queries
    #[arg(long, env = "COFFEE_TRANSACTIONS", value_name = "N", default_value_t = 600_000)]
    transactions: u64,
    /// How many users there are
    #[arg(long, env = "COFFEE_USERS", value_name = "N", default_value_t = 200_000)]
    users: u64,
    /// Another seed gives other data
    #[arg(long, env = "COFFEE_SEED", value_name = "S", default_value_t = 1)]
    seed: u64,
}

pub fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let options = GenerateOptions {
        months: args.months.clone(),
        transactions: args.transactions,
        users: args.users,
        seed: args.seed,
    };
    let written = generate(&args.out, &options)?;
    output::print_error(&format!(
        "{} transactions, {} items and {} users in {} files, {}: {}\n",
        HumanCount(written.transactions),
        HumanCount(written.transaction_items),
        HumanCount(written.users),
        HumanCount(written.files),
        DecimalBytes(written.bytes),
        output::printable(&args.out.display().to_string()),
    ));
    Ok(())
}
