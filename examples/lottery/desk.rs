//! What the server knows of one agency, whichever connection it comes by: whether it still sells, and what it is told.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The desk of one agency. Its sessions and its clerk share it.
pub struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// When it last said something that could be read, or was answered.
    heard: Instant,
    /// Requests that are being answered: it is the server that is slow then.
    in_hand: usize,
    ended: bool,
    winners: Option<Vec<u32>>,
    gone_home: bool,
}

impl Desk {
    /// The desk of an agency that is just heard of, or that sells no more already.
    pub fn new(ended: bool) -> Self {
        let state = State { heard: Instant::now(), in_hand: 0, ended, winners: None, gone_home: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Answers a request; meanwhile the agency is not silent.
    pub fn serve<T>(&self, answer: impl FnOnce() -> T) -> T {
        self.change(|state| state.in_hand += 1);
        let answer = answer();
        self.change(|state| {
            state.in_hand -= 1;
            state.heard = Instant::now();
        });
        answer
    }

    /// The agency has ended its bets, and the ledger knows it.
    pub fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// Waits until it has ended them: true. False: it was silent for too long, or the sale closes.
    pub fn wait_for_end(&self, silence: Duration, closing: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.ended {
            let until = if state.in_hand > 0 { closing } else { closing.min(state.heard + silence) };
            if Instant::now() >= until {
                return false;
            }
            self.changed.wait_until(&mut state, until);
        }
        true
    }

    /// The draw is made, and these are its winners.
    pub fn publish(&self, winners: Vec<u32>) {
        self.change(|state| state.winners = Some(winners));
    }

    /// Waits for its winners. None: there were none by the deadline.
    pub fn wait_for_winners(&self, deadline: Instant) -> Option<Vec<u32>> {
        let mut state = self.state.lock();
        self.changed.wait_while_until(&mut state, |state| state.winners.is_none(), deadline);
        state.winners.clone()
    }

    /// The agency says that it has its winners.
    pub fn go_home(&self) {
        self.change(|state| state.gone_home = true);
    }

    /// Waits until it has said so, or the deadline.
    pub fn wait_for_home(&self, deadline: Instant) {
        self.changed.wait_while_until(&mut self.state.lock(), |state| !state.gone_home, deadline);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }
}
