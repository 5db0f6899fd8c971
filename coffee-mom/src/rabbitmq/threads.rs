//! The threads of a connection: each has a name, tells when it ends, and is joined.

use std::convert::Infallible;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;

/// Disconnects when a thread ends.
pub(super) type Finished = Receiver<Infallible>;

/// The threads that producers and consumers of one connection run.
#[derive(Debug, Default)]
pub(super) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Starts a thread. Threads that have ended meanwhile are joined.
    pub(super) fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Finished> {
        let (finish, finished) = bounded(0);
        // A thread's name can't hold NUL, a queue's can.
        let name = name.replace('\0', "?");
        let thread = thread::Builder::new().name(name).spawn(move || {
            body();
            drop(finish);
        })?;
        let mut threads = self.0.lock();
        let (ended, running): (Vec<_>, Vec<_>) = threads.drain(..).partition(JoinHandle::is_finished);
        *threads = running;
        threads.push(thread);
        drop(threads);
        ended.into_iter().for_each(join);
        Ok(finished)
    }

    /// Joins all threads; they have to be about to end.
    pub(super) fn join_all(&self) {
        let threads: Vec<_> = self.0.lock().drain(..).collect();
        threads.into_iter().for_each(join);
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        log::error!("a thread of a connection panicked");
    }
}

/// Waits until a thread has ended; false if it has not by the deadline.
pub(super) fn wait(finished: &Finished, deadline: Instant) -> bool {
    match finished.recv_deadline(deadline) {
        Ok(infallible) => match infallible {},
        Err(RecvTimeoutError::Disconnected) => true,
        Err(RecvTimeoutError::Timeout) => false,
    }
}
