//! Threads that belong together: started under names, stopped at once, joined by a deadline.

use std::{
    convert::Infallible,
    io,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, bounded};
use parking_lot::Mutex;

use crate::Stop;

/// How long a drop waits for all of them.
const GRACE: Duration = Duration::from_secs(5);

/// Threads with one stop. Dropping it stops them, and waits five seconds at most.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    stop: Stop,
    running: Mutex<Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    thread: JoinHandle<()>,
    /// Disconnects when it is about to end.
    ended: Receiver<Infallible>,
}

impl Threads {
    /// What they stop by.
    pub fn stopped(&self) -> &Stop {
        &self.stop
    }

    /// Starts one, which has to end soon once the stop that it is given is triggered.
    pub fn start(&self, name: &str, body: impl FnOnce(&Stop) + Send + 'static) -> io::Result<()> {
        let stop = self.stop.clone();
        let (running, ended) = bounded(0);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Dropped behind the body, also where that panics.
            let _running = running;
            body(&stop);
        })?;
        self.running.lock().push(Running { thread, ended });
        Ok(())
    }

    /// The name of one that has ended though nobody has stopped them.
    pub fn ended(&self) -> Option<String> {
        let running = self.running.lock();
        let over = |running: &&Running| running.ended.try_recv() == Err(TryRecvError::Disconnected);
        let ended = running.iter().find(over).filter(|_| !self.stop.is_triggered());
        ended.map(|ended| ended.thread.thread().name().unwrap_or_default().to_owned())
    }

    /// Stops and joins them; false where some have not ended by then: those may be waited for again.
    pub fn stop(&self, deadline: Instant) -> bool {
        self.stop.trigger();
        let mut running = self.running.lock();
        while let Some(next) = running.pop() {
            if next.ended.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
                running.push(next);
                return false;
            }
            // A panic was told on stderr; there is nothing to be saved from it.
            let _ = next.thread.join();
        }
        true
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop(Instant::now() + GRACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_end_together_also_those_that_panic() {
        let threads = Threads::default();
        threads.start("waits", |stop| assert!(stop.receiver().recv().is_err())).unwrap();
        threads.start("panics", |_| panic!("on purpose")).unwrap();
        assert!(threads.stop(Instant::now() + GRACE));
        assert!(threads.stop(Instant::now()), "none is left");
    }

    #[test]
    fn one_that_ends_by_itself_is_named() {
        let threads = Threads::default();
        let (go, gone) = bounded::<()>(0);
        threads.start("waits", |stop| assert!(stop.receiver().recv().is_err())).unwrap();
        threads.start("leaves", move |_| assert!(gone.recv().is_err())).unwrap();
        assert_eq!(threads.ended(), None);
        drop(go);
        let deadline = Instant::now() + GRACE;
        while threads.ended().is_none() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
        assert_eq!(threads.ended().as_deref(), Some("leaves"));
        assert!(threads.stop(deadline));
        assert_eq!(threads.ended(), None, "they were stopped");
    }

    #[test]
    fn one_that_goes_on_is_told() {
        let threads = Threads::default();
        let (release, released) = bounded::<()>(0);
        threads.start("goes on", move |_| assert!(released.recv().is_err())).unwrap();
        assert!(!threads.stop(Instant::now()));
        drop(release);
        assert!(threads.stop(Instant::now() + GRACE));
    }
}
