use std::sync::Arc;

use super::*;
use crate::{
    operator::{Count, GroupBy, Lookup, TopBy},
    source::EncodedRows,
};

type Row = (u8, u64);

fn plan() -> Arc<Plan> {
    let plan = PlanBuilder::<()>::new();
    let table = plan.source("table", |_| EncodedRows::<Row>::new());
    let rows = plan.source("rows", |_| EncodedRows::<Row>::new());
    rows.filter("odd", |_| |row: &Row| row.0 % 2 == 1)
        .aggregate("count", |_| GroupBy::new(|row: &Row| Some(row.0), Count))
        .maximize("top", |_| TopBy::new(|_: &Row| 0u8, |row: &Row| *row, 3))
        .join("named", table, |_| Lookup::new(|r: &Row| r.0, |t: &Row| t.0, |r: &Row, t: &Row| (r.1, t.1)))
        .sink("answer");
    Arc::new(plan.build().unwrap())
}

/// One stage a line: its name, its operators, and what else it says.
fn topology(stages: &[&str]) -> Result<Topology, PlacementError> {
    let stage = |line: &&str| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap();
        let (settings, operators): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains('='));
        let settings: Vec<String> = settings.iter().map(|setting| format!(", {setting}")).collect();
        format!("{{ name = {name:?}, operators = {operators:?}{} }}", settings.concat())
    };
    let text = format!("stage = [{}]", stages.iter().map(stage).collect::<Vec<_>>().join(", "));
    Topology::new(plan(), &Placement::parse(&text)?)
}

const GOOD: [&str; 5] = [
    "scan table rows odd hosted=true",
    "count count shards=3",
    "top top",
    "named named shards=2",
    "end answer rejected",
];

fn without(replaced: usize, with: &'static str) -> Result<Topology, PlacementError> {
    let mut stages = GOOD;
    stages[replaced] = with;
    topology(&stages)
}

#[test]
fn a_good_placement_makes_a_topology() {
    let topology = topology(&GOOD).unwrap();
    let queues: Vec<u16> = topology.stages().iter().map(Stage::queues).collect();
    assert_eq!(queues, [0, 3, 1, 2, 1]);
    assert_eq!(topology.plan().sinks().collect::<Vec<_>>(), ["answer"]);
    assert_eq!(topology.plan().looked_up_by("named"), Some("table"));
    assert_eq!(topology.plan().looked_up_by("count"), None);
    assert_eq!(topology.plan().kind_of("top"), Some(OperatorKind::Maximizer));
    assert_eq!(topology.plan().kind_of("scan"), None, "a stage is no operator");
}

#[test]
fn the_version_tells_what_changes_a_frame() {
    let version = topology(&GOOD).unwrap().version();
    assert_eq!(topology(&GOOD).unwrap().version(), version);
    assert_ne!(without(1, "count count shards=4").unwrap().version(), version);
    assert_ne!(without(1, "count count shards=3 combine=false").unwrap().version(), version);
    let replicated =
        |replicas| topology(&["read table rows", replicas, GOOD[1], GOOD[2], GOOD[3], GOOD[4]]).unwrap().version();
    assert_eq!(replicated("odd odd replicas=2"), replicated("odd odd replicas=5"), "replicas don't");
}

#[test]
fn what_does_not_fit_is_said() {
    use PlacementError as E;
    let stage = |result: Result<Topology, E>| matches!(result.unwrap_err(), E::Stage { .. });
    assert!(matches!(without(1, "scan count").unwrap_err(), E::SameName(name) if name == "scan"));
    assert!(matches!(without(1, "count odd").unwrap_err(), E::PlacedTwice(name) if name == "odd"));
    assert!(
        matches!(without(1, "count nothing").unwrap_err(), E::UnknownOperator { operator, .. } if operator == "nothing")
    );
    assert!(matches!(without(1, "count count:partial").unwrap_err(), E::UnknownOperator { .. }));
    assert!(matches!(topology(&GOOD[..4]).unwrap_err(), E::NotPlaced(_)));
    assert!(
        matches!(topology(&["scan table rows odd hosted=true", "x count top", "named named", "end answer rejected"]).unwrap_err(), E::FedByOwnStage(name) if name == "top")
    );
    assert!(
        matches!(topology(&["scan table rows odd count", "top top", "named named", "end answer rejected"]).unwrap_err(), E::FedByOwnStage(name) if name == "count")
    );
    assert!(
        matches!(topology(&["read table rows", "mix odd top", "c count", "named named", "end answer rejected"]).unwrap_err(), E::Mixed(name) if name == "mix")
    );
    assert!(matches!(
        topology(&["scan table rows odd", "x count named", "top top", "end answer rejected"]).unwrap_err(),
        E::Circle(_)
    ));
    assert!(stage(without(1, "count count shards=0")));
    assert!(stage(without(1, "count count shards=1025")));
    assert!(stage(without(1, "count count replicas=2")));
    assert!(stage(without(1, "count count hosted=true")));
    assert!(stage(without(0, "scan table rows odd shards=2")));
    assert!(stage(without(4, "end answer rejected shards=2")));
    assert!(stage(without(2, "a/b top")));
    assert!(matches!(Placement::parse("stage = 3").unwrap_err(), E::Syntax(_)));
    assert!(matches!(
        Placement::parse("[[stage]]\nname = 'a'\noperators = ['x']\nwhat = 1").unwrap_err(),
        E::Syntax(_)
    ));
}

#[test]
fn replicas_and_shards_can_be_overridden() {
    let mut placement = Placement::parse("stage = [{ name = 'a', operators = ['x'], replicas = 1 }, { name = 'b', operators = ['y'], shards = 2 }, { name = 'c', operators = ['z'] }]").unwrap();
    placement.set_shards(None, 4).unwrap();
    placement.set_shards(Some("c"), 3).unwrap();
    placement.set_replicas(Some("a"), 5).unwrap();
    let numbers: Vec<_> = placement.stages.iter().map(|stage| (stage.replicas, stage.shards)).collect();
    assert_eq!(numbers, [(Some(5), None), (None, Some(4)), (None, Some(3))]);
    assert!(matches!(placement.set_shards(Some("d"), 1).unwrap_err(), PlacementError::UnknownStage(_)));
    assert!(matches!(placement.set_replicas(Some("a"), 0).unwrap_err(), PlacementError::Stage { .. }));
}

#[test]
fn plans_that_do_not_hold_together() {
    let twice = PlanBuilder::<()>::new();
    twice.source("a", |_| EncodedRows::<Row>::new()).sink("a");
    assert!(matches!(twice.build().unwrap_err(), PlanError::SameName(name) if name == "a"));
    let empty = PlanBuilder::<()>::new();
    empty.source("a", |_| EncodedRows::<Row>::new());
    assert!(matches!(empty.build().unwrap_err(), PlanError::NoSink));
}
