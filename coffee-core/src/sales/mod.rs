//! The coffee shops' sales: their tables' records, the four queries as a plan, their results, and the two placements
//! that ship.

mod plan;
pub mod records;
mod results;

pub use plan::{Query, QueryError, SalesPlan, fused, sales_plan, staged};
pub use results::{BestSelling, MostProfit, ResultRow, Sale, StoreHalf, TopBuyer};
