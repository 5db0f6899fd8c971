//! What is to be done, and where: a typed builder makes a [`Plan`], a [`Placement`] says which operators run together,
//! and a [`Topology`] is the two put together: stages, ports between them, and what each job uses of them.

mod builder;
mod compile;
mod default;
mod job;
mod keyed;
mod placement;
mod topology;

pub use builder::{Flow, OperatorKind, ParametersError, Plan, PlanBuilder, PlanError, SinkId, SourceId};
pub use job::Job;
pub use keyed::Keyed;
pub use placement::{Placement, PlacementError, StagePlacement};
pub use topology::{HeadInfo, Role, SourceInfo, Stage, Target, Topology};

#[cfg(test)]
mod tests;
