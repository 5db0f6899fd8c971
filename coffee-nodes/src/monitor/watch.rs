//! Which nodes are dead, and what is to be done about it. Every monitor watches, so that each can lead at once; the leader acts.

use std::{collections::BTreeMap, time::Duration};

use super::{Beat, Order, Phase, Seat, SeatState, policy};

/// A node that has never been heard nor was ready has so long from its start, on however slow a machine.
const START: Duration = Duration::from_secs(30);

/// How long a node without an agent that was reported silent has until it is reported again.
const REPORT_AGAIN: Duration = Duration::from_secs(30);

/// What the leader finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// To be said to the agent, and again at each look, until it is done.
    Order(Order),
    /// A node that no agent has is silent, and had not said that it stops.
    Silent(String),
}

/// What is known of the nodes. Times count from any beginning, the same for one monitor.
#[derive(Debug)]
pub struct Watch {
    silence: Duration,
    nodes: BTreeMap<String, Node>,
}

#[derive(Debug)]
struct Node {
    life: u64,
    /// When this life was first heard of here.
    known: Duration,
    beat: Option<Heard>,
    seat: Option<Kept>,
    reported: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Duration,
    phase: Phase,
}

/// What the agent has.
#[derive(Clone, Copy, Debug)]
struct Kept {
    state: SeatState,
    /// When it began to be so. Before the beginning of the monitor's time counts as that.
    since: Duration,
    /// How long it had been so by then, beyond that.
    before: Duration,
}

impl Node {
    fn new(life: u64, now: Duration) -> Self {
        Node { life, known: now, beat: None, seat: None, reported: None }
    }
}

impl Watch {
    /// Knows no node yet. One that has been heard is silent when it is not for longer than `silence`.
    pub fn new(silence: Duration) -> Self {
        Watch { silence, nodes: BTreeMap::new() }
    }

    /// A node says that it lives.
    pub fn beat(&mut self, beat: &Beat, now: Duration) {
        let node = self.nodes.entry(beat.name.clone()).or_insert_with(|| Node::new(beat.life, now));
        if node.life != beat.life {
            if node.seat.is_some() {
                return; // the agent says which life there is
            }
            *node = Node::new(beat.life, now);
        }
        node.beat = Some(Heard { at: now, phase: beat.phase });
        node.reported = None;
    }

    /// The agent says what it has.
    pub fn seat(&mut self, seat: &Seat, now: Duration) {
        let node = self.nodes.entry(seat.name.clone()).or_insert_with(|| Node::new(seat.life, now));
        if node.life != seat.life {
            *node = Node::new(seat.life, now);
        }
        let before = seat.since().saturating_sub(now);
        node.seat = Some(Kept { state: seat.state, since: now.saturating_sub(seat.since()), before });
    }

    /// What is to be done now, if this monitor leads.
    pub fn look(&mut self, now: Duration) -> Vec<Finding> {
        let silence = self.silence;
        self.nodes.iter_mut().filter_map(|(name, node)| node.look(name, silence, now)).collect()
    }

    /// When a look finds something that it does not find now, if nothing is heard until then, as far as ended nodes go.
    pub fn due(&self, now: Duration) -> Option<Duration> {
        self.nodes.values().filter_map(|node| node.seat?.start()).filter(|start| *start > now).min()
    }
}

impl Node {
    fn look(&mut self, name: &str, silence: Duration, now: Duration) -> Option<Finding> {
        match self.seat {
            Some(Kept { state: SeatState::Ended(_), .. }) => {
                let start = self.seat?.start()?;
                (now >= start).then(|| Finding::Order(Order::Start { name: name.to_owned(), life: self.life }))
            }
            Some(Kept { state: SeatState::Running { ready }, since, before }) => {
                let limit = match self.beat {
                    Some(heard) => heard.at + silence,
                    // One that has begun before this monitor listened has only to be heard.
                    None if ready => self.known + silence,
                    None => (self.known + silence).max((since + START).saturating_sub(before)),
                };
                (now > limit).then(|| Finding::Order(Order::Kill { name: name.to_owned(), life: self.life }))
            }
            None => {
                let Heard { at, phase } = self.beat?;
                let again = self.reported.is_none_or(|reported| now > reported + REPORT_AGAIN);
                let silent = phase != Phase::Stopping && now > at + silence && again;
                silent.then(|| {
                    self.reported = Some(now);
                    Finding::Silent(name.to_owned())
                })
            }
        }
    }
}

impl Kept {
    /// When it is to be started again.
    fn start(&self) -> Option<Duration> {
        match &self.state {
            SeatState::Running { .. } => None,
            SeatState::Ended(end) => Some((self.since + policy::after(end).pause()?).saturating_sub(self.before)),
        }
    }
}
