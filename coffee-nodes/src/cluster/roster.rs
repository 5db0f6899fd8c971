//! Which nodes a cluster has: whoever starts one, as processes or as containers, goes by this list.

use coffee_core::plan::{Role, Topology};

/// Stages that would have nodes of the same name as others that the list has, or that stand beside it.
const TAKEN: [&str; 3] = ["gateway", "client", "monitor"];

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterNode {
    /// The query node.
    Query,
    /// The results node; it also runs the stages whose answers go to clients.
    Results,
    /// A worker: one of the equal replicas of a stateless stage.
    Replica {
        /// The stage's name.
        stage: String,
        /// Counted from 0.
        index: u16,
    },
    /// A worker: a shard of a stateful stage.
    Shard {
        /// The stage's name.
        stage: String,
        /// Counted from 0.
        index: u16,
    },
    /// A gateway.
    Gateway {
        /// Counted from 0.
        index: u16,
    },
    /// A monitor, which watches the others.
    Monitor {
        /// Counted from 0; the highest that lives leads.
        index: u16,
    },
}

impl ClusterNode {
    /// Its name, which no other node of the cluster has: `filter-year-0` a replica, `groups.1` a shard.
    pub fn name(&self) -> String {
        match self {
            ClusterNode::Query => "query-node".to_owned(),
            ClusterNode::Results => "results-node".to_owned(),
            ClusterNode::Replica { stage, index } => format!("{stage}-{index}"),
            ClusterNode::Shard { stage, index } => format!("{stage}.{index}"),
            ClusterNode::Gateway { index } => format!("gateway-{index}"),
            ClusterNode::Monitor { index } => format!("monitor-{index}"),
        }
    }

    /// The arguments of the `coffee` command that make a process this node.
    pub fn arguments(&self) -> Vec<String> {
        let worker = |stage: &str, flag: &str, index: &u16| {
            vec!["node".to_owned(), stage.to_owned(), flag.to_owned(), index.to_string()]
        };
        let numbered = |command: &str, index: &u16| vec![command.to_owned(), "--index".to_owned(), index.to_string()];
        match self {
            ClusterNode::Query => vec!["query-node".to_owned()],
            ClusterNode::Results => vec!["results-node".to_owned()],
            ClusterNode::Replica { stage, index } => worker(stage, "--replica", index),
            ClusterNode::Shard { stage, index } => worker(stage, "--shard", index),
            ClusterNode::Gateway { index } => numbered("gateway", index),
            ClusterNode::Monitor { index } => numbered("monitor", index),
        }
    }

    /// Whether its state folder has what its next life needs: its state, or at least in what work it has died.
    pub fn keeps_state(&self) -> bool {
        !matches!(self, ClusterNode::Monitor { .. })
    }
}

/// A stage's nodes would be called like others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no stage of a cluster can be called {0:?}: other processes bear that name")]
pub struct RosterError(pub String);

/// The nodes of a cluster but for monitors: one query node and results node, a worker for each replica and shard, and so many gateways.
///
/// # Errors
/// Where two nodes would have one name.
pub fn roster(topology: &Topology, gateways: u16) -> Result<Vec<ClusterNode>, RosterError> {
    let mut nodes = vec![ClusterNode::Query, ClusterNode::Results];
    let workers = (0..).zip(topology.stages()).filter(|(at, stage)| !stage.hosted && !topology.has_sinks(*at));
    for (_, stage) in workers {
        let name = || stage.name.clone();
        if TAKEN.contains(&stage.name.as_str()) {
            return Err(RosterError(name()));
        }
        match stage.role {
            Role::Stateful { shards } => {
                nodes.extend((0..shards).map(|index| ClusterNode::Shard { stage: name(), index }));
            }
            Role::Stateless { replicas } => {
                nodes.extend((0..replicas).map(|index| ClusterNode::Replica { stage: name(), index }));
            }
        }
    }
    nodes.extend((0..gateways).map(|index| ClusterNode::Gateway { index }));
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use coffee_core::{
        plan::Placement,
        sales::{fused, sales_plan, staged},
    };

    use super::*;

    fn names(placement: &Placement) -> Result<Vec<String>, RosterError> {
        let topology = Topology::new(Arc::new(sales_plan().unwrap().plan), placement).unwrap();
        Ok(roster(&topology, 2)?.iter().map(ClusterNode::name).collect())
    }

    #[test]
    fn hosted_stages_and_those_of_the_results_node_have_none_of_their_own() {
        let expected =
            "query-node results-node groups.0 groups.1 tops.0 store-names.0 names.0 names.1 gateway-0 gateway-1";
        assert_eq!(names(&fused().unwrap()).unwrap().join(" "), expected);
    }

    #[test]
    fn each_replica_and_shard_has_a_name_of_its_own() {
        let mut placement = staged().unwrap();
        placement.set_replicas(None, 3).unwrap();
        let names = names(&placement).unwrap();
        assert!(["filter-year-2", "aggregate-tpv.1"].iter().all(|name| names.contains(&(*name).to_owned())));
        assert!(!names.iter().any(|name| name.starts_with("results.")));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn names_that_others_bear_are_refused() {
        let mut placement = fused().unwrap();
        placement.stages[2].name = "client".to_owned();
        assert_eq!(names(&placement), Err(RosterError("client".to_owned())));
    }

    #[test]
    fn arguments_say_which_node() {
        let shard = ClusterNode::Shard { stage: "groups".into(), index: 1 };
        assert_eq!(shard.arguments(), ["node", "groups", "--shard", "1"]);
        assert!(shard.keeps_state() && !ClusterNode::Monitor { index: 0 }.keeps_state());
    }
}
