//! What nodes are asked for by: what their operators do, or the stage that they are of.

use std::collections::{BTreeMap, BTreeSet};

use coffee_core::plan::{OperatorKind, Placement, Plan};

/// The nodes that every cluster has, and their kinds.
const OWN: [(&str, &str); 4] =
    [("gateway", "gateway"), ("monitor", "monitor"), ("query-node", "query"), ("results-node", "results")];

/// The monitor that leads, whichever it is at a time.
pub(super) const LEADER: &str = "leader";

/// The kinds of a cluster's nodes, by stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kinds(BTreeMap<String, BTreeSet<&'static str>>);

impl Kinds {
    /// Those of a plan under a placement: a worker's are what its stage's operators do. What gateways host and what the results
    /// node runs does not count: no node does that alone.
    pub fn of(plan: &Plan, placement: &Placement) -> Self {
        let sinks: BTreeSet<&str> = plan.sinks().collect();
        let alone = placement
            .stages
            .iter()
            .filter(|stage| !stage.hosted && !stage.operators.iter().any(|operator| sinks.contains(operator.as_str())));
        // NAME:partial does what NAME does.
        let operator = |text: &String| text.split(':').next().and_then(|name| word(plan.kind_of(name)?));
        let workers = alone.map(|stage| (stage.name.clone(), stage.operators.iter().filter_map(operator).collect()));
        Kinds(workers.chain(OWN.map(|(stage, kind)| (stage.to_owned(), BTreeSet::from([kind])))).collect())
    }

    /// All that nodes can be asked for by.
    pub fn words(&self) -> BTreeSet<&str> {
        self.0.iter().flat_map(|(stage, kinds)| kinds.iter().copied().chain([stage.as_str()])).chain([LEADER]).collect()
    }

    /// Whether a node is of that kind, or of the stage of that name.
    pub fn is(&self, node: &str, word: &str) -> bool {
        let stage = stage_of(node);
        stage == word || self.0.get(stage).is_some_and(|kinds| kinds.contains(word))
    }

    /// One word for all that a node does: its stage's name where nothing else is known.
    pub fn describe(&self, node: &str) -> String {
        let stage = stage_of(node);
        match self.0.get(stage) {
            Some(kinds) if !kinds.is_empty() => kinds.iter().copied().collect::<Vec<_>>().join("+"),
            _ => stage.to_owned(),
        }
    }
}

fn word(kind: OperatorKind) -> Option<&'static str> {
    match kind {
        OperatorKind::Source => Some("reader"),
        OperatorKind::Filter => Some("filter"),
        OperatorKind::Aggregator => Some("aggregator"),
        OperatorKind::Maximizer => Some("maximizer"),
        OperatorKind::Joiner => Some("joiner"),
        _ => None,
    }
}

/// The stage in a node's name, without the number of its replica or shard.
fn stage_of(node: &str) -> &str {
    match node.rsplit_once(['.', '-']) {
        Some((stage, number)) if number.parse::<u16>().is_ok() => stage,
        _ => node,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coffee_core::{
        plan::Topology,
        sales::{fused, sales_plan, staged},
    };

    use super::*;
    use crate::cluster::{ClusterNode, roster};

    fn described(placement: &Placement) -> BTreeMap<String, Vec<String>> {
        let plan = Arc::new(sales_plan().unwrap().plan);
        let kinds = Kinds::of(&plan, placement);
        let mut described = BTreeMap::<String, Vec<String>>::new();
        for node in roster(&Topology::new(plan, placement).unwrap(), 1).unwrap().iter().map(ClusterNode::name) {
            assert!(kinds.is(&node, stage_of(&node)) && !kinds.is(&node, "nothing"));
            described.entry(kinds.describe(&node)).or_default().push(node);
        }
        assert!(described.keys().all(|kind| kinds.words().contains(kind.as_str())));
        described
    }

    #[test]
    fn each_node_of_the_placements_that_ship_has_one_kind() {
        let fused = described(&fused().unwrap());
        let kinds = ["aggregator", "gateway", "joiner", "maximizer", "query", "results"];
        assert_eq!(fused.keys().collect::<Vec<_>>(), kinds);
        assert_eq!(fused["joiner"], ["store-names.0", "names.0", "names.1"]);
        let staged = described(&staged().unwrap());
        let kinds = ["aggregator", "filter", "gateway", "joiner", "maximizer", "query", "reader", "results"];
        assert_eq!(staged.keys().collect::<Vec<_>>(), kinds);
        assert!(staged["maximizer"].contains(&"partial-top-buyers.1".to_owned()));
        assert!(staged["filter"].contains(&"filter-amount-1".to_owned()));
    }

    #[test]
    fn numbers_are_no_part_of_a_stage() {
        for (node, stage) in [("a-b-12", "a-b"), ("a.0", "a"), ("query-node", "query-node"), ("a", "a"), ("a-", "a-")] {
            assert_eq!(stage_of(node), stage);
        }
    }
}
