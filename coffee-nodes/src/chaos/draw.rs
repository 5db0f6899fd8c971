//! Who is next.

use coffee_core::hash::fnv1a;

use crate::up::{NodeLine, NodeState};

/// Draws one of the nodes that live and may be drawn; `None` where there is none. The same seed, turn and nodes give the same
/// one. Each node has a lot of its own at each turn and the lowest wins: so nodes that are away do not change who is drawn of
/// the others.
pub fn draw(seed: u64, turn: u64, nodes: &[NodeLine], may: impl Fn(&NodeLine) -> bool) -> Option<&NodeLine> {
    let lives = |node: &NodeLine| node.pid.is_some() && matches!(node.state, NodeState::Starting | NodeState::Ready);
    let candidates = nodes.iter().filter(|node| lives(node) && may(node));
    candidates.min_by_key(|node| (lot(seed, turn, &node.name), &node.name))
}

/// Which of so many things is done at a turn.
pub(super) fn draw_action(seed: u64, turn: u64, actions: usize) -> usize {
    usize::try_from(lot(seed, turn, "")).unwrap_or_default() % actions.max(1)
}

/// A seed, for who doesn't care which.
pub fn random_seed() -> u64 {
    fastrand::u64(..)
}

fn lot(seed: u64, turn: u64, name: &str) -> u64 {
    let bytes = [name.as_bytes(), &seed.to_le_bytes(), &turn.to_le_bytes()].concat();
    // FNV alone leaves what differs little close together.
    fastrand::Rng::with_seed(fnv1a(&bytes)).u64(..)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, num::NonZeroU32};

    use super::*;
    use crate::up::NodeRole;

    fn node(name: &str, pid: u32, state: NodeState) -> NodeLine {
        NodeLine { name: name.to_owned(), pid: NonZeroU32::new(pid), state, role: NodeRole::Node }
    }

    fn nodes() -> Vec<NodeLine> {
        let names = ["groups.0", "groups.1", "groups.2", "query-node", "gateway-0"];
        (1..).zip(names).map(|(pid, name)| node(name, pid, NodeState::Ready)).collect()
    }

    fn drawn(seed: u64, nodes: &[NodeLine]) -> Vec<&str> {
        (0..1000).map(|turn| draw(seed, turn, nodes, |_| true).unwrap().name.as_str()).collect()
    }

    #[test]
    fn the_seed_decides_and_the_order_of_the_list_does_not() {
        let (nodes, mut reversed) = (nodes(), nodes());
        reversed.reverse();
        assert_eq!(drawn(7, &nodes), drawn(7, &reversed));
        assert_ne!(drawn(7, &nodes), drawn(8, &nodes));
    }

    #[test]
    fn all_are_drawn_alike() {
        let (nodes, mut counts) = (nodes(), BTreeMap::new());
        for seed in 0..10 {
            drawn(seed, &nodes).into_iter().for_each(|name| *counts.entry(name.to_owned()).or_insert(0) += 1);
        }
        assert!(counts.len() == 5 && counts.values().all(|count| (1800..2200).contains(count)), "{counts:?}");
    }

    #[test]
    fn who_is_away_changes_nothing_for_the_others() {
        let (all, without) = (nodes(), nodes().split_off(1));
        let pairs = drawn(3, &all).into_iter().zip(drawn(3, &without)).collect::<Vec<_>>();
        assert!(pairs.iter().all(|(with, without)| with == without || *with == "groups.0"));
        assert!(pairs.iter().any(|(with, _)| *with == "groups.0"));
    }

    #[test]
    fn only_those_are_drawn_that_live_and_may_be() {
        let nodes = [
            node("dead", 0, NodeState::Dead),
            node("stopped", 0, NodeState::Stopped),
            node("dying", 4, NodeState::Dead),
            node("no process", 0, NodeState::Ready),
            node("spared", 5, NodeState::Ready),
        ];
        assert_eq!(draw(1, 1, &nodes, |node| node.name != "spared"), None);
        assert_eq!(draw(1, 1, &nodes, |_| true).unwrap().name, "spared");
        assert!(draw(1, 1, &[node("new", 6, NodeState::Starting)], |_| true).is_some());
    }
}
