//! Chaos from the screen: at each turn a node is drawn by a seed, to be killed by an order.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use coffee_nodes::{
    chaos::{draw, random_seed},
    statistics::NodeView,
    up::{NodeLine, NodeRole, NodeState},
};

use super::numbers::span;

/// The time between two turns, unless another is asked for.
pub const EVERY: Duration = Duration::from_secs(5);

/// Chaos that may be on.
#[derive(Clone, Debug)]
pub struct Chaos {
    seed: u64,
    every: Duration,
    turn: u64,
    /// When the next node is struck, while it is on.
    due: Option<Instant>,
}

impl Default for Chaos {
    fn default() -> Self {
        Chaos::new(EVERY, random_seed())
    }
}

impl Chaos {
    /// One that is off.
    pub fn new(every: Duration, seed: u64) -> Self {
        Chaos { seed, every, turn: 0, due: None }
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.due.is_some()
    }

    /// The time between two turns.
    pub fn every(&self) -> String {
        span(u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX))
    }

    /// How many turns there were.
    pub fn turns(&self) -> u64 {
        self.turn
    }

    /// Begins: the first node is struck after one span.
    pub fn begin(&mut self, now: Instant) {
        self.due = now.checked_add(self.every);
    }

    /// Ends.
    pub fn end(&mut self) {
        self.due = None;
    }

    /// Who is struck now, if anybody is: its name and life.
    pub fn turn(&mut self, nodes: &[NodeView], now: Instant) -> Option<(String, u64)> {
        let due = self.due.filter(|due| *due <= now)?;
        self.due = due.max(now).checked_add(self.every);
        self.turn += 1;
        let lines: Vec<NodeLine> = nodes.iter().map(line).collect();
        let drawn = draw(self.seed, self.turn, &lines, |node| node.role == NodeRole::Node)?;
        let node = nodes.iter().find(|node| node.name() == drawn.name)?;
        Some((drawn.name.clone(), node.identity.life))
    }
}

/// As those who draw know nodes.
fn line(node: &NodeView) -> NodeLine {
    let (name, pid) = (node.name().to_owned(), NonZeroU32::new(node.identity.pid));
    let state = if node.alive { NodeState::Ready } else { NodeState::Dead };
    NodeLine { name, pid, state, role: if node.takes_orders() { NodeRole::Node } else { NodeRole::Monitor } }
}
