//! Monitors, an agent and its nodes over a network that loses, repeats and reorders: what dies or hangs comes back, never beside
//! its earlier life, and who is heard is not killed.

use std::{collections::BTreeMap, time::Duration};

use super::{super::*, ms};

const MONITORS: u16 = 3;
const NODES: usize = 4;
const SILENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Lives,
    Hangs,
    Ended,
}

/// A node as the agent has it; beside it the process itself, whose end the agent waits for.
struct Node {
    life: u64,
    state: State,
    since: Duration,
    /// Killed, and not waited for yet: until then nothing is started.
    dying: Option<Duration>,
}

#[derive(Clone, Copy)]
enum To {
    Monitor(u16),
    Agent,
}

struct World {
    now: Duration,
    random: fastrand::Rng,
    monitors: Vec<Option<Member>>,
    nodes: Vec<Node>,
    network: BTreeMap<(Duration, u64), (Vec<u8>, u64)>,
    addresses: BTreeMap<u64, To>,
    sent: u64,
    bad: bool,
    key: Key,
    /// Nodes that were killed though they lived.
    wronged: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let node = |life| Node { life, state: State::Lives, since: ms(0), dying: None };
        let mut world = World {
            now: ms(0),
            random: fastrand::Rng::with_seed(seed),
            monitors: (0..MONITORS).map(|_| None).collect(),
            nodes: (1..=NODES as u64).map(node).collect(),
            network: BTreeMap::new(),
            addresses: BTreeMap::new(),
            sent: 0,
            bad: true,
            key: Key::random().unwrap(),
            wronged: 0,
        };
        (0..MONITORS).for_each(|me| world.start_monitor(me));
        world
    }

    fn start_monitor(&mut self, me: u16) {
        self.monitors[usize::from(me)] = Some(Member::new(me, MONITORS, SILENCE, self.now));
    }

    fn send(&mut self, to: To, bytes: &[u8]) {
        let copies = match self.random.u8(..16) {
            0 if self.bad => 0,
            1 | 2 if self.bad => 2,
            _ => 1,
        };
        for _ in 0..copies {
            self.sent += 1;
            let delay = ms(self.random.u64(..if self.bad { 300 } else { 5 }));
            self.addresses.insert(self.sent, to);
            self.network.insert((self.now + delay, self.sent), (bytes.to_vec(), self.sent));
        }
    }

    fn send_all(&mut self, bytes: &[u8]) {
        (0..MONITORS).for_each(|monitor| self.send(To::Monitor(monitor), bytes));
    }

    fn report(&mut self) {
        let seat = |(index, node): (usize, &Node)| {
            let ended = SeatState::Ended(End { early: 0, was_ready: true });
            let state = if node.state == State::Ended { ended } else { SeatState::Running { ready: true } };
            let since_ms = (self.now - node.since).as_millis() as u64;
            Seat { name: index.to_string(), life: node.life, state, since_ms }
        };
        let seats: Vec<Seat> = self.nodes.iter().enumerate().map(seat).collect();
        report_datagrams(self.key, &seats).iter().for_each(|bytes| self.send_all(bytes));
    }

    fn beat(&mut self) {
        for index in 0..NODES {
            let Node { life, state, .. } = self.nodes[index];
            if state == State::Lives {
                let beat = Beat { name: index.to_string(), life, phase: Phase::Ready, stalled: 0 };
                let bytes = encode(self.key, &Datagram::Beat(beat)).unwrap();
                self.send_all(&bytes);
            }
        }
    }

    fn obey(&mut self, order: &Order) {
        let (Order::Kill { name, life } | Order::Start { name, life }) = order;
        let (now, life_after) = (self.now, self.sent + 1000);
        let node = &mut self.nodes[name.parse::<usize>().unwrap()];
        if node.life != *life {
            return;
        }
        match (order, node.state) {
            (Order::Kill { .. }, State::Lives | State::Hangs) if node.dying.is_none() => {
                self.wronged += u32::from(node.state == State::Lives);
                node.dying = Some(now + ms(30));
            }
            (Order::Start { .. }, State::Ended) => {
                *node = Node { life: life_after, state: State::Lives, since: now, dying: None };
                self.report();
            }
            _ => {}
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += ms(10);
            let later = self.network.split_off(&(self.now, u64::MAX));
            for (_, (bytes, number)) in std::mem::replace(&mut self.network, later) {
                let datagram = decode(self.key, &bytes).unwrap();
                match (self.addresses.remove(&number).unwrap(), datagram) {
                    (To::Monitor(me), datagram) => {
                        if let Some(member) = &mut self.monitors[usize::from(me)] {
                            member.hear(&datagram, self.now);
                        }
                    }
                    (To::Agent, Datagram::Order(order)) => self.obey(&order),
                    (To::Agent, _) => {}
                }
            }
            self.reap();
            let elapsed = self.now.as_millis();
            if elapsed.is_multiple_of(1000) {
                self.beat();
                self.report();
            }
            for me in (0..MONITORS).filter(|_| elapsed.is_multiple_of(100)) {
                self.look(me);
            }
        }
    }

    fn reap(&mut self) {
        for index in 0..NODES {
            let node = &mut self.nodes[index];
            if node.dying.is_some_and(|end| end <= self.now) {
                (node.state, node.since, node.dying) = (State::Ended, self.now, None);
                self.report();
            }
        }
    }

    fn look(&mut self, me: u16) {
        let Some(member) = &mut self.monitors[usize::from(me)] else { return };
        member.look(self.now);
        member.tick(self.now);
        for act in member.acts() {
            match act {
                Act::Tell(other, datagram) => self.send(To::Monitor(other), &encode(self.key, &datagram).unwrap()),
                Act::TellAgent(datagram) => self.send(To::Agent, &encode(self.key, &datagram).unwrap()),
                Act::Silent(node) => panic!("{node} has an agent"),
            }
        }
    }

    fn disturb(&mut self) {
        let (now, index) = (self.now, self.random.usize(..NODES));
        let node = &mut self.nodes[index];
        match self.random.u8(..4) {
            0 if node.state != State::Ended && node.dying.is_none() => node.dying = Some(now),
            1 if node.state == State::Lives => node.state = State::Hangs,
            2 => {
                let me = self.random.u16(..MONITORS);
                self.monitors[usize::from(me)] = None;
            }
            _ => {
                let me = self.random.u16(..MONITORS);
                self.start_monitor(me);
            }
        }
    }
}

#[test]
fn whatever_dies_or_hangs_comes_back() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        for _ in 0..20 {
            let time = ms(world.random.u64(..2000));
            world.run(time);
            world.disturb();
        }
        // `up` sees to the monitors.
        for me in 0..MONITORS {
            if world.monitors[usize::from(me)].is_none() {
                world.start_monitor(me);
            }
        }
        world.bad = false;
        world.run(ms(12_000));
        assert!(world.nodes.iter().all(|node| node.state == State::Lives), "seed {seed}");
        let lives: Vec<u64> = world.nodes.iter().map(|node| node.life).collect();
        world.run(ms(60_000));
        assert_eq!(world.nodes.iter().map(|node| node.life).collect::<Vec<_>>(), lives, "seed {seed}: all is quiet");
        assert_eq!(world.wronged, 0, "seed {seed}");
    }
}

#[test]
fn who_is_heard_over_a_bad_network_is_not_killed() {
    let mut world = World::new(1);
    world.run(ms(600_000));
    assert_eq!(world.wronged, 0);
}
