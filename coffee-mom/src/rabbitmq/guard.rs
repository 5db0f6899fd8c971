//! Deadlines for calls that have none: amiquip's calls wait for the I/O thread for as long as the
//! broker takes. When a deadline passes, the guard kills the socket, and the calls return. While it
//! is held, the deadlines of patient calls stand still.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Watches over the calls of one link, any number at once, with one thread. Dropping it joins that.
#[derive(Debug)]
pub(super) struct Guard {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The calls that run, by number.
    calls: BTreeMap<u64, Call>,
    next: u64,
    /// Since when deadlines of patient calls stand still.
    held: Option<Instant>,
    /// When the thread looks by itself. An earlier deadline has to wake it; arming a later one, as
    /// most are, costs no more than the lock.
    looks_at: Option<Instant>,
    expired: bool,
    stop: bool,
}

#[derive(Debug)]
struct Call {
    deadline: Instant,
    patient: bool,
}

impl Guard {
    /// Starts a thread of that name, which calls `kill` once, when a deadline has passed.
    pub(super) fn start(name: String, kill: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let watch = Arc::new(Watch::default());
        let thread = thread::Builder::new().name(name).spawn({
            let watch = watch.clone();
            move || {
                if watch.expires() {
                    kill();
                }
            }
        })?;
        Ok(Self { watch, thread: Some(thread) })
    }

    /// Runs `call` on this thread, and kills the socket if it takes until the deadline. A deadline
    /// that has passed kills at once.
    pub(super) fn guarded<T>(&self, deadline: Instant, call: impl FnOnce() -> T) -> T {
        let _armed = Armed::new(&self.watch, Call { deadline, patient: false });
        call()
    }

    /// The same, but for a deadline that stands still while the guard is held.
    pub(super) fn guarded_patiently<T>(&self, deadline: Instant, call: impl FnOnce() -> T) -> T {
        let _armed = Armed::new(&self.watch, Call { deadline, patient: true });
        call()
    }

    /// Holds the guard, or lets it go: then patient calls have as much time as they had left, or more.
    pub(super) fn hold(&self, held: bool) {
        let mut state = self.watch.state.lock();
        match (state.held, held) {
            (None, true) => state.held = Some(Instant::now()),
            (Some(since), false) => {
                let held_for = since.elapsed();
                let patient = state.calls.values_mut().filter(|call| call.patient);
                patient.for_each(|call| call.deadline = call.deadline.checked_add(held_for).unwrap_or(call.deadline));
                state.held = None;
                self.watch.changed.notify_one();
            }
            _ => {}
        }
    }

    /// Whether a deadline has passed and the socket was killed for it.
    pub(super) fn has_expired(&self) -> bool {
        self.watch.state.lock().expired
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watch.state.lock().stop = true;
        self.watch.changed.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the guard of a connection panicked");
        }
    }
}

impl Watch {
    /// Waits until a deadline has passed, true, or the guard is dropped.
    fn expires(&self) -> bool {
        let mut state = self.state.lock();
        while !state.stop {
            state.looks_at = state.first_deadline();
            match state.looks_at {
                None => self.changed.wait(&mut state),
                Some(deadline) if deadline > Instant::now() => {
                    self.changed.wait_until(&mut state, deadline);
                }
                Some(_) => {
                    state.expired = true;
                    return true;
                }
            }
        }
        false
    }
}

impl State {
    /// The earliest deadline of those that do not stand still.
    fn first_deadline(&self) -> Option<Instant> {
        let running = self.calls.values().filter(|call| !(call.patient && self.held.is_some()));
        running.map(|call| call.deadline).min()
    }
}

/// A call that is watched while this lives.
struct Armed<'a> {
    watch: &'a Watch,
    number: u64,
}

impl<'a> Armed<'a> {
    fn new(watch: &'a Watch, call: Call) -> Self {
        let mut state = watch.state.lock();
        let number = state.next;
        state.next += 1;
        if state.looks_at.is_none_or(|looks_at| call.deadline < looks_at) {
            watch.changed.notify_one();
        }
        state.calls.insert(number, call);
        Self { watch, number }
    }
}

impl Drop for Armed<'_> {
    fn drop(&mut self) {
        self.watch.state.lock().calls.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

    use super::*;

    fn guard() -> (Guard, Receiver<()>) {
        let (kill, killed) = bounded(0);
        (Guard::start("guard".into(), move || drop(kill)).unwrap(), killed)
    }

    fn after(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[test]
    fn a_call_that_takes_too_long_kills() {
        let (guard, killed) = guard();
        let begun = Instant::now();
        let woken = guard.guarded(after(50), || killed.recv_timeout(Duration::from_secs(10)));
        assert_eq!(woken, Err(RecvTimeoutError::Disconnected));
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert!(guard.has_expired());
        assert_eq!(guard.guarded(after(0), || 5), 5, "a dead link's calls return by themselves");
    }

    #[test]
    fn calls_in_time_do_not() {
        let (guard, killed) = guard();
        for call in 0..1000 {
            assert_eq!(guard.guarded(after(10_000), || call), call);
        }
        // Deadlines of calls that have returned are forgotten.
        guard.guarded(after(20), || ());
        assert_eq!(killed.recv_timeout(Duration::from_millis(60)), Err(RecvTimeoutError::Timeout));
        assert!(!guard.has_expired());
    }

    #[test]
    fn the_earliest_of_many_deadlines_kills() {
        let (guard, killed) = guard();
        let (guard, killed) = (&guard, &killed);
        thread::scope(|scope| {
            for millis in [10_000, 60, 20_000] {
                scope.spawn(move || {
                    let woken = guard.guarded(after(millis), || killed.recv_timeout(Duration::from_secs(10)));
                    assert_eq!(woken, Err(RecvTimeoutError::Disconnected));
                });
            }
        });
    }

    #[test]
    fn a_guard_that_is_held_has_patience_with_calls_that_have_it() {
        let (guard, killed) = guard();
        guard.hold(true);
        let silence = guard.guarded_patiently(after(20), || killed.recv_timeout(Duration::from_millis(100)));
        assert_eq!(silence, Err(RecvTimeoutError::Timeout));
        let woken = guard
            .guarded_patiently(after(20), || guard.guarded(after(20), || killed.recv_timeout(Duration::from_secs(10))));
        assert_eq!(woken, Err(RecvTimeoutError::Disconnected), "one without patience");
    }

    #[test]
    fn a_call_has_the_rest_of_its_time_when_the_guard_is_let_go() {
        let (guard, killed) = guard();
        let (begun, held) = (Instant::now(), Duration::from_millis(150));
        guard.guarded_patiently(after(100), || {
            guard.hold(true);
            assert_eq!(killed.recv_timeout(held), Err(RecvTimeoutError::Timeout));
            guard.hold(false);
            assert_eq!(killed.recv_timeout(Duration::from_secs(10)), Err(RecvTimeoutError::Disconnected));
        });
        assert!(begun.elapsed() >= held + Duration::from_millis(100));
    }

    #[test]
    fn a_panic_disarms() {
        let (guard, killed) = guard();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            guard.guarded(after(30), || std::panic::resume_unwind(Box::new("on purpose")))
        }));
        assert!(caught.is_err());
        assert_eq!(killed.recv_timeout(Duration::from_millis(60)), Err(RecvTimeoutError::Timeout));
    }
}
