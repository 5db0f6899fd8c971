//! One way to stop everything: seen at once by whoever waits.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// A stop that can be triggered once, from any thread, and waited for together with other channels. Clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    state: Arc<Mutex<State>>,
    receiver: Receiver<()>,
}

#[derive(Debug)]
enum State {
    /// Not triggered: the receivers wait for the end of the sender. The parts are triggered with it.
    Going { _sender: Sender<()>, parts: Vec<Weak<Mutex<State>>> },
    /// Triggered at that instant.
    Since(Instant),
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Not triggered.
    pub fn new() -> Self {
        let (sender, receiver) = bounded(0);
        Stop { state: Arc::new(Mutex::new(State::Going { _sender: sender, parts: Vec::new() })), receiver }
    }

    /// The stop of a part of what this one stops: triggered with it, or alone.
    pub fn part(&self) -> Stop {
        let part = Stop::new();
        match &mut *self.lock() {
            State::Going { parts, .. } => {
                parts.retain(|part| part.strong_count() > 0);
                parts.push(Arc::downgrade(&part.state));
            }
            State::Since(instant) => trigger(&part.state, *instant),
        }
        part
    }

    /// Wakes everyone who waits, now and later.
    pub fn trigger(&self) {
        trigger(&self.state, Instant::now());
    }

    /// Whether it was triggered.
    pub fn is_triggered(&self) -> bool {
        self.since().is_some()
    }

    /// When it was triggered first: what is granted to those who stop counts from then on, so that it does not add up.
    pub fn since(&self) -> Option<Instant> {
        match *self.lock() {
            State::Going { .. } => None,
            State::Since(instant) => Some(instant),
        }
    }

    /// When `grace` is over, for those who were asked to stop; counted from now where nobody was.
    pub fn deadline(&self, grace: Duration) -> Instant {
        self.since().unwrap_or_else(Instant::now) + grace
    }

    /// Waits until it is triggered, for at most `time`; whether it is.
    pub fn wait(&self, time: Duration) -> bool {
        self.receiver.recv_timeout(time) == Err(RecvTimeoutError::Disconnected)
    }

    /// Disconnected once triggered; never holds a message.
    pub fn receiver(&self) -> &Receiver<()> {
        &self.receiver
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Triggers a stop and its parts. Locks go from the whole to the part, so they never wait in a circle.
fn trigger(state: &Mutex<State>, now: Instant) {
    let mut state = lock(state);
    if let State::Going { parts, .. } = &*state {
        parts.iter().filter_map(Weak::upgrade).for_each(|part| trigger(&part, now));
        *state = State::Since(now);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_trigger_counts() {
        let stop = Stop::new();
        let shared = stop.clone();
        assert!(!stop.wait(Duration::ZERO) && stop.since().is_none());
        let before = Instant::now();
        shared.trigger();
        let since = stop.since().unwrap();
        assert!(since >= before && since <= Instant::now());
        stop.trigger();
        assert!(stop.wait(Duration::from_secs(20)) && stop.is_triggered());
        assert_eq!(shared.since(), Some(since));
        assert_eq!(shared.deadline(Duration::from_secs(1)), since + Duration::from_secs(1));
    }
    #[test]
    fn a_part_stops_alone_or_with_the_whole() {
        let whole = Stop::new();
        let (first, second) = (whole.part(), whole.part());
        first.trigger();
        assert!(first.is_triggered() && !whole.is_triggered() && !second.is_triggered());
        let within = second.part();
        whole.trigger();
        assert!(within.wait(Duration::from_secs(20)));
        assert_eq!(within.since(), whole.since());
        assert_eq!(whole.part().since(), whole.since(), "also one that is made too late");
    }
}
