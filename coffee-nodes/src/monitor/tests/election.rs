//! Elections over a network that loses, repeats and reorders, among monitors that die, stand still and start again.

use std::{collections::BTreeMap, time::Duration};

use super::{super::*, ms};

const TICK: Duration = Duration::from_millis(100);

/// Monitors and what is on its way between them. The time is the same for all.
struct World {
    now: Duration,
    random: fastrand::Rng,
    /// None where it is dead.
    monitors: Vec<Option<Election>>,
    /// Until when each stands still.
    still: Vec<Duration>,
    /// When each ticks next.
    ticks: Vec<Duration>,
    /// By when it arrives, and a number: from, to, what.
    network: BTreeMap<(Duration, u64), (MonitorId, Say)>,
    sent: u64,
    /// Whether the network loses, repeats and delays.
    bad: bool,
}

impl World {
    fn new(seed: u64, count: u16) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let ticks = (0..count).map(|_| ms(random.u64(..100))).collect();
        let monitors = (0..count).map(|me| Some(Election::new(me, count, ms(0)))).collect();
        let still = vec![ms(0); count.into()];
        World { now: ms(0), random, monitors, still, ticks, network: BTreeMap::new(), sent: 0, bad: true }
    }

    fn count(&self) -> u16 {
        self.monitors.len() as u16
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += ms(5);
            self.deliver();
            for me in 0..self.count() {
                self.turn(me);
            }
        }
    }

    fn is_up(&self, me: u16) -> bool {
        self.monitors[usize::from(me)].is_some() && self.still[usize::from(me)] <= self.now
    }

    fn deliver(&mut self) {
        let later = self.network.split_off(&(self.now, u64::MAX));
        for ((_, number), (from, say)) in std::mem::replace(&mut self.network, later) {
            if self.is_up(say.to) {
                self.monitors[usize::from(say.to)].as_mut().unwrap().hear(from, say.vote, self.now);
            } else if self.monitors[usize::from(say.to)].is_some() {
                // Its socket keeps it.
                self.network.insert((self.still[usize::from(say.to)], number), (from, say));
            }
        }
    }

    fn turn(&mut self, me: u16) {
        let at = usize::from(me);
        if !self.is_up(me) {
            return;
        }
        let election = self.monitors[at].as_mut().unwrap();
        if self.ticks[at] <= self.now {
            self.ticks[at] = self.now + TICK;
            election.tick(self.now);
        }
        for say in election.said() {
            let copies = if self.bad { [0, 0, 1, 1, 1, 1, 1, 2][self.random.usize(..8)] } else { 1 };
            for _ in 0..copies {
                let delay = if self.bad { ms(self.random.u64(..300)) } else { ms(self.random.u64(..5)) };
                self.sent += 1;
                self.network.insert((self.now + delay, self.sent), (me, say));
            }
        }
    }

    /// Something happens to somebody.
    fn disturb(&mut self) {
        let (me, count) = (self.random.u16(..self.count()), self.count());
        match self.random.u8(..3) {
            0 => self.monitors[usize::from(me)] = None,
            1 => self.still[usize::from(me)] = self.now + ms(self.random.u64(..4000)),
            _ => self.monitors[usize::from(me)] = Some(Election::new(me, count, self.now)),
        }
    }

    /// Whom all that live take for the leader, where they agree.
    fn leader(&self) -> Option<u16> {
        let mut leaders = self.monitors.iter().flatten().map(Election::leader);
        let first = leaders.next()??;
        leaders.all(|leader| leader == Some(first)).then_some(first)
    }

    fn leading(&self) -> usize {
        self.monitors.iter().flatten().filter(|election| election.leads()).count()
    }
}

#[test]
fn at_quiet_times_all_agree_on_the_highest_that_lives() {
    for seed in 0..500 {
        let mut world = World::new(seed, 1 + (seed % 5) as u16);
        for _ in 0..10 {
            let time = ms(world.random.u64(..1500));
            world.run(time);
            world.disturb();
        }
        world.run(ms(4000)); // who stands still goes on
        world.bad = false;
        world.run(ms(2500));
        let highest = (0..world.count()).rev().find(|me| world.is_up(*me));
        assert_eq!(world.leader(), highest, "seed {seed}");
        for _ in 0..20 {
            world.run(ms(100));
            assert_eq!((world.leader(), world.leading()), (highest, usize::from(highest.is_some())), "seed {seed}");
        }
    }
}

#[test]
fn a_leader_that_dies_is_replaced_within_two_seconds() {
    for seed in 0..200 {
        let mut world = World::new(seed, 4);
        world.bad = false;
        world.run(ms(1000));
        for dead in [3, 2, 1] {
            assert_eq!(world.leader(), Some(dead), "seed {seed}");
            world.monitors[usize::from(dead)] = None;
            world.run(ms(2000));
        }
        assert_eq!(world.leader(), Some(0), "seed {seed}: one alone leads");
    }
}

#[test]
fn most_datagrams_may_be_lost_and_the_leader_stays() {
    let mut world = World::new(7, 3);
    world.bad = false;
    world.run(ms(1000));
    world.bad = true; // each fourth is lost
    for _ in 0..100 {
        world.run(ms(100));
        assert_eq!(world.leader(), Some(2));
    }
}
