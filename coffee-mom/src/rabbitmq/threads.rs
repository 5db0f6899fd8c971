//! The threads of a connection: each has a name, tells when it ends, and is joined.

use std::io;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::thread::{self, Finished};

/// The threads that producers and consumers of one connection run.
#[derive(Debug, Default)]
pub(super) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Starts a thread. Threads that have ended meanwhile are joined.
    pub(super) fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Finished> {
        let (thread, finished) = thread::spawn(name, body)?;
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
