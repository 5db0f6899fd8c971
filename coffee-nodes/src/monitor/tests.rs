//! Elections over a network that loses, repeats and reorders, among monitors that die, stand still and start again; and what the
//! leader finds of the nodes.

use std::{collections::BTreeMap, time::Duration};

use super::*;

const TICK: Duration = Duration::from_millis(100);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

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

const SILENCE: Duration = Duration::from_secs(5);

fn beat(life: u64, phase: Phase) -> Beat {
    Beat { name: "groups.0".into(), life, phase, stalled: 0 }
}

fn seat(life: u64, state: SeatState, since_ms: u64) -> Seat {
    Seat { name: "groups.0".into(), life, state, since_ms }
}

fn start(life: u64) -> Vec<Finding> {
    vec![Finding::Order(Order::Start { name: "groups.0".into(), life })]
}

fn kill(life: u64) -> Vec<Finding> {
    vec![Finding::Order(Order::Kill { name: "groups.0".into(), life })]
}

#[test]
fn who_has_ended_is_started_again_after_a_pause_until_it_is() {
    let mut watch = Watch::new(SILENCE);
    let ended = |early| SeatState::Ended(End { early, was_ready: true });
    watch.seat(&seat(7, ended(0), 20), ms(10_000));
    assert_eq!((watch.look(ms(10_000)), watch.due(ms(10_000))), (vec![], Some(ms(10_080))));
    assert_eq!((watch.look(ms(10_080)), watch.look(ms(11_000))), (start(7), start(7)), "an order may be lost");
    watch.seat(&seat(8, SeatState::Running, 0), ms(11_000));
    assert_eq!((watch.look(ms(11_000)), watch.due(ms(11_000))), (vec![], None));
    // A crash loop is left more and more time.
    watch.seat(&seat(8, ended(4), 0), ms(20_000));
    assert_eq!((watch.look(ms(21_500)), watch.look(ms(21_600))), (vec![], start(8)));
    // It has waited long before this monitor came.
    let mut other = Watch::new(SILENCE);
    other.seat(&seat(8, ended(4), 60_000), ms(10));
    assert_eq!(other.look(ms(10)), start(8));
    let never = SeatState::Ended(End { early: 5, was_ready: false });
    other.seat(&seat(9, never, 0), ms(20));
    assert_eq!((other.look(ms(1_000_000)), other.due(ms(20))), (vec![], None), "given up");
}

#[test]
fn who_falls_silent_is_killed_and_who_is_slow_to_start_is_not() {
    let mut watch = Watch::new(SILENCE);
    watch.seat(&seat(7, SeatState::Running, 0), ms(1000));
    assert_eq!(watch.look(ms(30_900)), [], "slow to start");
    watch.beat(&beat(7, Phase::Starting), ms(30_900));
    assert_eq!((watch.look(ms(35_900)), watch.look(ms(35_901))), (vec![], kill(7)));
    watch.beat(&beat(7, Phase::Ready), ms(36_000));
    assert_eq!(watch.look(ms(41_000)), [], "it was only late");
    watch.seat(&seat(8, SeatState::Running, 0), ms(41_500));
    watch.beat(&beat(7, Phase::Ready), ms(41_600));
    assert_eq!(
        (watch.look(ms(71_000)), watch.look(ms(72_000))),
        (vec![], kill(8)),
        "an earlier life's is none of its own"
    );
    // One that has run for long when this monitor comes has only to be heard.
    let mut other = Watch::new(SILENCE);
    other.seat(&seat(8, SeatState::Running, 3_600_000), ms(100));
    assert_eq!((other.look(ms(5_000)), other.look(ms(5_200))), (vec![], kill(8)));
    let mut other = Watch::new(SILENCE);
    other.seat(&seat(8, SeatState::Running, 20_000), ms(100));
    assert_eq!((other.look(ms(10_000)), other.look(ms(10_200))), (vec![], kill(8)), "30 s from its start");
}

#[test]
fn without_an_agent_silence_is_reported_but_not_of_who_stops() {
    let mut watch = Watch::new(SILENCE);
    let silent = [Finding::Silent("groups.0".into())];
    watch.beat(&beat(7, Phase::Ready), ms(0));
    assert_eq!(watch.look(ms(5000)), []);
    assert_eq!(watch.look(ms(5100)), silent);
    assert_eq!((watch.look(ms(5200)), watch.look(ms(35_000))), (vec![], vec![]), "it is given time");
    assert_eq!(watch.look(ms(35_200)), silent);
    watch.beat(&beat(8, Phase::Ready), ms(36_000));
    watch.beat(&beat(8, Phase::Stopping), ms(37_000));
    assert_eq!(watch.look(ms(90_000)), []);
}
