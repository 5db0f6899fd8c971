//! The placements that are computed for any plan: the one that it gets where nobody gives one, and the one that takes it apart.

use std::collections::BTreeMap;

use super::{Placement, Plan, StagePlacement};
use crate::exec::Place;

impl Placement {
    /// A placement for any plan, computed from it: sources and the stateless operators behind them run where chunks
    /// come in, stateful operators in one stage a level, and all sinks in the last stage.
    ///
    /// The stages are called `sources` (hosted), `level-1`, `level-2`, ... and `results`. A stateful operator is one level
    /// above the highest of its inputs; a stateless one stays with its input. Each level has one shard, which
    /// [`Placement::set_shards`] changes.
    pub fn of(plan: &Plan) -> Placement {
        let mut levels: Vec<usize> = Vec::with_capacity(plan.ops.len());
        let mut stages: BTreeMap<(bool, usize), StagePlacement> = BTreeMap::new();
        for op in &plan.ops {
            // The builder adds an operator behind its inputs, so their levels are known.
            let below = op.inputs.iter().filter_map(|input| levels.get(*input)).max().copied().unwrap_or(0);
            let (sink, level) = match op.operator.place() {
                Place::Source => (false, 0),
                Place::Stateless => (false, below),
                Place::Stateful => (false, below + 1),
                Place::Sink => (true, 0),
            };
            levels.push(level);
            stages.entry((sink, level)).or_insert_with(|| stage(sink, level)).operators.push(op.name.clone());
        }
        Placement { stages: stages.into_values().collect() }
    }

    /// The placement that takes a plan apart: a stage an operator, which is called like it, but for sinks, which are all in
    /// the stage `results`. Each has one replica or shard, which [`Placement::set_replicas`] and [`Placement::set_shards`]
    /// change.
    pub fn apart(plan: &Plan) -> Placement {
        let mut results = stage(true, 0);
        let mut stages = Vec::new();
        for op in &plan.ops {
            let (shards, replicas) = match op.operator.place() {
                Place::Sink => {
                    results.operators.push(op.name.clone());
                    continue;
                }
                Place::Stateful => (Some(1), None),
                Place::Source | Place::Stateless => (None, Some(1)),
            };
            let (name, operators) = (op.name.clone(), vec![op.name.clone()]);
            stages.push(StagePlacement { name, operators, shards, replicas, combine: true, hosted: false });
        }
        stages.push(results);
        Placement { stages }
    }
}

fn stage(sink: bool, level: usize) -> StagePlacement {
    let (name, shards, hosted) = match (sink, level) {
        (true, _) => ("results".to_owned(), None, false),
        (false, 0) => ("sources".to_owned(), None, true),
        (false, _) => (format!("level-{level}"), Some(1), false),
    };
    StagePlacement { name, operators: Vec::new(), shards, replicas: None, combine: true, hosted }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        operator::{Count, GroupBy, Lookup},
        plan::{PlanBuilder, Topology},
        sales::sales_plan,
        source::EncodedRows,
    };

    #[test]
    fn it_fits_the_queries() {
        let plan = Arc::new(sales_plan().unwrap().plan);
        let mut placement = Placement::of(&plan);
        let names: Vec<&str> = placement.stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!(names, ["sources", "level-1", "level-2", "level-3", "level-4", "results"]);
        Topology::new(plan.clone(), &placement).unwrap();
        placement.set_shards(None, 3).unwrap();
        Topology::new(plan, &placement).unwrap();
    }

    #[test]
    fn taken_apart_each_operator_has_a_stage_of_its_own() {
        let plan = Arc::new(sales_plan().unwrap().plan);
        let mut placement = Placement::apart(&plan);
        placement.set_shards(None, 3).unwrap();
        placement.set_replicas(None, 2).unwrap();
        let topology = Topology::new(plan.clone(), &placement).unwrap();
        assert_eq!(topology.stages().len(), plan.operators().count() - plan.sinks().count());
    }

    #[test]
    fn stateless_operators_stay_with_their_input() {
        let plan = PlanBuilder::<()>::new();
        let words = plan.source("words", |()| EncodedRows::<u64>::new());
        let counts = words.aggregate("counts", |()| GroupBy::new(|w: &u64| Some(*w), Count));
        let often = counts.filter("often", |()| |row: &(u64, u64)| row.1 > 1);
        words
            .map("word", |()| |w: &u64| *w)
            .join("join", often, |()| {
                Lookup::new(|w: &u64| *w, |row: &(u64, u64)| row.0, |_: &u64, row: &(u64, u64)| *row)
            })
            .sink("out");
        let plan = Arc::new(plan.build().unwrap());
        let placement = Placement::of(&plan);
        let stages: Vec<Vec<&str>> =
            placement.stages.iter().map(|stage| stage.operators.iter().map(String::as_str).collect()).collect();
        assert_eq!(stages, [vec!["words", "word"], vec!["counts", "often"], vec!["join"], vec!["out", "rejected"]]);
        Topology::new(plan, &placement).unwrap();
    }
}
