//! A node whose disk is full, or fails for a while, lets go of all that it has in hand, waits, and begins anew from what it
//! has kept: within its process, as if it had died and been started again. So there is one way back for both (invariant 11).
//!
//! ```text
//! life --> error of the disk --> all of the life is dropped: what it had not acked comes again
//!  ^                                  |
//!  '------------- pause <-------------'      meanwhile `hold`, a thread, tells the query node
//! ```

use std::{
    error::Error,
    iter, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use coffee_mom::Broker;
use parking_lot::Mutex;

use crate::{
    Stop,
    cluster::{Names, QueryClient},
    store::is_passing,
    threads::Threads,
};

/// How often the query node hears that a node is held: a few times in the span for which it believes it.
const REFRESH: Duration = Duration::from_secs(4);

/// How long the telling of it may take: a stop waits as long.
const CALL: Duration = Duration::from_secs(1);

/// A life that has lasted so long goes on: the hold before it is over.
const STEADY: Duration = Duration::from_secs(10);

/// How long a node waits for room on its disk before it tries again: each time twice as long as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPause {
    /// The first time.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Default for RetryPause {
    /// 100 ms to 5 s.
    fn default() -> Self {
        RetryPause { first: Duration::from_millis(100), longest: Duration::from_secs(5) }
    }
}

impl RetryPause {
    /// The pause after so many failures in a row, the last not counted.
    pub(crate) fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(self.longest)
    }
}

/// A node that its disk may hold up.
pub(crate) struct Holder<'a> {
    pub broker: &'a Arc<dyn Broker>,
    pub names: &'a Names,
    /// What it is called in reports.
    pub node: &'a str,
    pub pause: RetryPause,
    pub stop: &'a Stop,
}

impl Holder<'_> {
    /// Runs lives of the node, each with a stop that is a part of the node's, until one ends by itself or by an error that
    /// waiting does not mend, which triggers the node's stop. A life calls what it is given once it works; `ready` is called
    /// the first time. Before that an error of the disk is as all others: nobody relies on the node yet.
    ///
    /// # Errors
    /// The last life's.
    pub fn lives<E: Error + 'static>(
        &self,
        ready: impl FnOnce(),
        mut life: impl FnMut(&Stop, &mut dyn FnMut()) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut ready = Some(ready);
        let mut hold: Option<Hold> = None;
        loop {
            let ended = life(&self.stop.part(), &mut || {
                if let Some(ready) = ready.take() {
                    ready();
                }
            });
            let error = match ended {
                Err(error) if ready.is_none() && is_passing(&error) && !self.stop.is_triggered() => error,
                Err(error) if hold.is_some() && is_passing(&error) => {
                    log::info!("{}: stopped while it was held: {error}", self.node);
                    return Ok(());
                }
                ended => {
                    if ended.is_err() {
                        self.stop.trigger();
                    }
                    return ended;
                }
            };
            let reason = in_full(&error);
            drop(error);
            hold = hold.filter(|hold| !hold.is_over());
            let pause = hold.get_or_insert_with(|| Hold::begin(self, &reason)).pause(self.pause, reason);
            if self.stop.wait(pause) {
                return Ok(());
            }
            hold.iter().for_each(Hold::try_again);
        }
    }
}

/// A time in which a node is held up. Dropping it waits for a call at most.
struct Hold {
    state: Arc<Mutex<State>>,
    failures: u32,
    _thread: Threads,
}

#[derive(Debug)]
enum State {
    /// The node waits, for that reason.
    Waits(String),
    /// It tries again, since then.
    Tries(String, Instant),
    /// It goes on.
    Over,
}

impl Hold {
    fn begin(holder: &Holder<'_>, reason: &str) -> Self {
        let Holder { broker, names, node, .. } = *holder;
        log::error!("{node} is held: {reason}; it keeps nothing more and tries again until it can");
        let state = Arc::new(Mutex::new(State::Waits(reason.to_owned())));
        let teller = HoldTeller { broker: broker.clone(), names: names.clone(), node: node.to_owned(), query: None };
        let (thread, shared) = (Threads::default(), state.clone());
        // Without it nobody hears of the hold, which is held all the same.
        if let Err(error) = thread.start("hold", move |stop| teller.run(&shared, stop)) {
            log::warn!("a thread can't be started: {error}");
        }
        Hold { state, failures: 0, _thread: thread }
    }

    /// Notes another failure; returns how long to wait.
    fn pause(&mut self, pause: RetryPause, reason: String) -> Duration {
        *self.state.lock() = State::Waits(reason);
        let wait = pause.after(self.failures);
        self.failures += 1;
        wait
    }

    fn try_again(&self) {
        let mut state = self.state.lock();
        if let State::Waits(reason) = &mut *state {
            *state = State::Tries(mem::take(reason), Instant::now());
        }
    }

    fn is_over(&self) -> bool {
        state_by_now(&self.state.lock()).is_none()
    }
}

/// Why the node is held; `None` where it goes on.
fn state_by_now(state: &State) -> Option<String> {
    match state {
        State::Waits(reason) => Some(reason.clone()),
        State::Tries(reason, since) if since.elapsed() < STEADY => Some(reason.clone()),
        State::Tries(..) | State::Over => None,
    }
}

/// The thread's own: tells the query node until the hold is over.
struct HoldTeller {
    broker: Arc<dyn Broker>,
    names: Names,
    node: String,
    query: Option<QueryClient>,
}

impl HoldTeller {
    fn run(mut self, state: &Mutex<State>, stop: &Stop) {
        loop {
            let held = {
                let mut state = state.lock();
                let held = state_by_now(&state);
                if held.is_none() {
                    *state = State::Over;
                }
                held
            };
            self.tell(held.as_deref());
            if held.is_none() {
                log::warn!("{} goes on", self.node);
                break;
            }
            if stop.wait(REFRESH) {
                break;
            }
        }
        if let Some(query) = &self.query {
            let _ = query.close(Instant::now() + CALL); // the process goes on, or ends
        }
    }

    /// Where that fails it is told again soon; and that it is over, the query node concludes from silence.
    fn tell(&mut self, reason: Option<&str>) {
        if self.query.is_none() {
            self.query = QueryClient::new(self.broker.clone(), &self.names).ok();
        }
        let told = self.query.as_ref().map(|query| query.held(&self.node, reason, Instant::now() + CALL));
        log::debug!("told that {} is held or goes on: {told:?}", self.node);
        if told.is_none_or(|told| told.is_err_and(|error| error.is_final())) {
            self.query = None;
        }
    }
}

/// An error with those of its causes that it does not tell itself.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in iter::successors(error.source(), |&error| error.source()).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
