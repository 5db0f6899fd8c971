//! One way to stop everything: seen at once by whoever waits.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    /// Not triggered: the receivers wait for the end of this.
    Going { _sender: Sender<()> },
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
        Stop { state: Arc::new(Mutex::new(State::Going { _sender: sender })), receiver }
    }

    /// Wakes everyone who waits, now and later.
    pub fn trigger(&self) {
        let mut state = self.lock();
        if let State::Going { .. } = *state {
            *state = State::Since(Instant::now());
        }
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
}
