//! The flags that say what is asked of the data.

use clap::Args;
use coffee_core::{
    sales::Query,
    value::{Money, TimeOfDay},
};
use coffee_nodes::sales::Queries;

/// What is asked of the data.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// Which queries to answer
    #[arg(long, env = "COFFEE_QUERIES", value_name = "LIST", default_value_t = Queries::ALL)]
    pub queries: Queries,
    /// The years that count
    #[arg(long, env = "COFFEE_YEARS", value_name = "LIST", value_delimiter = ',', default_value = "2024,2025")]
    #[arg(value_parser = clap::value_parser!(u16).range(..=9999))]
    years: Vec<u16>,
    /// The first time of day that counts, for q1 and q3
    #[arg(long, env = "COFFEE_FROM", value_name = "TIME", default_value = "06:00:00")]
    from: TimeOfDay,
    /// The last time of day that counts, for q1 and q3
    #[arg(long, env = "COFFEE_TO", value_name = "TIME", default_value = "23:00:00")]
    to: TimeOfDay,
    /// The least amount that q1 lists
    #[arg(long, env = "COFFEE_MIN_AMOUNT", value_name = "AMOUNT", default_value = "75", allow_hyphen_values = true)]
    min_amount: Money,
    /// How many users q4 lists for each store
    #[arg(long, env = "COFFEE_TOP", value_name = "N", default_value_t = 3)]
    top: u64,
}

impl QueryArgs {
    /// The parameters, not checked yet.
    pub fn query(&self) -> Query {
        Query { years: self.years.clone(), from: self.from, to: self.to, min_amount: self.min_amount, top: self.top }
    }
}
