//! Threads that belong together: started under names, stopped at once, joined by a deadline.

use std::{
    convert::Infallible,
    io,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;

use crate::Stop;

/// How long a drop waits for all of them.
const GRACE: Duration = Duration::from_secs(5);

/// Threads with one stop. Dropping it stops them, and waits five seconds at most.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    stop: Stop,
    /// Each with what disconnects when it is about to end.
    running: Mutex<Vec<(JoinHandle<()>, Receiver<Infallible>)>>,
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
        self.running.lock().push((thread, ended));
        Ok(())
    }

    /// Stops and joins them; false where some have not ended by then: those may be waited for again.
    pub fn stop(&self, deadline: Instant) -> bool {
        self.stop.trigger();
        let mut running = self.running.lock();
        while let Some((thread, ended)) = running.pop() {
            if ended.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
                running.push((thread, ended));
                return false;
            }
            // A panic was told on stderr; there is nothing to be saved from it.
            let _ = thread.join();
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
    fn one_that_goes_on_is_told() {
        let threads = Threads::default();
        let (release, released) = bounded::<()>(0);
        threads.start("goes on", move |_| assert!(released.recv().is_err())).unwrap();
        assert!(!threads.stop(Instant::now()));
        drop(release);
        assert!(threads.stop(Instant::now() + GRACE));
    }
}
