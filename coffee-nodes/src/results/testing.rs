//! A plan with two results, of numbers and of words.

use std::sync::Arc;

use coffee_core::plan::{Placement, PlanBuilder, Topology};

pub(crate) fn topology() -> Arc<Topology> {
    let builder = PlanBuilder::<u8>::new();
    let (_, numbers) = builder.rows::<u64>("numbers");
    numbers.sink("all-numbers");
    let (_, words) = builder.rows::<String>("words");
    words.sink("all-words");
    let plan = Arc::new(builder.build().unwrap());
    Arc::new(Topology::new(plan.clone(), &Placement::of(&plan)).unwrap())
}

/// Of a plan without the words.
pub(super) fn another_topology() -> Arc<Topology> {
    let builder = PlanBuilder::<u8>::new();
    let (_, numbers) = builder.rows::<u64>("numbers");
    numbers.sink("all-numbers");
    let plan = Arc::new(builder.build().unwrap());
    Arc::new(Topology::new(plan.clone(), &Placement::of(&plan)).unwrap())
}
