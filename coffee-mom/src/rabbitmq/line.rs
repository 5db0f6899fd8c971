//! One side of a connection as its users see it: a link that is up, away or closed for good.
//! Who keeps it up is `keeper`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::{Condvar, Mutex};

use crate::thread::wake;

use super::failure::Failure;
use super::link::Link;

/// Fewest watchers that are worth looking through.
const MANY: usize = 16;

/// A link that was up when this was made.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) link: Arc<Link>,
    /// Grows with each link of the line.
    pub(super) epoch: u64,
}

/// What a line is at a moment.
#[derive(Debug, Clone)]
pub(super) enum Status {
    Up(Live),
    /// Not yet, or not at the moment.
    Away,
    /// For good.
    Closed,
}

/// One side of a connection. Used by any number of threads; links come and go below it.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    changed: Condvar,
    blocked: AtomicBool,
    /// Makes the keeper look at what it is asked to do.
    wake: Sender<()>,
    closed: Receiver<Infallible>,
}

#[derive(Debug)]
struct State {
    status: Status,
    /// Why the last attempt to connect failed.
    failure: Option<Failure>,
    /// Set when a user found that the link of this epoch is of no more use, and why.
    useless: Option<(u64, Failure)>,
    closing: Option<Instant>,
    /// The link that there is, up or not yet, to be killed in need.
    link: Option<Arc<Link>>,
    watchers: Vec<Sender<()>>,
    /// So many watchers are looked through for those that are gone.
    many: usize,
    /// Dropped when the line is closed.
    open: Option<Sender<Infallible>>,
}

impl Line {
    /// A line that is away, and what its keeper is woken by.
    pub(super) fn new() -> (Arc<Self>, Receiver<()>) {
        let (wake, woken) = bounded(1);
        let (open, closed) = bounded(0);
        let state = State {
            status: Status::Away,
            failure: None,
            useless: None,
            closing: None,
            link: None,
            watchers: Vec::new(),
            many: MANY,
            open: Some(open),
        };
        let (state, changed, blocked) = (Mutex::new(state), Condvar::new(), AtomicBool::new(false));
        let line = Self { state, changed, blocked, wake, closed };
        (Arc::new(line), woken)
    }

    pub(super) fn status(&self) -> Status {
        self.state.lock().status.clone()
    }

    /// Disconnected when the line is closed.
    pub(super) fn closed(&self) -> &Receiver<Infallible> {
        &self.closed
    }

    /// Gets a token after each change of the status; several changes may give one.
    pub(super) fn watch(&self) -> Receiver<()> {
        let (tell, told) = bounded(1);
        let mut state = self.state.lock();
        if state.watchers.len() >= state.many {
            // Telling is the way to learn who is gone; nobody minds a token too many.
            tell_all(&mut state.watchers);
            state.many = MANY.max(2 * state.watchers.len());
        }
        state.watchers.push(tell);
        told
    }

    /// Waits until the line is up or closed. Err: why not, as far as it is known.
    pub(super) fn wait(&self, deadline: Instant) -> Result<Live, Failure> {
        let mut state = self.state.lock();
        loop {
            match &state.status {
                Status::Up(live) => return Ok(live.clone()),
                Status::Closed => return Err(state.failure.clone().unwrap_or(Failure::Closed)),
                Status::Away => {}
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Err(state.failure.clone().unwrap_or(Failure::Deadline));
            }
        }
    }

    /// Waits until the line is closed; false if it is not by the deadline.
    pub(super) fn wait_closed(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        let mut in_time = true;
        while !matches!(state.status, Status::Closed) && in_time {
            in_time = !self.changed.wait_until(&mut state, deadline).timed_out();
        }
        matches!(state.status, Status::Closed)
    }

    /// Says that the link of that epoch is of no more use, and why; the keeper opens another one.
    pub(super) fn give_up(&self, epoch: u64, why: Failure) {
        let mut state = self.state.lock();
        // A late word about an older link takes nothing back, and the first about one stays.
        if state.useless.as_ref().is_none_or(|(known, _)| *known < epoch) {
            state.useless = Some((epoch, why));
        }
        drop(state);
        wake(&self.wake);
    }

    /// Asks the keeper to close the line, with a goodbye to the broker until the deadline.
    pub(super) fn close(&self, deadline: Instant) {
        let mut state = self.state.lock();
        state.closing = Some(state.closing.map_or(deadline, |earlier| earlier.min(deadline)));
        drop(state);
        wake(&self.wake);
    }

    /// Ends the link at once, up or not yet, so that whoever waits for it returns.
    pub(super) fn kill(&self) {
        if let Some(link) = &self.state.lock().link {
            link.kill();
        }
    }

    /// Whether the broker takes no publishes for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }
}

/// For the keeper.
impl Line {
    pub(super) fn closing(&self) -> Option<Instant> {
        self.state.lock().closing
    }

    /// Why its users have given up the link of that epoch, if they have.
    pub(super) fn useless(&self, epoch: u64) -> Option<Failure> {
        self.state.lock().useless.as_ref().filter(|(given_up, _)| *given_up == epoch).map(|(_, why)| why.clone())
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Release);
        self.tell(&mut self.state.lock());
    }

    pub(super) fn failed(&self, failure: Failure) {
        self.state.lock().failure = Some(failure);
    }

    pub(super) fn set(&self, status: Status) {
        let mut state = self.state.lock();
        if let Status::Up(live) = &status {
            state.failure = None;
            state.link = Some(live.link.clone());
        }
        if matches!(status, Status::Closed) {
            state.open = None;
        }
        state.status = status;
        self.tell(&mut state);
    }

    /// The link that there is from now on.
    pub(super) fn hold(&self, link: Option<&Arc<Link>>) {
        self.state.lock().link = link.cloned();
    }

    fn tell(&self, state: &mut State) {
        tell_all(&mut state.watchers);
        self.changed.notify_all();
    }
}

/// Tells all watchers, and forgets those that are gone.
fn tell_all(watchers: &mut Vec<Sender<()>>) {
    watchers.retain(|watcher| !matches!(watcher.try_send(()), Err(TrySendError::Disconnected(()))));
}
