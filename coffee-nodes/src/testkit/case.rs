//! The cases of a trial: under which placement, and with chunks of which size.

use std::{fmt, sync::Arc};

use coffee_core::plan::{OperatorKind, Placement, PlacementError, Plan, StagePlacement, Topology};

/// Shards of each stateful stage, the most telling first.
const SHARDS: [u16; 3] = [2, 1, 3];

/// Replicas of each stateless stage.
const REPLICAS: [u16; 2] = [2, 1];

/// A placement and a size of chunks.
#[derive(Clone, Debug)]
pub struct Case {
    pub(super) layout: Arc<Layout>,
    /// The most bytes of a chunk.
    pub chunk_bytes: u32,
    /// Whether deaths are tried in it.
    pub(super) deaths: bool,
}

/// A plan under one placement.
#[derive(Debug)]
pub(super) struct Layout {
    pub topology: Arc<Topology>,
    placement: Placement,
    name: String,
    /// Whether it is the first of its kind: fused, taken apart, or with maximizers in halves as well.
    pub first_of_kind: bool,
}

impl Case {
    /// The plan under the case's placement: for a job that is to be run by itself.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.layout.topology
    }

    /// Which operators run together.
    pub fn placement(&self) -> &Placement {
        &self.layout.placement
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, chunks of {} bytes", self.layout.name, self.chunk_bytes)
    }
}

/// All placements that a plan is tried under, each once.
pub(super) fn layouts(plan: &Arc<Plan>) -> Result<Vec<Arc<Layout>>, PlacementError> {
    let mut layouts: Vec<Arc<Layout>> = Vec::new();
    let families = [("fused", Placement::of(plan)), ("apart", Placement::apart(plan)), ("halved", halved(plan))];
    for (family, base) in families {
        let mut first_of_kind = true;
        for (shards, replicas, combine) in numbers() {
            let placement = multiplied(&base, shards, replicas, combine);
            if layouts.iter().any(|layout| layout.placement == placement) {
                continue;
            }
            let topology = Arc::new(Topology::new(plan.clone(), &placement)?);
            let combined = if combine { "combined" } else { "not combined" };
            let name = format!("placed {family}, {shards} shards, {replicas} replicas, {combined}");
            layouts.push(Arc::new(Layout { topology, placement, name, first_of_kind }));
            first_of_kind = false;
        }
    }
    Ok(layouts)
}

fn numbers() -> impl Iterator<Item = (u16, u16, bool)> {
    let with = |combine| SHARDS.into_iter().flat_map(move |s| REPLICAS.into_iter().map(move |r| (s, r, combine)));
    [true, false].into_iter().flat_map(with)
}

/// Taken apart, and each maximizer in two: its share of the work, and the whole.
fn halved(plan: &Plan) -> Placement {
    let mut placement = Placement::apart(plan);
    for name in plan.operators().filter(|name| plan.kind_of(name) == Some(OperatorKind::Maximizer)) {
        placement.stages.push(StagePlacement {
            name: format!("{name}-partial"),
            operators: vec![format!("{name}:partial")],
            shards: Some(1),
            replicas: None,
            combine: true,
            hosted: false,
        });
    }
    placement
}

fn multiplied(base: &Placement, shards: u16, replicas: u16, combine: bool) -> Placement {
    let mut placement = base.clone();
    for stage in &mut placement.stages {
        stage.shards = stage.shards.map(|_| shards);
        stage.replicas = stage.replicas.map(|_| replicas);
        stage.combine = combine;
    }
    placement
}
