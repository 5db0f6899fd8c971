//! What the leader finds of the nodes.

use std::time::Duration;

use super::{super::*, ms};

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

const STARTING: SeatState = SeatState::Running { ready: false };

#[test]
fn who_has_ended_is_started_again_after_a_pause_until_it_is() {
    let mut watch = Watch::new(SILENCE);
    let ended = |early| SeatState::Ended(End { early, was_ready: true });
    watch.seat(&seat(7, ended(0), 20), ms(10_000));
    assert_eq!((watch.look(ms(10_000)), watch.due(ms(10_000))), (vec![], Some(ms(10_080))));
    assert_eq!((watch.look(ms(10_080)), watch.look(ms(11_000))), (start(7), start(7)), "an order may be lost");
    watch.seat(&seat(8, STARTING, 0), ms(11_000));
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
    watch.seat(&seat(7, STARTING, 0), ms(1000));
    assert_eq!(watch.look(ms(30_900)), [], "slow to start");
    watch.beat(&beat(7, Phase::Starting), ms(30_900));
    assert_eq!((watch.look(ms(35_900)), watch.look(ms(35_901))), (vec![], kill(7)));
    watch.beat(&beat(7, Phase::Ready), ms(36_000));
    assert_eq!(watch.look(ms(41_000)), [], "it was only late");
    watch.seat(&seat(8, STARTING, 0), ms(41_500));
    watch.beat(&beat(7, Phase::Ready), ms(41_600));
    assert_eq!(
        (watch.look(ms(71_000)), watch.look(ms(72_000))),
        (vec![], kill(8)),
        "an earlier life's is none of its own"
    );
    // One that has run for long when this monitor comes has only to be heard.
    let mut other = Watch::new(SILENCE);
    other.seat(&seat(8, STARTING, 3_600_000), ms(100));
    assert_eq!((other.look(ms(5_000)), other.look(ms(5_200))), (vec![], kill(8)));
    let mut other = Watch::new(SILENCE);
    other.seat(&seat(8, SeatState::Running { ready: true }, 1_000), ms(100));
    assert_eq!(
        (other.look(ms(5_000)), other.look(ms(5_200))),
        (vec![], kill(8)),
        "it was ready, so it had begun to beat"
    );
    let mut other = Watch::new(SILENCE);
    other.seat(&seat(8, STARTING, 20_000), ms(100));
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
