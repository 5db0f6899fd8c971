//! What strangers can cause as often as they like is said once in a while, with how often it was.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often it is said.
const PAUSE: Duration = Duration::from_secs(1);

/// One thing that may happen too often to be told each time.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// It has happened: logged where it is to be told now.
    pub fn warn(&self, text: impl FnOnce() -> String) {
        match self.happened() {
            None => {}
            Some(0) => log::warn!("{}", text()),
            Some(untold) => log::warn!("{} ({untold} others before)", text()),
        }
    }

    /// `Some` where it is to be told now, with how often it was not since the last time.
    fn happened(&self) -> Option<u64> {
        let mut state = self.0.lock();
        if state.told.is_some_and(|told| told.elapsed() < PAUSE) {
            state.untold += 1;
            return None;
        }
        state.told = Some(Instant::now());
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_and_then_how_often_it_was_not() {
        let seldom = Seldom::default();
        assert_eq!(seldom.happened(), Some(0));
        assert!((0..5).all(|_| seldom.happened().is_none()));
        seldom.0.lock().told = None;
        assert_eq!(seldom.happened(), Some(5));
    }
}
